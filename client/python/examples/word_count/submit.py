"""Submits a run of `word-count` for each file, and waits for what they give.

python submit.py FILE...
"""

import argparse
import pathlib
from collections.abc import Iterable, Iterator

from connect import connect

import semel
from semel import v1

JOB = "word-count"


def create_job(client: semel.Client) -> None:
    """Creates the job, unless it is there."""
    try:
        client.create_job(JOB, spec=v1.JobSpec(processor="word-count", retry=v1.RetryPolicy(max_attempts=3)))
    except semel.Refused as error:
        if error.reason != "ALREADY_EXISTS":
            raise


def runs(files: Iterable[pathlib.Path]) -> Iterator[v1.RunJobRequest]:
    for file in files:
        yield semel.run(JOB, file.read_bytes(), labels={"file": file.name})


def main() -> None:
    parser = argparse.ArgumentParser(description="Counts the words of files.")
    parser.add_argument("files", nargs="+", type=pathlib.Path)
    files = parser.parse_args().files
    with connect() as client:
        create_job(client)
        submitted = list(client.submit_many(runs(files)))
        for file, made in zip(files, submitted, strict=True):
            run = client.wait(made.run_id, timeout=60)
            print(file.name, v1.RunState.Name(run.state), run.result.data.decode() or run.reason)


if __name__ == "__main__":
    main()
