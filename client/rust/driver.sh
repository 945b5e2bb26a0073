#!/usr/bin/env bash
# Starts the driver of the Rust client, which `cargo build -p semel-conformance` has built; see client/conformance/DRIVER.md.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
exec "${CARGO_TARGET_DIR:-$root/target}/${SEMEL_CONFORMANCE_PROFILE:-debug}/semel-conformance-rust"
