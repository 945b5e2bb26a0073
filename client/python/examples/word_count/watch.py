"""Tells the ends of the runs of `word-count`, by asyncio, and goes on after a restart from where it was.

python watch.py [--count N]
"""

import argparse
import asyncio
import os
import pathlib

import semel
import semel.aio
from semel import v1

TOKEN = pathlib.Path("watch.token")


async def watch(count: int) -> None:
    app = os.environ["SEMEL_APP"]
    server = os.environ.get("SEMEL_SERVER", "http://127.0.0.1:7400")
    token = TOKEN.read_text() if TOKEN.exists() else None
    start = {"resume_token": token} if token else {"from_revision": 1}
    async with semel.aio.Client(server, app=app, credentials=semel.Secret.from_env(app)) as client:
        async for item in client.watch(jobs=["word-count"], terminal_only=True, **start):
            if item.event is not None:
                run = item.event.run
                print(v1.EventKind.Name(item.event.kind), run.labels["file"], run.run_id)
                count -= 1
            if item.resume_token:
                TOKEN.write_text(item.resume_token)
            if count == 0:
                return


def main() -> None:
    parser = argparse.ArgumentParser(description="Tells the ends of runs.")
    parser.add_argument("--count", type=int, default=-1, help="end after so many")
    asyncio.run(watch(parser.parse_args().count))


if __name__ == "__main__":
    main()
