// Knowing the server's clock, and a token's life by it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { lifetimeOf } from "../src/auth.js";
import { ServerClock } from "../src/clock.js";
import { IssueTokenResponseSchema } from "../src/gen/semel/v1/auth_service_pb.js";
import { ResponseHeaderSchema } from "../src/gen/semel/v1/header_pb.js";

function header(ms: number) {
  const serverTime = { seconds: BigInt(Math.floor(ms / 1000)), nanos: (ms % 1000) * 1_000_000 };
  return create(ResponseHeaderSchema, { serverTime });
}

test("it follows a server that is ahead, and one that is behind", () => {
  let local = 1_000_000;
  const clock = new ServerClock(() => local);
  assert.equal(clock.nowMs(), local);
  clock.learn(header(1_060_000));
  assert.equal(clock.nowMs(), 1_060_000);
  local += 5;
  assert.equal(clock.nowMs(), 1_060_005);
  clock.learn(header(940_005));
  assert.equal(clock.offsetMs, -60_000);
});

test("the server is taken to have read its clock half-way", () => {
  const clock = new ServerClock(() => 10_400);
  clock.learn(header(10_200), 400);
  assert.equal(clock.offsetMs, 0);
});

test("a header without a time teaches nothing, and none teaches nothing either", () => {
  const clock = new ServerClock(() => 5);
  clock.learn(create(ResponseHeaderSchema));
  clock.learn(undefined);
  assert.equal(clock.offsetMs, 0);
});

test("a token's life is measured by the server's clock alone", () => {
  const answer = create(IssueTokenResponseSchema, { header: header(1_000_000), expireTime: { seconds: 4600n } });
  assert.equal(lifetimeOf(answer), 3_600_000);
  assert.equal(lifetimeOf(create(IssueTokenResponseSchema)), 300_000);
});
