// Tells of the end of each run of the example, once, however often it is started again: where it got to stands in a file.
//
//     node build/examples/word-count/watch.js position.txt
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { RunState } from "@semel/client/v1";
import { clientFromEnvironment, JOB } from "./client.js";

const file = process.argv[2] ?? "position.txt";
const resume = existsSync(file) ? readFileSync(file, "utf8") : undefined;

using client = clientFromEnvironment();
const watch = client.watch({ jobs: [JOB], terminalOnly: true, resume });
process.once("SIGINT", () => watch.close());
for await (const item of watch) {
  if (item.kind === "event" && item.event.subject.case === "run") {
    const { runId, toState, reason } = item.event.subject.value;
    console.log(`${runId} ${RunState[toState]} ${reason}`.trimEnd());
  } else if (item.kind === "lost") {
    console.error(`lost, going on: ${item.error.message}`);
  }
  if (item.resumeToken !== undefined) {
    // In one step, so that a crash leaves the place before or the place after.
    writeFileSync(`${file}.new`, item.resumeToken);
    renameSync(`${file}.new`, file);
  }
}
