#!/usr/bin/env bash
# Checks the Go client, and leaves its driver ready to be started by driver.sh. Needs Go, Python 3 with venv, and SEMEL_BIN, the
# absolute path of a built `semel`. What it makes lies in ${CARGO_TARGET_DIR:-target}/clients/go.
#
#     SEMEL_BIN=$PWD/target/debug/semel bash client/go/check.sh
#     bash client/go/check.sh generate      # makes semelv1/ anew from proto/, and checks nothing
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
root=$(cd ../.. && pwd)
target=${CARGO_TARGET_DIR:-target}
case $target in /*) ;; *) target=$root/$target ;; esac
folder=$target/clients/go
mkdir -p "$folder"
export GOFLAGS=-mod=readonly GOTOOLCHAIN=local

step() { printf '== go: %s\n' "$*" >&2; }

# buf runs the plugins; it comes from PyPI, in the version of the gate.
buf() {
    local pin
    pin=$(grep '^buf-bin==' "$root/.ci/requirements.txt")
    if [ "$(cat "$folder/venv/pin" 2>/dev/null || true)" != "$pin" ]; then
        rm -rf "$folder/venv"
        python3 -m venv "$folder/venv"
        "$folder/venv/bin/pip" install --quiet --disable-pip-version-check "$pin"
        printf '%s\n' "$pin" > "$folder/venv/pin"
    fi
    "$folder/venv/bin/buf" "$@"
}

if [ "${1:-}" = generate ]; then
    buf generate
    exit
fi
: "${SEMEL_BIN:?names no built semel}"
export SEMEL_BIN SEMEL_REQUIRE_BIN=1

step 'generated code is up to date'
rm -rf "$folder/generated"
mkdir -p "$folder/generated"
buf generate --output "$folder/generated"
diff -r "$folder/generated/semelv1" semelv1

step 'format, vet, staticcheck'
unformatted=$(gofmt -l .)
[ -z "$unformatted" ] || { printf 'gofmt would change:\n%s\n' "$unformatted" >&2; exit 1; }
go vet ./...
go tool -modfile=tools/go.mod staticcheck ./...

step 'tests'
go test -race ./...

step 'driver and example'
go build -o "$folder/driver" ./internal/driver
go build -o "$folder/wordcount" ./examples/wordcount

step 'the five-minute start'
python3 ../start.py README.md --semel "$SEMEL_BIN" > "$folder/start.log" 2>&1 || { cat "$folder/start.log" >&2; exit 1; }

step 'all is well'
