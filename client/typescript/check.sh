#!/usr/bin/env bash
# The gate of this client: pinned dependencies, generated code, format, lint, types, tests, the package and the README's start.
# Needs Node 20 or newer with npm, Python 3.10 or newer, and SEMEL_BIN, the absolute path of a built `semel`. Leaves the driver
# ready to be started by driver.sh.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"
: "${SEMEL_BIN:?names no built semel}"
[ -x "$SEMEL_BIN" ] || { echo "SEMEL_BIN: $SEMEL_BIN cannot be run" >&2; exit 1; }
out="${CARGO_TARGET_DIR:-$root/target}/clients/typescript"
mkdir -p "$out"
cd "$here"

step() { printf '\n== typescript: %s\n' "$*"; }

step "dependencies, as they are locked"
npm ci --no-audit --no-fund
if grep -n '"resolved"' package-lock.json; then
  echo "package-lock.json names a registry: set omit-lockfile-registry-resolved=true and write it anew" >&2
  exit 1
fi

step "build: generated code, package, driver, tests and examples"
npm run build:dev

step "format and lint"
npm run lint

step "tests"
SEMEL_REQUIRE_BIN=1 npm test

step "what the package holds"
rm -f "$out"/*.tgz
npm pack --silent --ignore-scripts --pack-destination "$out"
held="$(tar -tzf "$out"/semel-client-*.tgz | sort)"
for file in package.json README.md LICENSE dist/index.js dist/index.d.ts dist/web.js dist/v1.d.ts dist/service_config.json; do
  grep -qx "package/$file" <<<"$held" || { echo "the package lacks $file" >&2; exit 1; }
done
if grep -vE '^package/(package\.json|README\.md|LICENSE|dist/.*\.(js|d\.ts|json))$' <<<"$held"; then
  echo "the package holds what does not belong there" >&2
  exit 1
fi

step "the README's start"
python3 "$root/client/start.py" README.md --semel "$SEMEL_BIN"

step "the driver answers"
printf '{"id":1,"op":"hello"}\n' | ./driver.sh | grep -q '"language":"typescript"'
echo "typescript: all is well"
