#!/bin/sh
# Starts the driver that `check.sh`, or `npm ci && npm run build:dev`, has built. See ../conformance/DRIVER.md.
exec node "$(dirname "$0")/build/driver/main.js" "$@"
