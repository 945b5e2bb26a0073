"""python -m semel_driver [--aio]"""

from __future__ import annotations

import argparse
import asyncio
import logging

from semel_driver import asynchronous, blocking


def main() -> None:
    parser = argparse.ArgumentParser(description="Makes the Python client do what a conformance runner says.")
    parser.add_argument("--aio", action="store_true", help="the asyncio API instead of the blocking one")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(name)s %(levelname)s %(message)s")
    if options.aio:
        asyncio.run(asynchronous.Driver().run())
    else:
        blocking.Driver().run()


if __name__ == "__main__":
    main()
