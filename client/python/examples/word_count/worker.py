"""Counts the words of texts: the worker of the job `word-count`. Ctrl-C drains it.

python worker.py
"""

import collections
import json
import logging
import socket

from connect import connect

import semel
from semel import v1

WORDS_TOLD = 5


def count(cx: semel.Context) -> v1.Payload:
    """Counts the words of the payload, and gives the most frequent ones."""
    try:
        text = cx.payload.data.decode("utf-8")
    except UnicodeDecodeError as error:
        # No other attempt will read it either.
        raise semel.ProcessError(f"the payload is no text: {error}", permanent=True) from error
    lines = text.splitlines()
    words: collections.Counter[str] = collections.Counter()
    for number, line in enumerate(lines, 1):
        cx.check()
        words.update(word.strip(".,;:!?\"'()").lower() for word in line.split())
        cx.progress(number / len(lines), f"line {number}")
    cx.log(f"{cx.labels.get('file', 'a text')}: {words.total()} words in {len(lines)} lines\n")
    result = {"words": words.total(), "most_common": dict(words.most_common(WORDS_TOLD))}
    return v1.Payload(data=json.dumps(result).encode(), content_type="application/json")


def main() -> None:
    logging.basicConfig(level=logging.INFO)
    with connect() as client:
        worker = semel.Worker(client, name=socket.gethostname(), slots=4)
        worker.add_processor("word-count", count)
        print(worker.run())


if __name__ == "__main__":
    main()
