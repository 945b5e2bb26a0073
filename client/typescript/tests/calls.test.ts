// Calls against a real server.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { inspect } from "node:util";
import { AuthStatus } from "../src/gen/semel/v1/header_pb.js";
import { connect } from "../src/index.js";
import { Disposition, RequestState } from "../src/v1.js";
import { errorOf, eventually, makeApp, Server, withoutServer } from "./support/server.js";

let server: Server;

before(async () => {
  if (withoutServer === false) {
    server = await Server.start();
    using admin = server.client();
    await makeApp(admin, "calls", "echo");
  }
});
after(() => server?.[Symbol.asyncDispose]());

const skip = { skip: withoutServer };

test("a call that is made again under its id takes effect once", skip, async () => {
  using client = server.client("calls");
  const requestId = client.mintRequestId();
  const first = await client.jobs.runJob({ job: "echo" }, { requestId });
  const again = await client.jobs.runJob({ job: "echo" }, { requestId });
  assert.equal(first.header?.disposition, Disposition.EXECUTED);
  assert.equal(again.header?.disposition, Disposition.REPLAYED);
  assert.equal(first.runId, again.runId);
  const { request } = await client.requests.getRequest({ targetRequestId: requestId });
  assert.equal(request?.state, RequestState.DONE);
});

test("a refusal is typed, with all that is wrong at once", skip, async () => {
  using client = server.client("calls");
  const error = await errorOf(client.jobs.createJob({ job: "no/job" }));
  assert.deepEqual([error.kind, error.code, error.reason], ["refused", "INVALID_ARGUMENT", "INVALID"]);
  assert.equal(error.authStatus, AuthStatus.PASSED);
  assert.deepEqual(error.violations.map(({ field }) => field).sort(), ["job", "spec"]);
  assert.ok(!error.mayRetry && error.attempts === 1 && error.header?.requestId === error.requestId);
});

test("a machine whose clock is an hour off works, and an id that was given is not replaced", skip, async () => {
  for (const offset of [-26 * 3_600_000, -3_600_000, 3_600_000]) {
    using client = server.client("calls", { wallClock: () => Date.now() + offset });
    const { header } = await client.jobs.runJob({ job: "echo" });
    assert.equal(header?.disposition, Disposition.EXECUTED);
    assert.ok(Math.abs(client.clockOffsetMs + offset) < 2000);
  }
  using stranger = server.client("calls", { wallClock: () => Date.now() + 3_600_000 });
  const requestId = stranger.mintRequestId();
  const error = await errorOf(stranger.jobs.runJob({ job: "echo" }, { requestId }));
  assert.deepEqual([error.reason, error.requestId], ["REQUEST_ID_IN_FUTURE", requestId]);
});

test("credentials that are refused say so, and nothing shows them", skip, async () => {
  const secret = "sk_wrong_0000000000000000000000000000000000000000000";
  using wrong = server.client("calls", { credentials: { app: "calls", secret } });
  const error = await errorOf(wrong.jobs.runJob({ job: "echo" }));
  assert.deepEqual([error.kind, error.code], ["refused", "UNAUTHENTICATED"]);
  assert.notEqual(error.requestId, "");
  assert.ok(!`${inspect(wrong, { depth: 9, showHidden: true })}${inspect(error, { depth: 9 })}`.includes(secret));
  using garbled = server.client("calls", { credentials: { token: "rubbish" } });
  const refused = await errorOf(garbled.jobs.runJob({ job: "echo" }));
  assert.equal(refused.authStatus, AuthStatus.MALFORMED);
  assert.throws(() => server.client("", { credentials: { token: "two\nlines" } }), /cannot be sent/);
});

test("a call that its caller gives up ends as cancelled", skip, async () => {
  using client = server.client("calls");
  const { runId } = await client.jobs.runJob({ job: "echo" });
  const gone = new AbortController();
  const waiting = errorOf(
    client.runs.waitRun({ runId }, { signal: gone.signal, onAttempt: () => gone.abort("enough") }),
  );
  const error = await waiting;
  assert.deepEqual([error.kind, error.code, error.cause], ["cancelled", "CANCELLED", "enough"]);
  client.close();
  assert.equal((await errorOf(client.server.getServerInfo({}))).kind, "cancelled");
});

test(
  "a hundred calls at a time, under one signal, share a connection and a token without a warning",
  skip,
  async () => {
    const warnings: Error[] = [];
    process.on("warning", (warning) => warnings.push(warning));
    using client = server.client("calls");
    const { signal } = new AbortController();
    const calls = Array.from({ length: 100 }, () => client.jobs.runJob({ job: "echo" }, { signal }));
    const ids = (await Promise.all(calls)).map(({ runId }) => runId);
    assert.equal(new Set(ids).size, 100);
    await new Promise(setImmediate);
    assert.deepEqual(warnings, []);
  },
);

test("a request that cannot be sent is told at once", skip, async () => {
  using client = server.client("calls");
  const error = await errorOf(client.jobs.runJob({ job: "echo", priority: 2 ** 40 }));
  assert.deepEqual([error.kind, error.attempts], ["usage", 0]);
  const header = { requestId: client.mintRequestId() };
  const torn = await errorOf(client.jobs.runJob({ job: "echo", header }, { requestId: client.mintRequestId() }));
  assert.equal(torn.kind, "usage");
  assert.throws(() => connect("semel.example.com"), /endpoint/);
  assert.throws(() => server.client("", { retry: { attemptsMax: 0 } }), /attemptsMax/);
});

test("a run is waited for over as many calls as it takes", skip, async () => {
  using client = server.client("calls");
  const { runId } = await client.jobs.runJob({ job: "echo" });
  const before = await client.wait(runId, { timeoutMs: 200 });
  assert.deepEqual([before.finished, before.run.runId], [false, runId]);
  const ended = client.wait(runId);
  await client.runs.cancelRun({ runId });
  assert.equal((await ended).finished, true);
});

test("a call outlives a server that is started again, and one that is not there is told of", skip, async () => {
  await using other = await Server.start();
  using client = other.client("", { requestTimeoutMs: 2000 });
  await client.server.getServerInfo({});
  await other.stop();
  const error = await errorOf(client.server.getServerInfo({}, { overallTimeoutMs: 300 }));
  assert.deepEqual([error.kind, error.code, error.mayRetry], ["transport", "UNAVAILABLE", true]);
  let attempts = 0;
  const onAttempt = (number: number) => {
    attempts = number;
  };
  const call = client.server.getServerInfo({}, { onAttempt });
  await eventually(() => attempts >= 2);
  await other.run();
  await call;
});

test("credentials do not cross a network in plaintext by mistake", () => {
  const credentials = { token: "token" };
  for (const endpoint of [
    "http://127.0.0.2:1",
    "http://[::1]:1",
    "http://localhost:1",
    "unix:/run/semel.sock",
    "https://a:1",
  ]) {
    connect(endpoint, { credentials }).close();
  }
  for (const endpoint of ["http://10.0.0.1:1", "http://semel.example.com", "http://127.0.0.1.example.com"]) {
    assert.throws(() => connect(endpoint, { credentials }), /plaintext/);
    connect(endpoint).close();
    connect(endpoint, { credentials, allowPlaintext: true }).close();
  }
  for (const endpoint of ["ftp://a", "http://a/path", "https://u@a", "unix:relative", ""]) {
    assert.throws(() => connect(endpoint), /endpoint/, endpoint);
  }
});
