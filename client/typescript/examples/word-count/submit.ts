// Makes a run for each file that it is given, all over one stream, waits for their ends, and prints what they counted.
//
//     node build/examples/word-count/submit.js README.md src/*.ts
import { resolve } from "node:path";
import { RunState } from "@semel/client/v1";
import { type Count, clientFromEnvironment, JOB } from "./client.js";

using client = clientFromEnvironment();
const files = process.argv.slice(2);
const runs = files.map((file) => ({
  job: JOB,
  payload: { data: new TextEncoder().encode(resolve(file)), contentType: "text/x-path" },
  labels: { example: "word-count" },
}));

let number = 0;
let failed = 0;
for await (const result of client.submitMany(runs)) {
  const file = files[number++];
  if (!result.ok) {
    failed += 1;
    console.log(`${file}: not taken: ${result.error.message}`);
    continue;
  }
  const { run } = await client.wait(result.response.runId);
  if (run.state === RunState.SUCCEEDED) {
    const count: Count = JSON.parse(new TextDecoder().decode(run.result?.data));
    console.log(`${file}: ${count.lines} lines, ${count.words} words, ${count.bytes} bytes`);
  } else {
    failed += 1;
    console.log(`${file}: ${RunState[run.state]}: ${run.reason}`);
  }
}
process.exitCode = failed === 0 ? 0 : 1;
