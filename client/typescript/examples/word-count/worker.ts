// A worker that counts lines, words and bytes: of the payload itself, or of the file that a payload of the type
// `text/x-path` names. It ends with SIGTERM or SIGINT, after what it is at.
//
//     node build/examples/word-count/worker.js
import { readFile } from "node:fs/promises";
import { type Attempt, PermanentError } from "@semel/client";
import { type Count, clientFromEnvironment, JOB } from "./client.js";

async function textOf(attempt: Attempt, signal: AbortSignal): Promise<string> {
  if (attempt.payload.contentType !== "text/x-path") {
    return attempt.text();
  }
  try {
    return await readFile(attempt.text(), { encoding: "utf8", signal });
  } catch (error) {
    // A file that is not there will not be there the next time.
    throw new PermanentError(`cannot count ${attempt.text()}`, { cause: error });
  }
}

using client = clientFromEnvironment();
const worker = client.worker({
  slots: 8,
  name: "word-count",
  onStream: (isOpen) => console.error(isOpen ? "connected" : "lost touch with the server"),
});
worker.handle(JOB, async (attempt, signal) => {
  const text = await textOf(attempt, signal);
  const lines = text.split("\n").length - 1;
  const words = text.split(/\s+/).filter((word) => word !== "").length;
  const count: Count = { lines, words, bytes: Buffer.byteLength(text) };
  await attempt.log(`${attempt.attemptId}: ${words} words\n`);
  return { data: new TextEncoder().encode(JSON.stringify(count)), contentType: "application/json" };
});
for (const signal of ["SIGTERM", "SIGINT"] as const) {
  process.once(signal, () => worker.shutdown());
}
console.log(JSON.stringify(await worker.run()));
