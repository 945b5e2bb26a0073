#!/usr/bin/env bash
# Everything that must pass for the Java client, and leaves the driver ready for driver.sh. Needs a JDK (17 or newer), Maven (3.8 or
# newer), Python (for the README's start) and SEMEL_BIN, the absolute path of a built `semel`. Builds into git-ignored target folders
# beside the sources; `CARGO_TARGET_DIR` plays no part.
set -euo pipefail
: "${SEMEL_BIN:?SEMEL_BIN must name a built semel}"
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"
export SEMEL_BIN SEMEL_REQUIRE_BIN=1
mvn() { command mvn --batch-mode --no-transfer-progress -f "$here/pom.xml" "$@"; }

# From nothing: stubs of proto/ as it is now, format, -Xlint with -Werror, tests, the jar with sources and Javadoc without a warning.
mvn clean spotless:check install -Prelease

# The example, against a server: a worker, and files that it counts.
bash "$here/examples/wordcount/try.sh"

# The README's five minutes.
python3 "$root/client/start.py" "$here/README.md" --semel "$SEMEL_BIN"

# The driver speaks.
printf '{"id":1,"op":"hello"}\n' | "$here/driver.sh" | grep '"language":"java"'
echo "client/java: all checks passed"
