#!/usr/bin/env bash
# The driver of the plain Python stub. Starts what client/python/check.sh has made ready, and builds nothing.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=${CARGO_TARGET_DIR:-$here/../../../target}/clients/python
exec "$folder/venv/bin/python" "$here/driver.py" "$folder/stub"
