// What a worker knows of leases, logs and ends of handlers; without a stream.
import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { ServerClock } from "../src/clock.js";
import { LogStream } from "../src/gen/semel/v1/run_service_pb.js";
import { AssignmentSchema, OpenedSchema } from "../src/gen/semel/v1/worker_service_pb.js";
import { Attempt } from "../src/worker/attempt.js";
import { errorText, PermanentError, RetryError } from "../src/worker/handler.js";
import { Held, outcomeOf } from "../src/worker/held.js";
import { Lease } from "../src/worker/lease.js";
import { CHUNK_BYTES, LogBuffer } from "../src/worker/log.js";

const LEASE_MS = 30_000;

function opened(): Lease {
  const lease = new Lease();
  lease.opened(create(OpenedSchema, { leaseDuration: { seconds: 30n } }), 0, 0);
  return lease;
}

test("an answer renews from when its heartbeat was sent", () => {
  const lease = opened();
  lease.sent(10_000);
  lease.sent(20_000);
  lease.answered();
  assert.ok(!lease.justLost(40_000));
  assert.ok(lease.justLost(41_000));
  assert.ok(!lease.justLost(42_000), "it is said once");
});

test("an old answer that is read late renews nothing", () => {
  const lease = opened();
  lease.sent(5000);
  assert.ok(lease.justLost(100_000));
  lease.heard(100_000);
  lease.answered();
  assert.ok(lease.justLost(100_000));
});

test("silence and unanswered heartbeats both show a dead stream", () => {
  const lease = opened();
  assert.ok(!lease.isSilent(LEASE_MS));
  assert.ok(lease.isSilent(LEASE_MS + 1));
  for (let number = 0; number <= 64; number++) {
    lease.sent(0);
  }
  assert.ok(lease.isSilent(0));
  assert.ok(!new Lease().justLost(1e9), "before the first stream there is nothing to lose");
});

test("what is reported of a handler's end", () => {
  const broke = { error: new Error("bad luck", { cause: new Error("a stone") }) };
  const text = outcomeOf(undefined, { result: "hi" });
  assert.deepEqual(text?.case === "succeeded" && text.value.result?.contentType, "text/plain; charset=utf-8");
  assert.deepEqual(outcomeOf(undefined, { result: undefined }), { case: "succeeded", value: {} });
  assert.deepEqual(outcomeOf(undefined, broke), {
    case: "failed",
    value: { error: "bad luck: a stone", permanent: false },
  });
  const permanent = outcomeOf(undefined, { error: new PermanentError("never") });
  assert.equal(permanent?.case === "failed" && permanent.value.permanent, true);
  const later = outcomeOf(undefined, { error: new RetryError("soon", 1500) });
  assert.deepEqual(later?.case === "failed" && later.value.retryAfter?.seconds, 1n);
  assert.equal(outcomeOf("cancelled", broke)?.case, "cancelled");
  assert.equal(outcomeOf("draining", broke)?.case, "released");
  assert.equal(outcomeOf("lease_lost", broke)?.case, "released");
  assert.equal(outcomeOf("over", broke), undefined);
  assert.equal(outcomeOf("cancelled", { result: "done" })?.case, "succeeded", "what is done is done");
  assert.equal(errorText("a text"), "a text");
});

test("a stronger reason to stop takes the place of a weaker one, and not the other way", () => {
  const held = new Held(create(AssignmentSchema, { runId: "r", attempt: 2n }));
  assert.ok(held.tell("draining"));
  assert.ok(!held.tell("lease_lost"));
  assert.ok(held.tell("over"));
  assert.ok(held.isOver && held.abort.signal.aborted && held.key === "r/2");
});

test("small writes become one chunk, and another stream begins a new one", async () => {
  const log = new LogBuffer();
  const write = (stream: LogStream, text: string) => log.write(stream, Buffer.from(text));
  assert.ok(await log.reserve(3));
  assert.ok(!write(LogStream.STDOUT, "one"));
  write(LogStream.STDOUT, "two");
  write(LogStream.STDERR, "bad");
  const chunks = log.take().map(({ stream, data }) => [stream, Buffer.from(data).toString()]);
  assert.deepEqual(chunks, [
    [LogStream.STDOUT, "onetwo"],
    [LogStream.STDERR, "bad"],
  ]);
  assert.deepEqual(log.take(), []);
  assert.ok(log.write(LogStream.STDOUT, Buffer.alloc(CHUNK_BYTES)), "a full chunk is sent at once");
});

test("a writer waits for room, and goes on when the log is closed", async () => {
  const log = new LogBuffer();
  let written = 0;
  let isWaiting = false;
  const writer = (async () => {
    while (await log.reserve(CHUNK_BYTES)) {
      log.write(LogStream.STDOUT, Buffer.alloc(CHUNK_BYTES));
      written += 1;
    }
    isWaiting = true;
  })();
  await new Promise(setImmediate);
  assert.equal(written, 7);
  const [chunk] = log.take();
  assert.ok(chunk);
  log.release(chunk);
  await new Promise(setImmediate);
  assert.equal(written, 8);
  assert.ok(!isWaiting);
  log.close();
  await writer;
});

test("a handler learns where its attempt stands in a trace, or that it stands in none", () => {
  const mouth = { log: new LogBuffer(), progress: () => {}, hasLog: () => {} };
  const attempt = (assignment: Parameters<typeof create<typeof AssignmentSchema>>[1]) =>
    new Attempt(create(AssignmentSchema, assignment), new ServerClock(() => 0), mouth);
  const traceparent = `00-${"a1".repeat(16)}-${"b2".repeat(8)}-01`;
  assert.deepEqual(attempt({ traceContext: { traceparent, tracestate: "a=1" } }).traceContext, {
    traceparent,
    tracestate: "a=1",
  });
  assert.equal(attempt({}).traceContext, undefined);
});
