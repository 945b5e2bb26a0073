#!/usr/bin/env bash
# Checks the Python client, and leaves its driver and that of the plain stub ready to be started. Needs python3 (3.10 or
# later, with venv) and SEMEL_BIN, the absolute path of a built `semel`. Everything that it makes lies in
# ${CARGO_TARGET_DIR:-target}/clients/python, but for the generated modules, which git ignores.
#
#     SEMEL_BIN=$PWD/target/debug/semel bash client/python/check.sh
set -euo pipefail
target=${CARGO_TARGET_DIR:+$(realpath --canonicalize-missing "$CARGO_TARGET_DIR")}
cd "$(dirname "${BASH_SOURCE[0]}")"
: "${SEMEL_BIN:?names no built semel}"
export SEMEL_BIN SEMEL_REQUIRE_BIN=1 PIP_DISABLE_PIP_VERSION_CHECK=1
folder=${target:-$PWD/../../target}/clients/python
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)

step() { printf '== %s\n' "$*" >&2; }

step "pinned dependencies"
pins=$(sha256sum requirements-dev.txt | cut -d' ' -f1)
if [ "$(cat "$folder/venv/pins" 2>/dev/null || true)" != "$pins" ]; then
    rm -rf "$folder/venv"
    "${PYTHON:-python3}" -m venv "$folder/venv"
    "$folder/venv/bin/pip" install --quiet --requirement requirements-dev.txt
    printf '%s\n' "$pins" > "$folder/venv/pins"
fi
# shellcheck disable=SC1091
. "$folder/venv/bin/activate"

step "generated code"
python codegen.py
python codegen.py --check

step "format, lint, types"
export RUFF_CACHE_DIR=$folder/ruff MYPY_CACHE_DIR=$folder/mypy
files=(. ../conformance/stub)
ruff format --quiet --check "${files[@]}"
ruff check --quiet "${files[@]}"
mypy --no-error-summary

step "the packages: a source distribution, and a wheel built of it"
rm -rf "$folder/dist"
python -m build --no-isolation --outdir "$folder/dist" . > "$folder/build.log" 2>&1 || { cat "$folder/build.log" >&2; exit 1; }
pip install --quiet --force-reinstall --no-deps "$folder"/dist/*.whl
pip check > /dev/null

step "the plain stub"
python ../conformance/stub/generate.py "$folder/stub"

step "tests, against the wheel"
SEMEL_WHEEL=$(echo "$folder"/dist/*.whl) python -m pytest -p no:cacheprovider

step "the five-minute start"
python ../start.py README.md --semel "$SEMEL_BIN" > "$folder/start.log" 2>&1 || { cat "$folder/start.log" >&2; exit 1; }
