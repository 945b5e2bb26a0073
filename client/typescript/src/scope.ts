// How long something is wanted: by its caller, by its client. Like an `AbortSignal`, but made to be shared by thousands of
// calls: listeners come and go at no cost, and many of them are no fault. Timers that end with it stand here as well.
import { SPAN_MS_MAX } from "./time.js";

/** Of each signal of a program, the one scope that listens to it. */
const scopes = new WeakMap<AbortSignal, Scope>();

/** See the file. It ends when one of its parents does, or by itself. */
export class Scope {
  readonly #ends = new Set<() => void>();
  readonly #leave: (() => void)[] = [];
  #over: { readonly reason: unknown } | undefined;

  constructor(...parents: (Scope | AbortSignal | undefined)[]) {
    for (const parent of parents) {
      const scope = parent instanceof AbortSignal ? scopeOf(parent) : parent;
      if (scope?.isOver) {
        this.end(scope.reason);
      } else if (scope !== undefined) {
        this.#leave.push(scope.onEnd(() => this.end(scope.reason)));
      }
    }
  }

  /** Whether it has ended. */
  get isOver(): boolean {
    return this.#over !== undefined;
  }

  /** Why it has ended. */
  get reason(): unknown {
    return this.#over?.reason;
  }

  /** Ends it, and whatever hangs on it. */
  end(reason?: unknown): void {
    if (this.#over === undefined) {
      this.#over = { reason };
      this.leave();
      for (const end of [...this.#ends]) {
        end();
      }
      this.#ends.clear();
    }
  }

  /** Calls back when it ends, but not if it has. Gives what takes that back. */
  onEnd(callback: () => void): () => void {
    // A callback of its own for each time, so that one function may be given twice.
    const end = () => callback();
    this.#ends.add(end);
    return () => this.#ends.delete(end);
  }

  /** Lets go of its parents, which may live much longer. */
  leave(): void {
    for (const leave of this.#leave.splice(0)) {
      leave();
    }
  }

  /** A signal for one exchange, and what is to be called when that has ended. */
  signal(): { readonly signal: AbortSignal; readonly release: () => void } {
    const controller = new AbortController();
    if (this.isOver) {
      controller.abort(this.reason);
    }
    return { signal: controller.signal, release: this.onEnd(() => controller.abort(this.reason)) };
  }
}

function scopeOf(signal: AbortSignal): Scope {
  const known = scopes.get(signal);
  if (known !== undefined) {
    return known;
  }
  const scope = new Scope();
  if (signal.aborted) {
    scope.end(signal.reason);
  } else {
    signal.addEventListener("abort", () => scope.end(signal.reason), { once: true });
  }
  scopes.set(signal, scope);
  return scope;
}

/** Waits for so long, or until the scope ends. Ask the scope what it was. */
export async function sleep(ms: number, scope: Scope): Promise<void> {
  await within(new Promise<never>(() => {}), ms, scope);
}

/**
 * What a promise gives, unless the scope ends first, or so much time passes: then nothing. What the promise gives later is
 * dropped, its failure too.
 */
export function within<T>(promise: Promise<T>, ms: number, scope: Scope): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const leave = () => {
      clearTimeout(timer);
      forget();
    };
    const giveUp = () => {
      leave();
      resolve(undefined);
    };
    const timer = setTimeout(giveUp, Math.min(Math.max(ms, 0), SPAN_MS_MAX));
    const forget = scope.onEnd(giveUp);
    promise.then(
      (value) => {
        leave();
        resolve(value);
      },
      (error) => {
        leave();
        reject(error);
      },
    );
    if (scope.isOver) {
      giveUp();
    }
  });
}
