#!/usr/bin/env bash
# The driver of the conformance runner: `driver.sh` drives semel.Client, `driver.sh --aio` semel.aio.Client. Starts what
# check.sh has made ready, and builds nothing.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
venv=${CARGO_TARGET_DIR:-$here/../../target}/clients/python/venv
PYTHONPATH="$here/driver${PYTHONPATH:+:$PYTHONPATH}" exec "$venv/bin/python" -m semel_driver "$@"
