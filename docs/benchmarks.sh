#!/usr/bin/env bash
# Puts the figures of docs/benchmarks.json into docs/BENCHMARKS.md. The file is what `semel bench -o json` printed:
#
#     semel bench -o json > docs/benchmarks.json && bash docs/benchmarks.sh
#
# SEMEL_BIN names another binary than the one of the release build.
set -euo pipefail
cd "$(dirname "$0")"

semel=${SEMEL_BIN:-../target/release/semel}
figures=$(mktemp)
page=$(mktemp)
trap 'rm -f "$figures" "$page"' EXIT

"$semel" bench --report benchmarks.json >"$figures"
awk -v figures="$figures" '
    /^<!-- end of figures -->$/ { inside = 0 }
    !inside { print }
    /^<!-- figures -->$/ { inside = 1; while ((getline line < figures) > 0) print line }
' BENCHMARKS.md >"$page"
cat "$page" >BENCHMARKS.md
