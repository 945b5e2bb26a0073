// A worker as a program sets it up and gets it back. What it does while it runs stands in `runtime`.
//
// What it promises to the server: everything that changes something bears a request id, minted when it is first sent and kept
// over reconnects, until it is acknowledged. What it promises to a handler: it is told at once when it is to stop, also when
// the lease must be presumed lost. What nobody can promise: that an attempt's own effects happen once. Hand the attempt's id
// and number to what the handler changes.
import type { Core } from "../call.js";
import { cancelledError, usageError } from "../error.js";
import { mint } from "../ids.js";
import { span } from "../options.js";
import type { Summary } from "./crew.js";
import type { Handler } from "./handler.js";
import { Runtime } from "./runtime.js";

/** How many attempts a worker may take at a time, and how many processors it may offer. */
const SLOTS_MAX = 10_000;
const PROCESSORS_MAX = 256;

/** How a worker is set up. */
export interface WorkerOptions {
  /** How many attempts it takes at a time. Default 1, at most 10,000. */
  readonly slots?: number | undefined;
  /** The app whose runs it takes. Default: that of the client, and without one that of the credentials. */
  readonly app?: string | undefined;
  /** A name for people, for instance the host's. Default: none. */
  readonly name?: string | undefined;
  /**
   * How long what runs may go on after the shutdown has begun, before it is cancelled and given back. Default 30,000 ms, at
   * most a day.
   */
  readonly drainTimeoutMs?: number | undefined;
  /**
   * How long a handler may take to stop after it was told to. One that goes on is given up: its attempt is reported as it
   * stands, and its slot stays taken until it returns. Default 10,000 ms, at most a day.
   */
  readonly cancelTimeoutMs?: number | undefined;
  /** Told when the stream to the server has opened (true), and when it is lost (false). */
  readonly onStream?: ((isOpen: boolean) => void) | undefined;
}

/** A worker; made by `client.worker`. */
export class Worker {
  /** The id of this worker: minted when it was set up, kept over reconnects. */
  readonly id: string;
  readonly #core: Core;
  readonly #options: WorkerOptions;
  readonly #handlers = new Map<string, Handler>();
  #runtime: Runtime | undefined;

  /** @internal */
  constructor(core: Core, options: WorkerOptions) {
    const { slots = 1 } = options;
    if (!Number.isInteger(slots) || slots < 1 || slots > SLOTS_MAX) {
      throw usageError(`slots must be a whole number from 1 to ${SLOTS_MAX}`);
    }
    this.id = mint(core.clock.nowMs());
    this.#core = core;
    this.#options = options;
  }

  /** Offers a handler for the processor of this name; a later one takes its place. To be called before `run`. */
  handle(processor: string, handler: Handler): this {
    if (this.#runtime !== undefined) {
      throw usageError("the worker runs already; give it its handlers before");
    }
    this.#handlers.set(processor, handler);
    return this;
  }

  /**
   * Works until it is told to shut down, by `shutdown()` or by the signal; then it drains: no new work is taken, what runs may
   * end within the drain timeout, the rest is cancelled and given back. Reconnects by itself, for ever.
   *
   * @throws SemelError when a server refuses the worker for good, or the client is closed
   */
  async run(signal?: AbortSignal): Promise<Summary> {
    if (this.#runtime !== undefined) {
      throw usageError("a worker runs once; make another one");
    }
    if (this.#handlers.size < 1 || this.#handlers.size > PROCESSORS_MAX) {
      throw usageError(`a worker needs from 1 to ${PROCESSORS_MAX} handlers; add one with handle()`);
    }
    const { slots = 1, app, name = "", onStream = () => {} } = this.#options;
    const runtime = new Runtime(this.#core, {
      app: app || this.#core.settings.app,
      workerId: this.id,
      name,
      handlers: this.#handlers,
      slots,
      drainTimeoutMs: span("drainTimeoutMs", this.#options.drainTimeoutMs, 30_000),
      cancelTimeoutMs: span("cancelTimeoutMs", this.#options.cancelTimeoutMs, 10_000),
      onStream,
    });
    this.#runtime = runtime;
    const drain = () => runtime.drain();
    signal?.addEventListener("abort", drain, { once: true });
    if (signal?.aborted) {
      drain();
    }
    try {
      const summary = await runtime.run();
      if (this.#core.closing.isOver) {
        throw cancelledError(this.#core.closing.reason, "", 0);
      }
      return summary;
    } finally {
      signal?.removeEventListener("abort", drain);
    }
  }

  /** Begins to drain; `run` ends when that is done. */
  shutdown(): void {
    this.#runtime?.drain();
  }
}
