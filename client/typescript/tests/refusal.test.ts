// Reading what a failed attempt says, whoever said it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { refusedError } from "../src/error.js";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../src/gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "../src/gen/google/rpc/status_pb.js";
import { AuthStatus, ResponseHeaderSchema } from "../src/gen/semel/v1/header_pb.js";
import { fromConnectError, fromStatus, reasonOf } from "../src/refusal.js";

const info = create(ErrorInfoSchema, {
  reason: "RESUME_COMPACTED",
  domain: "semel.v1",
  metadata: { oldest_revision: "12" },
});
const header = create(ResponseHeaderSchema, { requestId: "r", auth: { status: AuthStatus.PASSED } });

/** The failure of a call as the transport reads it off the wire. */
function overTheWire(code: Code, message: string, headers: Record<string, string>, details: ConnectError["details"]) {
  const error = new ConnectError(message, code, { "grpc-status": String(code), ...headers });
  error.details = details;
  return error;
}

test("a refusal of a Semel server is read whole", () => {
  const bad = create(BadRequestSchema, { fieldViolations: [{ field: "spec", description: "must be given" }] });
  const retry = create(RetryInfoSchema, { retryDelay: { seconds: 1n, nanos: 500_000_000 } });
  const refusal = fromConnectError(
    overTheWire(Code.OutOfRange, "too old", { "grpc-retry-pushback-ms": "250" }, [
      { type: "google.rpc.ErrorInfo", value: toBinary(ErrorInfoSchema, info) },
      { type: "semel.v1.ResponseHeader", value: toBinary(ResponseHeaderSchema, header) },
      { type: "google.rpc.BadRequest", value: toBinary(BadRequestSchema, bad) },
      { type: "google.rpc.RetryInfo", value: toBinary(RetryInfoSchema, retry) },
    ]),
  );
  const error = refusedError(refusal, "r", 2);
  assert.equal(error.kind, "refused");
  assert.equal(error.code, "OUT_OF_RANGE");
  assert.equal(error.reason, "RESUME_COMPACTED");
  assert.equal(error.authStatus, AuthStatus.PASSED);
  assert.equal(error.mayRetry, false);
  assert.equal(error.attempts, 2);
  assert.deepEqual(error.violations, [{ field: "spec", description: "must be given" }]);
  assert.deepEqual(error.metadata, { oldest_revision: "12" });
  assert.equal(error.retryAfterMs, 1500);
  assert.equal(error.oldestRevision, 12n);
  assert.equal(refusal.pushback, 250);
  assert.equal(error.message, "RESUME_COMPACTED: too old (OUT_OF_RANGE, request r, sent 2 times)");
});

test("a header without a verdict is nobody's of ours", () => {
  const silent = create(ResponseHeaderSchema, { requestId: "r" });
  const value = toBinary(ResponseHeaderSchema, silent);
  const refusal = fromConnectError(overTheWire(Code.Unavailable, "", {}, [{ type: "semel.v1.ResponseHeader", value }]));
  assert.equal(refusal.origin, "other");
  assert.equal(refusedError(refusal, "r", 1).authStatus, AuthStatus.UNSPECIFIED);
});

test("a detail that cannot be decoded does not hide the status", () => {
  const value = new Uint8Array([255, 255, 255]);
  const refusal = fromConnectError(overTheWire(Code.Unavailable, "no", {}, [{ type: "google.rpc.ErrorInfo", value }]));
  assert.deepEqual([refusal.code, refusal.message, reasonOf(refusal)], ["UNAVAILABLE", "no", ""]);
});

test("push-back that is negative or no number forbids retries", () => {
  for (const text of ["-1", "soon", "", "1.5"]) {
    const refusal = fromConnectError(overTheWire(Code.Unavailable, "", { "grpc-retry-pushback-ms": text }, []));
    assert.equal(refusal.pushback, "never", text);
  }
});

test("an item of a stream is read as a call is", () => {
  const details = [anyPack(ErrorInfoSchema, info), anyPack(ResponseHeaderSchema, header)];
  const refusal = fromStatus(create(StatusSchema, { code: 11, message: "too old", details }));
  assert.deepEqual([refusal.code, refusal.origin, reasonOf(refusal)], ["OUT_OF_RANGE", "server", "RESUME_COMPACTED"]);
});

test("what the transport says by itself", () => {
  const lost = (code: string) => {
    const error = new ConnectError("it broke", Code.Internal);
    error.cause = Object.assign(new Error("it broke"), { code });
    return fromConnectError(error);
  };
  assert.equal(lost("ECONNREFUSED").origin, "not_sent");
  assert.equal(lost("ECONNRESET").origin, "no_answer");
  assert.equal(lost("ECONNRESET").code, "UNAVAILABLE");
  const late = fromConnectError(new ConnectError("the operation timed out", Code.DeadlineExceeded));
  assert.deepEqual([late.origin, late.code], ["no_answer", "DEADLINE_EXCEEDED"]);
  const reset = fromConnectError(new ConnectError("http/2 stream closed with error code CANCEL (0x8)", Code.Canceled));
  assert.deepEqual([reset.origin, reset.code], ["no_answer", "CANCELLED"]);
  const html = fromConnectError(new ConnectError("unsupported content type text/html", Code.Unknown));
  assert.deepEqual([html.origin, html.code], ["other", "INTERNAL"]);
  const proxy = fromConnectError(new ConnectError("HTTP 503", Code.Unavailable, { "content-type": "text/html" }));
  assert.deepEqual([proxy.origin, proxy.code], ["other", "UNAVAILABLE"]);
});
