#!/usr/bin/env bash
# Runs the example as a whole against a server of its own: a watcher, a worker, and two files that it counts. Needs SEMEL_BIN, and the
# example built by `mvn package` in client/java.
set -euo pipefail
: "${SEMEL_BIN:?SEMEL_BIN must name a built semel}"
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
work="$(mktemp -d)"
started=()
# The programs end before the server that they speak to.
trap 'for ((i = ${#started[@]} - 1; i >= 0; i--)); do kill "${started[i]}" || true; wait "${started[i]}" || true; done; rm -rf "$work"' EXIT

"$SEMEL_BIN" serve --listen 127.0.0.1:0 --data-dir "$work/data" --ready-file "$work/ready.json" > "$work/server.log" 2>&1 &
started+=($!)
until [ -s "$work/ready.json" ]; do sleep 0.1; done
SEMEL_SERVER="http://$(sed -E 's/.*"address": *"([^"]+)".*/\1/' "$work/ready.json")"
export SEMEL_SERVER
created="$(SEMEL_SECRET_FILE="$work/data/admin-secret" "$SEMEL_BIN" app create words -o json)"
export SEMEL_APP=words
SEMEL_SECRET="$(sed -nE 's/.*"secret": *"([^"]+)".*/\1/p' <<< "$created")"
export SEMEL_SECRET

wordcount=(java -cp "$here/target/classes:$here/target/lib/*" dev.semel.examples.wordcount.WordCount)
"${wordcount[@]}" watch > "$work/watch.txt" &
started+=($!)
until grep -q watching "$work/watch.txt"; do sleep 0.1; done
"${wordcount[@]}" worker > "$work/worker.txt" &
started+=($!)
printf 'said once\ndone once\n' > "$work/four.txt"
printf 'one  two\n\n three\n' > "$work/three.txt"
"${wordcount[@]}" submit "$work/four.txt" "$work/three.txt" | tee "$work/counts.txt"
grep -q "^4	$work/four.txt" "$work/counts.txt"
grep -q "^3	$work/three.txt" "$work/counts.txt"
until [ "$(grep -c RUN_SUCCEEDED "$work/watch.txt")" = 2 ]; do sleep 0.1; done
