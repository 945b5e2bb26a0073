// The commands that measure: what this client submits in a time, and what the bare generated stub would.
import { create } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import type { Client } from "@semel/client";
import * as v1 from "@semel/client/v1";
import { v7 } from "uuid";
import { type Command, text } from "./command.js";
import { numbered } from "./runs.js";

/** Items without an answer that the bare stub keeps under way, as this client does. */
const OUTSTANDING_MAX = 4096;

/** As many runs as go through in the time. */
export async function benchSubmit(client: Client, command: Command): Promise<object> {
  const begun = performance.now();
  const until = begun + Number(command.duration);
  function* runs() {
    for (const run of numbered(command, Number.POSITIVE_INFINITY)) {
      if (performance.now() >= until) {
        return;
      }
      yield run;
    }
  }
  let items = 0;
  for await (const result of client.submitMany(runs())) {
    if (!result.ok) {
      throw result.error;
    }
    items += 1;
  }
  return { items, elapsed: performance.now() - begun };
}

/** The same by the stub alone, against a server that only answers. */
export async function benchEcho(command: Command): Promise<object> {
  const abort = new AbortController();
  const stub = createClient(v1.JobService, createGrpcTransport({ baseUrl: text(command, "endpoint") }));
  const perMessage = Number(command.per_message ?? 100);
  const begun = performance.now();
  const until = begun + Number(command.duration);
  let outstanding = 0;
  let resume = () => {};
  async function* requests() {
    while (performance.now() < until) {
      if (outstanding + perMessage > OUTSTANDING_MAX) {
        await new Promise<void>((resolve) => {
          resume = resolve;
        });
        continue;
      }
      outstanding += perMessage;
      const runs = Array.from({ length: perMessage }, () => ({ header: { requestId: v7() }, job: "echo" }));
      yield create(v1.SubmitRunsRequestSchema, { runs });
    }
  }
  let items = 0;
  for await (const { results } of stub.submitRuns(requests(), { signal: abort.signal })) {
    items += results.length;
    outstanding -= results.length;
    resume();
  }
  return { items, elapsed: performance.now() - begun };
}
