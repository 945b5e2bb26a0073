// Dead connections are noticed, and no ping ends the program.
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { test } from "node:test";
import { keepAlive, PING_INTERVAL_MS, PING_TIMEOUT_MS, type Session } from "../src/keepalive.js";

class FakeSession extends EventEmitter implements Session {
  destroyed = false;
  closed = false;
  pings = 0;
  answers = true;

  ping(callback: () => void): boolean {
    this.pings += 1;
    if (this.destroyed) {
      throw new Error("The session has been destroyed");
    }
    if (this.answers) {
      callback();
    }
    return true;
  }

  destroy(_error: Error): void {
    this.destroyed = true;
  }
}

test("a connection that answers is kept, one that does not is ended", (t) => {
  t.mock.timers.enable({ apis: ["setInterval", "setTimeout"] });
  const session = new FakeSession();
  keepAlive(session);
  t.mock.timers.tick(3 * PING_INTERVAL_MS + PING_TIMEOUT_MS / 2);
  assert.deepEqual([session.pings, session.destroyed], [3, false]);
  session.answers = false;
  t.mock.timers.tick(PING_INTERVAL_MS);
  assert.equal(session.destroyed, false, "it has some time to answer");
  t.mock.timers.tick(PING_TIMEOUT_MS);
  assert.equal(session.destroyed, true);
});

test("a session that was destroyed without a word is pinged no more", (t) => {
  t.mock.timers.enable({ apis: ["setInterval", "setTimeout"] });
  const session = new FakeSession();
  keepAlive(session);
  session.destroyed = true;
  t.mock.timers.tick(5 * PING_INTERVAL_MS);
  assert.equal(session.pings, 0);
});

test("what a ping throws ends nothing", (t) => {
  t.mock.timers.enable({ apis: ["setInterval", "setTimeout"] });
  const session = new FakeSession();
  session.ping = () => {
    session.pings += 1;
    throw new Error("The session has been destroyed");
  };
  keepAlive(session);
  t.mock.timers.tick(PING_INTERVAL_MS + PING_TIMEOUT_MS);
  assert.deepEqual([session.pings, session.destroyed], [1, false]);
  session.emit("close");
  t.mock.timers.tick(5 * PING_INTERVAL_MS);
  assert.equal(session.pings, 1);
});
