#!/usr/bin/env bash
# Starts the driver of the Java client, which check.sh (or `mvn package`) has built; see client/conformance/DRIVER.md.
set -euo pipefail
built="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/driver/target"
exec java -XX:+UseSerialGC -XX:-UsePerfData -Xshare:auto -cp "$built/classes:$built/lib/*" dev.semel.driver.Main
