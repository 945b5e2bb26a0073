// The table of refusals, row by row, and what is decided by it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import type { GrpcCode } from "../src/codes.js";
import { ErrorInfoSchema } from "../src/gen/google/rpc/error_details_pb.js";
import { AuthStatus, ResponseHeaderSchema } from "../src/gen/semel/v1/header_pb.js";
import { localRefusal, nothingHappened, type Refusal } from "../src/refusal.js";
import { backoffMs, type Decision, decide, FAULTS_MAX, type Progress, RETRY_DEFAULT } from "../src/retry.js";

const DELAY = 700;

function refused(code: GrpcCode, reason: string, more: Partial<Refusal> = {}): Refusal {
  const header = create(ResponseHeaderSchema, { auth: { status: AuthStatus.PASSED }, serverTime: {} });
  const info = create(ErrorInfoSchema, { reason, domain: "semel.v1" });
  return { ...localRefusal(code, "", "server"), info, header, ...more };
}

function first(more: Partial<Progress> = {}): Progress {
  return {
    attempts: 1,
    faults: 0,
    canRefresh: true,
    refreshed: false,
    idGiven: false,
    mintedAnew: false,
    outcomeOpen: false,
    ...more,
  };
}

const again = (waitMs?: number): Decision => ({ action: "again", waitMs });
const GIVE_UP: Decision = { action: "give_up" };
const REFRESH: Decision = { action: "refresh" };
const MINT_ANEW: Decision = { action: "mint_anew" };

function check(refusal: Refusal, progress: Progress, expected: Decision): void {
  assert.deepEqual(
    decide(refusal, progress, RETRY_DEFAULT),
    expected,
    JSON.stringify([refusal.code, refusal.info, progress]),
  );
  const once = decide(refusal, progress, { ...RETRY_DEFAULT, attemptsMax: 1 });
  assert.deepEqual(once, GIVE_UP, "without retries nothing is sent again");
}

test("the table row by row", () => {
  const rows: [GrpcCode, string, number | undefined, Decision][] = [
    ["UNAUTHENTICATED", "CREDENTIALS_MISSING", undefined, REFRESH],
    ["UNAUTHENTICATED", "CREDENTIALS_MALFORMED", undefined, REFRESH],
    ["UNAUTHENTICATED", "CREDENTIALS_INVALID", undefined, REFRESH],
    ["UNAUTHENTICATED", "CREDENTIALS_EXPIRED", undefined, REFRESH],
    ["UNAUTHENTICATED", "CREDENTIALS_REVOKED", undefined, REFRESH],
    ["UNAVAILABLE", "AUTH_UNAVAILABLE", DELAY, again(DELAY)],
    ["UNAVAILABLE", "AUTH_UNAVAILABLE", undefined, again()],
    ["PERMISSION_DENIED", "FORBIDDEN", undefined, GIVE_UP],
    ["RESOURCE_EXHAUSTED", "AUTH_THROTTLED", DELAY, again(DELAY)],
    ["RESOURCE_EXHAUSTED", "AUTH_THROTTLED", undefined, GIVE_UP],
    ["INVALID_ARGUMENT", "REQUEST_ID_MISSING", undefined, GIVE_UP],
    ["INVALID_ARGUMENT", "REQUEST_ID_IN_FUTURE", undefined, MINT_ANEW],
    ["FAILED_PRECONDITION", "REQUEST_ID_REUSED", undefined, GIVE_UP],
    ["FAILED_PRECONDITION", "REQUEST_ID_EXPIRED", undefined, MINT_ANEW],
    ["RESOURCE_EXHAUSTED", "OVERLOADED", DELAY, again(DELAY)],
    ["RESOURCE_EXHAUSTED", "OVERLOADED", undefined, again()],
    ["RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", DELAY, again(DELAY)],
    ["RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", undefined, GIVE_UP],
    ["UNAVAILABLE", "DRAINING", undefined, again()],
    ["UNAVAILABLE", "NO_OWNER", undefined, again()],
    ["DEADLINE_EXCEEDED", "OUTCOME_UNKNOWN", undefined, again()],
    ["FAILED_PRECONDITION", "LEASE_STALE", undefined, GIVE_UP],
    ["OUT_OF_RANGE", "RESUME_COMPACTED", undefined, GIVE_UP],
    ["INVALID_ARGUMENT", "INVALID", undefined, GIVE_UP],
    ["NOT_FOUND", "NOT_FOUND", undefined, GIVE_UP],
    ["ABORTED", "ETAG_MISMATCH", undefined, GIVE_UP],
    ["INTERNAL", "INTERNAL", undefined, again()],
    ["UNAVAILABLE", "A_REASON_OF_A_LATER_VERSION", undefined, again()],
    ["FAILED_PRECONDITION", "A_REASON_OF_A_LATER_VERSION", undefined, GIVE_UP],
  ];
  for (const [code, reason, retryDelayMs, expected] of rows) {
    check(refused(code, reason, retryDelayMs === undefined ? {} : { retryDelayMs }), first(), expected);
  }
});

test("what no Semel server said", () => {
  const rows: [GrpcCode, Decision][] = [
    ["UNAVAILABLE", again()],
    ["CANCELLED", again()],
    ["DEADLINE_EXCEEDED", again()],
    ["INTERNAL", again()],
    ["UNKNOWN", again()],
    ["OK", again()],
    ["UNAUTHENTICATED", GIVE_UP],
    ["PERMISSION_DENIED", GIVE_UP],
    ["RESOURCE_EXHAUSTED", GIVE_UP],
    ["UNIMPLEMENTED", GIVE_UP],
  ];
  for (const [code, expected] of rows) {
    check(localRefusal(code, "", "other"), first(), expected);
  }
  for (const origin of ["not_sent", "no_answer"] as const) {
    check(localRefusal("UNKNOWN", "", origin), first({ faults: 9 }), again());
  }
});

test("a reason of another domain is none of ours, nor is one without a header of ours", () => {
  const info = create(ErrorInfoSchema, { reason: "CREDENTIALS_EXPIRED", domain: "istio.io" });
  check(refused("PERMISSION_DENIED", "", { info }), first(), GIVE_UP);
  check(refused("UNAUTHENTICATED", "CREDENTIALS_EXPIRED", { origin: "other" }), first(), GIVE_UP);
});

test("credentials are renewed once, and only where they can be", () => {
  const refusal = refused("UNAUTHENTICATED", "CREDENTIALS_EXPIRED");
  check(refusal, first({ refreshed: true }), GIVE_UP);
  check(refusal, first({ canRefresh: false }), GIVE_UP);
});

test("a fresh id is minted only where the former one surely took no effect", () => {
  for (const reason of ["REQUEST_ID_EXPIRED", "REQUEST_ID_IN_FUTURE"]) {
    const refusal = refused("FAILED_PRECONDITION", reason);
    check(refusal, first(), MINT_ANEW);
    check(refusal, first({ attempts: 2, refreshed: true }), MINT_ANEW);
    check(refusal, first({ idGiven: true }), GIVE_UP);
    check(refusal, first({ mintedAnew: true }), GIVE_UP);
    check(refusal, first({ attempts: 2, outcomeOpen: true }), GIVE_UP);
    const { header: _, ...timeless } = refusal;
    check(timeless, first(), GIVE_UP);
  }
});

test("faults are bounded, and so are attempts", () => {
  check(localRefusal("INTERNAL", "", "other"), first({ attempts: 3, faults: FAULTS_MAX }), GIVE_UP);
  const passing = localRefusal("UNAVAILABLE", "", "other");
  check(passing, first({ attempts: RETRY_DEFAULT.attemptsMax - 1 }), again());
  check(passing, first({ attempts: RETRY_DEFAULT.attemptsMax }), GIVE_UP);
});

test("push-back rules over what the status says", () => {
  const passing = refused("UNAVAILABLE", "DRAINING");
  check({ ...passing, pushback: "never" }, first(), GIVE_UP);
  check({ ...passing, pushback: DELAY }, first(), again(DELAY));
  check({ ...passing, pushback: DELAY, retryDelayMs: 2 * DELAY }, first(), again(2 * DELAY));
});

test("the back-off doubles up to its bound, and jitters over all of it", () => {
  assert.deepEqual(
    [1, 2, 5, 20, 5000].map((number) => backoffMs(RETRY_DEFAULT, number, 1)),
    [50, 100, 800, 5000, 5000],
  );
  assert.equal(backoffMs(RETRY_DEFAULT, 5, 0.5), 400);
  assert.equal(backoffMs(RETRY_DEFAULT, 5, 0), 0);
});

test("what leaves the outcome open", () => {
  assert.ok(nothingHappened(localRefusal("UNAVAILABLE", "", "not_sent")));
  assert.ok(!nothingHappened(localRefusal("UNAVAILABLE", "", "no_answer")));
  assert.ok(!nothingHappened(localRefusal("PERMISSION_DENIED", "", "other")));
  assert.ok(nothingHappened(refused("UNAVAILABLE", "DRAINING")));
  for (const code of ["DEADLINE_EXCEEDED", "CANCELLED", "INTERNAL", "UNKNOWN"] as const) {
    assert.ok(!nothingHappened(refused(code, "INTERNAL")), code);
  }
});
