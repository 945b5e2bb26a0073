// The commands that make runs, or wait for one.
import { create } from "@bufbuild/protobuf";
import { type Client, type RunInit, SemelError } from "@semel/client";
import * as v1 from "@semel/client/v1";
import { type Command, callOptions, optionalNumber, text } from "./command.js";
import { enumName, errorJson, read, write } from "./wire.js";

/** Many calls of their own, some at a time. */
export async function callMany(client: Client, command: Command, signal: AbortSignal): Promise<object> {
  const count = Number(command.count);
  const results: object[] = new Array(count);
  let next = 0;
  const caller = async () => {
    for (let number = next++; number < count; number = next++) {
      const request = read(v1.RunJobRequestSchema, command.request);
      results[number] = await client.jobs
        .runJob(request, { ...callOptions(command), signal })
        .then(ranJson, failedJson);
    }
  };
  await Promise.all(Array.from({ length: Math.max(Number(command.concurrency ?? 1), 1) }, caller));
  return { results };
}

/** Many runs together; the payload of each is its number. */
export async function submitMany(client: Client, command: Command, signal: AbortSignal): Promise<object> {
  const results: object[] = [];
  const { requestId: _, ...options } = callOptions(command);
  for await (const result of client.submitMany(numbered(command, Number(command.count)), { ...options, signal })) {
    results.push(result.ok ? ranJson(result.response) : failedJson(result.error));
  }
  return { results };
}

/** So many of the runs that a command asks for. */
export function* numbered(command: Command, count: number): Generator<RunInit> {
  const request = read(v1.RunJobRequestSchema, command.request);
  const contentType = request.payload?.contentType ?? "text/plain";
  const encoder = new TextEncoder();
  for (let number = 0; number < count; number++) {
    const payload = create(v1.PayloadSchema, { data: encoder.encode(String(number)), contentType });
    yield { ...request, payload };
  }
}

export async function wait(client: Client, command: Command, signal: AbortSignal): Promise<object> {
  const options = { ...callOptions(command), timeoutMs: optionalNumber(command, "timeout"), signal };
  const { run, finished } = await client.wait(text(command, "run_id"), options);
  return { run: write(v1.RunSchema, run), finished };
}

function ranJson({ header, runId }: v1.RunJobResponse): object {
  const disposition = enumName(v1.DispositionSchema, header?.disposition ?? 0);
  return { request_id: header?.requestId ?? "", run_id: runId, disposition };
}

function failedJson(error: unknown): object {
  if (error instanceof SemelError) {
    return { request_id: error.requestId, error: errorJson(error) };
  }
  throw error;
}
