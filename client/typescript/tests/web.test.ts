// The client of browsers, over Node's fetch, which is the same code that runs there; and what keeps it fit for them.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { AuthStatus } from "../src/gen/semel/v1/header_pb.js";
import { connect } from "../src/web.js";
import { errorOf, eventually, makeApp, Server, withoutServer } from "./support/server.js";

const skip = { skip: withoutServer };

test("calls, refusals, many runs and watches work over gRPC-Web", skip, async () => {
  await using server = await Server.start();
  using admin = server.client("web");
  await makeApp(admin, "web", "echo");
  using client = connect(server.endpoint, { app: "web", credentials: { app: "system", secret: server.secret } });

  const error = await errorOf(client.jobs.createJob({ job: "no/job" }));
  assert.deepEqual([error.kind, error.reason, error.violations.length], ["refused", "INVALID", 2]);
  assert.equal(error.authStatus, AuthStatus.PASSED);
  using nobody = connect(server.endpoint, { app: "web" });
  assert.equal((await errorOf(nobody.jobs.runJob({ job: "echo" }))).reason, "CREDENTIALS_MISSING");

  const events: string[] = [];
  const watch = client.watch({ progressIntervalMs: 1000 });
  const kinds = new Set<string>();
  const watching = (async () => {
    for await (const item of watch) {
      kinds.add(item.kind);
      if (item.kind === "event" && item.event.subject.case === "run") {
        events.push(item.event.subject.value.runId);
      }
    }
  })();
  await eventually(() => kinds.has("opened"));
  const made: string[] = [];
  for await (const result of client.submitMany(Array.from({ length: 200 }, () => ({ job: "echo" })))) {
    assert.ok(result.ok);
    made.push(result.response.runId);
  }
  await eventually(() => events.length === 200);
  // Calls of their own come about side by side, so the order of the events is theirs.
  assert.deepEqual([...events].sort(), [...made].sort());
  await eventually(() => kinds.has("progress"));
  watch.close();
  await watching;

  const hanging = await client.jobs.runJob({ job: "echo" });
  const late = await errorOf(client.runs.waitRun({ runId: hanging.runId }, { signal: AbortSignal.timeout(100) }));
  assert.equal(late.kind, "cancelled");
});

test("a server that is not there is told of as such", async () => {
  using client = connect("http://127.0.0.1:9", { overallTimeoutMs: 200 });
  const error = await errorOf(client.server.getServerInfo({}));
  assert.deepEqual([error.kind, error.code, error.mayRetry], ["transport", "UNAVAILABLE", true]);
});

test("credentials do not cross a network in plaintext by mistake", () => {
  const credentials = { token: "token" };
  assert.throws(() => connect("http://semel.example.com", { credentials }), /plaintext/);
  assert.throws(() => connect("semel.example.com"), /endpoint/);
  connect("http://semel.example.com", { credentials, allowPlaintext: true }).close();
  connect("https://semel.example.com", { credentials }).close();
});

const IMPORT = /^(?:import|export) (?:[^"';]* from )?"([^"]+)";/gm;

test("nothing that browsers do not have is imported", () => {
  const seen = new Set<string>();
  const foreign = new Set<string>();
  const visit = (url: URL) => {
    if (seen.has(url.href)) {
      return;
    }
    seen.add(url.href);
    for (const [, from = ""] of readFileSync(url, "utf8").matchAll(IMPORT)) {
      if (from.startsWith(".")) {
        visit(new URL(from, url));
      } else {
        foreign.add(from);
      }
    }
  };
  visit(new URL("../../dist/web.js", import.meta.url));
  assert.ok(seen.size > 20, `${seen.size} files`);
  const known = ["@bufbuild/protobuf", "@connectrpc/connect", "@connectrpc/connect-web", "uuid"];
  const unknown = [...foreign].filter((from) => !known.some((name) => from === name || from.startsWith(`${name}/`)));
  assert.deepEqual(
    unknown.filter((from) => from.startsWith("node:") || from.includes("connect-node")),
    [],
  );
  assert.deepEqual(unknown, []);
});
