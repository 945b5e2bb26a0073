// Minting ids: against the vector of RFC 9562, and bit by bit.
import assert from "node:assert/strict";
import { test } from "node:test";
import { mint, requestIdOf } from "../src/ids.js";

test("the vector of RFC 9562, appendix A.6", () => {
  // 74 bits: rand_a is CC3, rand_b is 18C4DC0C0C07398F.
  const bits = (0xcc3n << 62n) | 0x18c4dc0c0c07398fn;
  const random = Uint8Array.from(Buffer.from(bits.toString(16).padStart(20, "0"), "hex"));
  assert.equal(requestIdOf(0x017f22e279b0, random), "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
});

test("each of the 74 bits has its place", () => {
  const ids = new Set<string>();
  for (let bit = 0n; bit < 74n; bit++) {
    const random = Uint8Array.from(Buffer.from((1n << bit).toString(16).padStart(20, "0"), "hex"));
    const id = requestIdOf(1_750_000_000_123, random);
    assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    assert.equal(Number.parseInt(id.replaceAll("-", "").slice(0, 12), 16), 1_750_000_000_123);
    ids.add(id);
  }
  assert.equal(ids.size, 74);
});

test("two ids of one moment differ, and a time outside is taken as the nearest inside", () => {
  assert.notEqual(mint(1_750_000_000_123), mint(1_750_000_000_123));
  assert.match(mint(-5), /^00000000-0000-7/);
  assert.match(mint(2 ** 60), /^ffffffff-ffff-7/);
});

test("bits that are too few or too many are told at once", () => {
  assert.throws(() => requestIdOf(0, new Uint8Array(9)), RangeError);
});
