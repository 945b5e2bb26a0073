// Request ids: their form (UUIDv7) and how one is made from a time. Reads no clock; the corrected clock of the client is
// the only source of that time.
import { v7 } from "uuid";

/** 48 bits of milliseconds are what a UUIDv7 has room for. */
const UNIX_MS_MAX = 2 ** 48 - 1;

/**
 * Mints an id that bears this time; the rest is random, from the platform's secure source.
 *
 * @param unixMs milliseconds since 1970; what lies outside of the 48 bits of a UUIDv7 is taken as the nearest inside
 */
export function mint(unixMs: number): string {
  return requestIdOf(unixMs, crypto.getRandomValues(new Uint8Array(10)));
}

/**
 * The UUIDv7 of a time and 74 random bits, which stand right-aligned in ten bytes (RFC 9562, section 5.7: `rand_a`, then
 * `rand_b`).
 */
export function requestIdOf(unixMs: number, bits: Uint8Array): string {
  if (bits.length !== 10) {
    throw new RangeError("the 74 random bits of a UUIDv7 stand in ten bytes");
  }
  const whole = bits.reduce((value, byte) => (value << 8n) | BigInt(byte), 0n);
  // The library takes the first 32 of the bits as a sequence, and the last 42 from the end of 16 random bytes.
  const seq = Number((whole >> 42n) & 0xffff_ffffn);
  const random = new Uint8Array(16);
  random.set(bits.subarray(4), 10);
  return v7({ msecs: Math.min(Math.max(Math.trunc(unixMs), 0), UNIX_MS_MAX), seq, random });
}
