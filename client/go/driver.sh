#!/bin/sh
# Starts the driver that check.sh has built; see client/conformance/DRIVER.md. Builds nothing.
root=$(cd "$(dirname "$0")/../.." && pwd)
target=${CARGO_TARGET_DIR:-target}
case $target in /*) ;; *) target=$root/$target ;; esac
exec "$target/clients/go/driver" "$@"
