// Calls through what goes wrong on the way, against a scripted server.
import assert from "node:assert/strict";
import { constants } from "node:http2";
import { test } from "node:test";
import { AuthStatus } from "../src/gen/semel/v1/header_pb.js";
import { RunJobResponseSchema } from "../src/gen/semel/v1/job_service_pb.js";
import { type ClientOptions, connect } from "../src/index.js";
import {
  type Answer,
  http,
  made,
  refuses,
  reply,
  resets,
  Scripted,
  says,
  silence,
  spoken,
} from "./support/scripted.js";
import { errorOf } from "./support/server.js";

const FAST: ClientOptions = { retry: { backoffFirstMs: 1, backoffMaxMs: 5 }, overallTimeoutMs: 5000 };

async function tried(answers: Answer[], options: ClientOptions = {}) {
  const server = await Scripted.start(...answers);
  const client = connect(server.endpoint, { ...FAST, ...options });
  return {
    server,
    client,
    run: () => client.jobs.runJob({ job: "settle" }),
    async [Symbol.asyncDispose]() {
      client.close();
      await server[Symbol.asyncDispose]();
    },
  };
}

test("whatever comes in between, a call is sent again under its id until it has an answer", async () => {
  const between: Answer[] = [
    says(14),
    says(4),
    says(1),
    http(502),
    http(503),
    http(504),
    resets(constants.NGHTTP2_CANCEL),
    resets(constants.NGHTTP2_REFUSED_STREAM),
    resets(constants.NGHTTP2_INTERNAL_ERROR),
    resets(constants.NGHTTP2_ENHANCE_YOUR_CALM),
    refuses(14, "DRAINING"),
    refuses(8, "OVERLOADED", { delayMs: 5 }),
    refuses(14, "A_LATER_REASON"),
  ];
  await using case_ = await tried([...between, made]);
  assert.equal((await case_.run()).runId, "run-1");
  assert.equal(case_.server.ids.length, between.length + 1);
  assert.equal(new Set(case_.server.ids).size, 1);
});

test("an attempt that gets no answer ends with the request timeout, which travels along", async () => {
  await using case_ = await tried([silence, resets(constants.NGHTTP2_NO_ERROR), made], { requestTimeoutMs: 100 });
  await case_.run();
  assert.deepEqual(
    case_.server.arrivals.map(({ timeout }) => timeout),
    ["100m", "100m", "100m"],
  );
  assert.equal(new Set(case_.server.ids).size, 1);
});

test("only the word of a Semel server counts", async () => {
  const faults: Answer[] = [
    (stream) => reply(stream, RunJobResponseSchema, { runId: "forged" }),
    (stream) => reply(stream, RunJobResponseSchema, { header: spoken("another"), runId: "forged" }),
    (stream, { requestId }) =>
      reply(stream, RunJobResponseSchema, { header: spoken(requestId, AuthStatus.UNSPECIFIED), runId: "forged" }),
    http(200),
    says(13),
    says(2),
    says(0),
  ];
  for (const fault of faults) {
    await using once = await tried([fault, fault, made]);
    assert.equal((await once.run()).runId, "run-1", "two faults pass");
    await using case_ = await tried([fault]);
    const error = await errorOf(case_.run());
    assert.deepEqual([error.kind, error.attempts, error.authStatus], ["not_semel", 3, AuthStatus.UNSPECIFIED]);
    assert.equal(new Set(case_.server.ids).size, 1);
  }
});

test("what binds is given up at once, and says whose word it is", async () => {
  const finals: [Answer, string, string][] = [
    [refuses(7, "FORBIDDEN", { status: AuthStatus.FORBIDDEN }), "refused", "PERMISSION_DENIED"],
    [refuses(9, "REQUEST_ID_REUSED"), "refused", "FAILED_PRECONDITION"],
    [says(7), "not_semel", "PERMISSION_DENIED"],
    [says(16), "not_semel", "UNAUTHENTICATED"],
    [says(8), "not_semel", "RESOURCE_EXHAUSTED"],
    [http(403), "not_semel", "PERMISSION_DENIED"],
    [says(14, { "grpc-retry-pushback-ms": "-1" }), "not_semel", "UNAVAILABLE"],
  ];
  for (const [answer, kind, code] of finals) {
    await using case_ = await tried([answer], { credentials: { app: "pay", secret: "sk_secret" } });
    const error = await errorOf(case_.run());
    assert.deepEqual([error.kind, error.code, error.attempts], [kind, code, 1]);
    assert.equal(case_.server.tokens.length, 1, "no fresh token for that");
  }
});

test("a refused token is renewed once, under the same id, and all callers share it", async () => {
  const expired = refuses(16, "CREDENTIALS_EXPIRED", { status: AuthStatus.EXPIRED });
  const options = { credentials: { app: "pay", secret: "sk_secret" } };
  await using case_ = await tried([expired, made], options);
  await case_.run();
  assert.deepEqual(
    case_.server.arrivals.map(({ token }) => token),
    ["token-1", "token-2"],
  );
  assert.equal(new Set(case_.server.ids).size, 1);

  await using twice = await tried([expired], options);
  const error = await errorOf(twice.run());
  assert.deepEqual([error.reason, error.attempts, twice.server.tokens.length], ["CREDENTIALS_EXPIRED", 2, 2]);

  await using many = await tried([made], options);
  await Promise.all(Array.from({ length: 20 }, () => many.run()));
  assert.equal(many.server.tokens.length, 1);
});

test("a fresh id is minted once, where no outcome is open", async () => {
  const future = refuses(3, "REQUEST_ID_IN_FUTURE");
  await using case_ = await tried([future, made]);
  await case_.run();
  assert.equal(new Set(case_.server.ids).size, 2);
  await using twice = await tried([future]);
  const error = await errorOf(twice.run());
  assert.deepEqual([error.attempts, error.requestId], [2, twice.server.ids[1]]);
  await using open = await tried([says(14), refuses(9, "REQUEST_ID_EXPIRED")]);
  assert.equal((await errorOf(open.run())).reason, "REQUEST_ID_EXPIRED");
  assert.equal(new Set(open.server.ids).size, 1);
});

test("without retries a call is sent once, whatever becomes of it", async () => {
  for (const answer of [says(14), says(13), refuses(16, "CREDENTIALS_EXPIRED"), refuses(3, "REQUEST_ID_IN_FUTURE")]) {
    await using case_ = await tried([answer, made], {
      retry: { attemptsMax: 1 },
      credentials: { app: "p", secret: "sk" },
    });
    assert.equal((await errorOf(case_.run())).attempts, 1);
    assert.equal(case_.server.ids.length, 1);
  }
});

test("the server's wish to wait is kept, and a wait that the time does not suffice for is not begun", async () => {
  await using case_ = await tried([refuses(14, "DRAINING", { delayMs: 200 }), made]);
  const begun = performance.now();
  await case_.run();
  assert.ok(performance.now() - begun >= 200);
  await using short = await tried([refuses(14, "DRAINING", { delayMs: 900 })], { overallTimeoutMs: 500 });
  const error = await errorOf(short.run());
  assert.deepEqual([error.reason, error.attempts, error.retryAfterMs], ["DRAINING", 1, 900]);
});
