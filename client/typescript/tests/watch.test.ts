// The course of a watch, its tokens, and what follows when its stream is lost; without a stream.
import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { refusedError, SemelError } from "../src/error.js";
import { ErrorInfoSchema } from "../src/gen/google/rpc/error_details_pb.js";
import { SnapshotScope, WatchOpenedSchema, WatchResponseSchema } from "../src/gen/semel/v1/watch_service_pb.js";
import { localRefusal, type Refusal } from "../src/refusal.js";
import { RETRY_DEFAULT } from "../src/retry.js";
import { Course } from "../src/watch/course.js";
import type { WatchItem } from "../src/watch/item.js";
import { decideNext, pace, type Troubles } from "../src/watch/reconnect.js";
import { formatToken, parseToken } from "../src/watch/token.js";

const OPENED = create(WatchOpenedSchema, { revision: 4n, oldestRevision: 1n });

type Kind = MessageInitShape<typeof WatchResponseSchema>["kind"];

function message(resumeToken: string, kind: Kind) {
  return create(WatchResponseSchema, { resumeToken, kind } as never);
}

function events(token: string, ...events: [app: string, revision: bigint][]) {
  const value = { events: events.map(([app, revision]) => ({ app, revision })) };
  return message(token, { case: "events", value } as Kind);
}

/** Kind, revision and token of each item. */
function told(items: readonly WatchItem[] | undefined): unknown[] {
  return (items ?? []).map((item) => {
    const revision = item.kind === "event" ? item.event.revision : "revision" in item ? item.revision : undefined;
    return [item.kind, revision, item.resumeToken];
  });
}

test("a token is written down and read back, and what is none is told at once", () => {
  for (const text of ["AbC-_", "AbC~pay:7:1", "AbC~:9:2,pay/settle:7:1"]) {
    assert.equal(formatToken(parseToken(text)), text);
  }
  for (const text of ["", "~pay:7:1", "AbC~", "AbC~pay", "AbC~pay:x:1", "AbC~pay:7:1,"]) {
    assert.throws(() => parseToken(text), SemelError, text);
  }
});

test("each event of a message has a place of its own", () => {
  const course = new Course({});
  assert.deepEqual(told(course.open(OPENED, "A")), [["opened", 4n, "A"]]);
  assert.deepEqual(told(course.take(events("B", ["pay", 6n], ["pay", 6n], ["shop", 7n]))), [
    ["event", 6n, "A~pay:6:1"],
    ["event", 6n, "A~pay:6:2"],
    ["event", 7n, "B"],
  ]);
});

test("after a restart in the middle of a message only what was not told is told", () => {
  const course = new Course({ resume: "A~pay:6:1" });
  assert.deepEqual(course.request("").start, { case: "resumeToken", value: "A" });
  course.open(OPENED, "A");
  assert.deepEqual(told(course.take(events("B", ["pay", 6n], ["pay", 6n], ["shop", 7n]))), [
    ["event", 6n, "A~pay:6:2"],
    ["event", 7n, "B"],
  ]);
});

test("what comes again over a new stream is left out, and what is new is not", () => {
  const course = new Course({});
  course.open(OPENED, "A");
  course.take(events("", ["pay", 5n], ["pay", 6n]));
  const error = refusedError(localRefusal("UNAVAILABLE", "", "no_answer"), "", 1);
  assert.deepEqual(told(course.lose(error)), [["lost", undefined, "A~pay:6:1"]]);
  assert.deepEqual(course.lose(error), [], "it is said once");
  assert.deepEqual(course.request("").start, { case: "resumeToken", value: "A" });
  assert.deepEqual(told(course.open(OPENED, "A")), [["opened", 4n, "A~pay:6:1"]]);
  const again = course.take(events("B", ["pay", 5n], ["pay", 6n], ["pay", 6n], ["pay", 7n]));
  assert.deepEqual(
    told(again).map((item) => (item as unknown[])[1]),
    [6n, 7n],
  );
});

test("a snapshot has no token before its end, and is begun again after a break", () => {
  const course = new Course({ snapshot: SnapshotScope.LIVE });
  const opened = told(course.open(OPENED, ""));
  assert.deepEqual(opened, [
    ["opened", 4n, undefined],
    ["snapshot_begin", undefined, undefined],
  ]);
  const rows = { case: "snapshot", value: { runs: [{ runId: "r" }], jobs: [{ name: "j" }] } } as Kind;
  assert.deepEqual(told(course.take(message("", rows))), [
    ["run", undefined, undefined],
    ["job", undefined, undefined],
  ]);
  assert.equal(course.request("").snapshot, SnapshotScope.LIVE);
  const begun = course.open(OPENED, "");
  assert.equal(begun?.[0]?.kind === "snapshot_begin" && begun[0].cause, "broken_off");
  assert.deepEqual(told(course.take(message("T", { case: "snapshotEnd", value: { revision: 9n } } as Kind))), [
    ["snapshot_end", 9n, "T"],
  ]);
  assert.ok(course.isAtToken);
});

test("a message of a later server's kind is passed over, and its token is not taken", () => {
  const course = new Course({});
  course.open(OPENED, "A");
  assert.deepEqual(course.take(message("X", { case: undefined } as Kind)), []);
  assert.equal(course.resumeToken, "A");
});

test("a watch begins at one place", () => {
  assert.throws(() => new Course({ startAt: 3n, resume: "A" }), SemelError);
});

function compacted(): Refusal {
  const info = create(ErrorInfoSchema, {
    reason: "RESUME_COMPACTED",
    domain: "semel.v1",
    metadata: { oldest_revision: "40" },
  });
  return { ...localRefusal("OUT_OF_RANGE", "", "server"), info };
}

test("what passes is tried again ever more slowly, and what binds ends the watch", () => {
  const slow = pace({ ...RETRY_DEFAULT, backoffFirstMs: 25, backoffMaxMs: 500 });
  const first: Troubles = {
    failures: 1,
    faults: 0,
    refreshed: false,
    canRefresh: true,
    bridges: false,
    ownToken: false,
  };
  const lost = localRefusal("UNAVAILABLE", "", "no_answer");
  assert.deepEqual(decideNext(lost, first, slow, 1), { action: "again", waitMs: 100 });
  assert.deepEqual(decideNext(lost, { ...first, failures: 99 }, slow, 1), { action: "again", waitMs: 1000 });
  assert.deepEqual(decideNext(lost, first, { ...slow, attemptsMax: 1 }, 1), { action: "end" });
  assert.deepEqual(decideNext(compacted(), first, slow, 1), { action: "end" });
  assert.deepEqual(decideNext(compacted(), { ...first, bridges: true }, slow, 1), {
    action: "bridge",
    waitMs: 0,
    oldestRevision: 40n,
  });
  const fault = localRefusal("INTERNAL", "", "other");
  assert.deepEqual(decideNext(fault, first, slow, 1), { action: "again", waitMs: 100 });
  assert.deepEqual(decideNext(fault, { ...first, faults: 3 }, slow, 1), { action: "end" });
});
