// Many runs, watches and workers against a real server.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Client, RunInit, Submitted, WatchItem } from "../src/index.js";
import { PermanentError, Stopped } from "../src/index.js";
import { EventKind, RunState, SnapshotScope } from "../src/v1.js";
import { errorOf, eventually, makeApp, Server, withoutServer } from "./support/server.js";

let server: Server;

before(async () => {
  if (withoutServer === false) {
    server = await Server.start();
  }
});
after(() => server?.[Symbol.asyncDispose]());

const skip = { skip: withoutServer };

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) {
    found.push(item);
  }
  return found;
}

function runIds(results: readonly Submitted[]): string[] {
  return results.map((result) => (result.ok ? result.response.runId : assert.fail(result.error)));
}

async function payloadOf(client: Client, runId: string): Promise<string> {
  const { run } = await client.runs.getRun({ runId });
  return new TextDecoder().decode(run?.payload?.data);
}

test("many runs are made, each once, and told of in their order", skip, async () => {
  using client = server.client("many");
  await makeApp(client, "many", "echo");
  async function* runs(): AsyncGenerator<RunInit> {
    for (let number = 0; number < 3000; number++) {
      yield { job: "echo", payload: { data: new TextEncoder().encode(String(number)) } };
    }
  }
  const ids = runIds(await all(client.submitMany(runs())));
  assert.equal(new Set(ids).size, 3000);
  for (const number of [0, 1, 1500, 2999]) {
    assert.equal(await payloadOf(client, ids[number] ?? ""), String(number));
  }
});

test("a run that is refused does not end the others", skip, async () => {
  using client = server.client("many");
  const jobs = ["echo", "nobody", "echo", "no/job"];
  const results = await all(client.submitMany(jobs.map((job) => ({ job }))));
  assert.deepEqual(
    results.map((result) => (result.ok ? "" : result.error.reason)),
    ["", "NOT_FOUND", "", "INVALID"],
  );
  assert.ok(results.every(({ requestId }) => requestId !== ""));
  const large = { job: "echo", payload: { data: new Uint8Array(300 * 1024) } };
  assert.equal(runIds(await all(client.submitMany([large, { job: "echo" }, large]))).length, 3);
});

test("who takes results slowly holds the iterator of the runs, and leaving the loop ends it", skip, async () => {
  using client = server.client("many");
  let taken = 0;
  let isOver = false;
  function* endless(): Generator<RunInit> {
    try {
      for (;;) {
        taken += 1;
        yield { job: "echo" };
      }
    } finally {
      isOver = true;
    }
  }
  for await (const result of client.submitMany(endless())) {
    assert.ok(result.ok);
    await eventually(() => taken > 4096);
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.ok(taken <= 4100, String(taken));
    break;
  }
  await eventually(() => isOver);
});

test("what the iterator of the runs fails with is told after the results", skip, async () => {
  using client = server.client("many");
  function* torn(): Generator<RunInit> {
    yield { job: "echo" };
    throw new Error("the file ends here");
  }
  const results: Submitted[] = [];
  await assert.rejects(async () => {
    for await (const result of client.submitMany(torn())) {
      results.push(result);
    }
  }, /the file ends here/);
  assert.equal(results.length, 1);
});

test("a watch tells each event once, over a server that is started again and a program that is", skip, async () => {
  await using other = await Server.start();
  using client = other.client("seen");
  await makeApp(client, "seen", "echo");
  const seen: string[] = [];
  const kinds = new Set<string>();
  let token = "";
  const watchFrom = async (count: number) => {
    const start = token === "" ? { snapshot: SnapshotScope.LIVE } : { resume: token };
    for await (const item of client.watch({ ...start, kinds: [EventKind.RUN_CREATED] })) {
      kinds.add(item.kind);
      token = item.resumeToken ?? token;
      if (item.kind === "event" && item.event.subject.case === "run") {
        seen.push(item.event.subject.value.runId);
      }
      if (seen.length >= count) {
        return;
      }
    }
  };
  const made: string[] = [];
  const make = async (count: number) =>
    made.push(...runIds(await all(client.submitMany(Array.from({ length: count }, () => ({ job: "echo" }))))));
  const first = watchFrom(150);
  await eventually(() => kinds.has("snapshot_end"));
  await make(100);
  await other.stop("SIGKILL");
  await other.run();
  await make(100);
  await first;
  assert.ok(kinds.has("lost") && kinds.has("opened") && kinds.has("event"), [...kinds].join());
  await watchFrom(200);
  assert.deepEqual(seen, made);
});

test("a watch ends where something binds, and quietly where it is closed", skip, async () => {
  using client = server.client("bound");
  await makeApp(client, "bound", "echo");
  const error = await errorOf(all(client.watch({ startAt: 1_000_000n })));
  assert.deepEqual([error.kind, error.reason], ["refused", "INVALID"]);
  const watch = client.watch();
  assert.equal((await watch.next()).value?.kind, "opened");
  const next = watch.next();
  watch.close();
  assert.deepEqual(await next, { done: true, value: undefined });
  const gone = new AbortController();
  const items: WatchItem[] = [];
  const cancelled = await errorOf(
    (async () => {
      for await (const item of client.watch({ signal: gone.signal })) {
        items.push(item);
        gone.abort();
      }
    })(),
  );
  assert.deepEqual([cancelled.kind, items.length], ["cancelled", 1]);
});

test("a worker does what runs ask for, and drains when it is told to", skip, async () => {
  using client = server.client("work");
  await makeApp(client, "work", "count", "break", "hang");
  let told: unknown;
  const streams: boolean[] = [];
  const worker = client
    .worker({ slots: 4, onStream: (isOpen) => streams.push(isOpen) })
    .handle("count", async (attempt) => {
      attempt.progress(0.5, "half");
      await attempt.log(`attempt ${attempt.attemptId}\n`);
      return String(attempt.text().split(/\s+/).length);
    })
    .handle("break", () => {
      throw new PermanentError("bad luck");
    })
    .handle(
      "hang",
      (_, signal) =>
        new Promise((_, reject) => {
          signal.addEventListener("abort", () => {
            told = signal.reason;
            reject(signal.reason);
          });
        }),
    );
  const working = worker.run();
  const payload = { data: new TextEncoder().encode("to be or not"), contentType: "text/plain" };
  const counted = await client.jobs.runJob({ job: "count", payload });
  const { run } = await client.wait(counted.runId);
  assert.equal(new TextDecoder().decode(run.result?.data), "4");
  const { chunks } = await client.runs.getRunLogs({ runId: counted.runId });
  assert.equal(new TextDecoder().decode(chunks[0]?.data), `attempt ${counted.runId}/1\n`);

  const broken = await client.wait((await client.jobs.runJob({ job: "break" })).runId);
  assert.deepEqual([broken.run.state, broken.run.attempts[0]?.error], [RunState.FAILED, "bad luck"]);

  const hanging = await client.jobs.runJob({ job: "hang" });
  await eventually(async () => (await client.runs.getRun({ runId: hanging.runId })).run?.state === RunState.RUNNING);
  await client.runs.cancelRun({ runId: hanging.runId });
  assert.equal((await client.wait(hanging.runId)).run.state, RunState.CANCELLED);
  assert.equal(told instanceof Stopped && told.why, "cancelled");

  worker.shutdown();
  const { succeeded, failed, cancelled, released } = await working;
  assert.deepEqual([succeeded, failed, cancelled, released], [1, 1, 1, 0]);
  assert.deepEqual(streams, [true]);
});

test(
  "a report is kept over a server that is started again, and a drain gives back what does not end",
  skip,
  async () => {
    await using other = await Server.start();
    using client = other.client("kept");
    await makeApp(client, "kept", "slow", "hang");
    let release = () => {};
    const worker = client
      .worker({ slots: 2, drainTimeoutMs: 100 })
      .handle(
        "slow",
        () =>
          new Promise<string>((resolve) => {
            release = () => resolve("done");
          }),
      )
      .handle(
        "hang",
        (_, signal) =>
          new Promise((_, reject) => {
            signal.addEventListener("abort", () => reject(signal.reason));
          }),
      );
    const working = worker.run();
    const { runId } = await client.jobs.runJob({ job: "slow" });
    const isRunning = async (runId: string) => (await client.runs.getRun({ runId })).run?.state === RunState.RUNNING;
    await eventually(() => isRunning(runId));
    await other.stop("SIGKILL");
    release();
    await other.run();
    const { run } = await client.wait(runId);
    assert.deepEqual([run.state, run.attempts.length], [RunState.SUCCEEDED, 1]);
    const hanging = await client.jobs.runJob({ job: "hang" });
    await eventually(() => isRunning(hanging.runId));
    worker.shutdown();
    assert.equal((await working).released, 1);
    const back = await client.runs.getRun({ runId: hanging.runId });
    assert.equal(back.run?.state, RunState.QUEUED);
  },
);

test("a worker that may not work is told so", skip, async () => {
  using client = server.client("work", { credentials: { token: "rubbish" } });
  const worker = client.worker().handle("count", () => {});
  const error = await errorOf(worker.run());
  assert.deepEqual([error.kind, error.code], ["refused", "UNAUTHENTICATED"]);
  await assert.rejects(client.worker().run(), /handlers/);
});
