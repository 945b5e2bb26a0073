// Spans, moments and waiting. Moments are read off the steady clock (`performance.now()`), so that setting a machine's
// clock moves no deadline.
import { create } from "@bufbuild/protobuf";
import { type Duration, DurationSchema, type Timestamp } from "@bufbuild/protobuf/wkt";

/**
 * The longest span that anything here waits for, one day: gRPC's deadline has room for eight digits of milliseconds, and a
 * timer for little more.
 */
export const SPAN_MS_MAX = 24 * 60 * 60 * 1000;

/** Now, in milliseconds of the steady clock. */
export function steadyMs(): number {
  return performance.now();
}

/** The milliseconds of a duration of the protocol, if there is one: never negative, at most {@link SPAN_MS_MAX}. */
export function durationMs(duration: Duration | undefined): number | undefined {
  if (duration === undefined) {
    return undefined;
  }
  const ms = Number(duration.seconds) * 1000 + duration.nanos / 1e6;
  return Math.min(Math.max(ms, 0), SPAN_MS_MAX);
}

/** A duration of the protocol, of milliseconds. */
export function toDuration(ms: number): Duration {
  const whole = Math.trunc(ms);
  return create(DurationSchema, { seconds: BigInt(Math.trunc(whole / 1000)), nanos: (whole % 1000) * 1_000_000 });
}

/** Milliseconds since 1970 of a time of the protocol. */
export function timestampMs(time: Timestamp): number {
  return Number(time.seconds) * 1000 + time.nanos / 1e6;
}
