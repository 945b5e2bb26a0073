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

/** Waits for so long, or until the signal says to stop. It never fails: ask the signal what it was. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) {
      resolve();
      return;
    }
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, Math.min(Math.max(ms, 0), SPAN_MS_MAX));
    signal?.addEventListener("abort", end, { once: true });
  });
}

/**
 * What a promise gives, unless the signal speaks first, or so much time passes: then nothing. What the promise gives later
 * is dropped, its failure too.
 */
export function within<T>(promise: Promise<T>, ms: number, signal?: AbortSignal): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const leave = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", giveUp);
    };
    const giveUp = () => {
      leave();
      resolve(undefined);
    };
    const timer = setTimeout(giveUp, Math.min(Math.max(ms, 0), SPAN_MS_MAX));
    signal?.addEventListener("abort", giveUp, { once: true });
    const settle = (how: () => void) => {
      leave();
      how();
    };
    promise.then(
      (value) => settle(() => resolve(value)),
      (error) => settle(() => reject(error)),
    );
    if (signal?.aborted) {
      giveUp();
    }
  });
}

/** A controller that is aborted with any of these signals, until it is let go of. */
export class Linked {
  readonly #controller = new AbortController();
  readonly #unlink: (() => void)[] = [];

  constructor(...signals: (AbortSignal | undefined)[]) {
    for (const signal of signals) {
      if (signal?.aborted) {
        this.#controller.abort(signal.reason);
      } else if (signal !== undefined) {
        const abort = () => this.abort(signal.reason);
        signal.addEventListener("abort", abort, { once: true });
        this.#unlink.push(() => signal.removeEventListener("abort", abort));
      }
    }
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  abort(reason?: unknown): void {
    this.#controller.abort(reason);
  }

  /** Lets go of the signals, which may live much longer. */
  unlink(): void {
    for (const unlink of this.#unlink.splice(0)) {
      unlink();
    }
  }
}
