// The driver: makes this client do what a runner says, by the protocol of client/conformance/DRIVER.md. This file owns the
// lines in and out and who is answered when; what the commands do stands beside it.
import { createInterface } from "node:readline";
import { SemelError } from "@semel/client";
import { Session } from "./session.js";
import { errorJson, Unsupported } from "./wire.js";

const session = new Session(say);
const underWay = new Set<Promise<void>>();

function say(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

async function answer(text: string): Promise<void> {
  let id: unknown = null;
  try {
    const command = JSON.parse(text);
    id = command.id;
    say({ id, ok: await session.run(command) });
  } catch (error) {
    if (error instanceof SemelError) {
      say({ id, error: errorJson(error) });
    } else if (error instanceof Unsupported) {
      say({ id, unsupported: error.message });
    } else {
      process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
      say({ id, fault: error instanceof Error ? error.message : String(error) });
    }
  }
}

process.on("unhandledRejection", (error) => process.stderr.write(`unhandled: ${String(error)}\n`));

for await (const line of createInterface({ input: process.stdin, crlfDelay: Number.POSITIVE_INFINITY })) {
  if (line.trim() !== "") {
    const done = answer(line).finally(() => underWay.delete(done));
    underWay.add(done);
  }
}
session.close();
await Promise.all(underWay);
// What the answers wrote has to leave the pipe before the process does.
process.stdout.write("", () => process.exit(0));
