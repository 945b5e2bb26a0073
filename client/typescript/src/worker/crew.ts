// The attempts of a worker: starting handlers, telling them to stop, and what is made of their end. Nothing here speaks to
// the server; what is to be said is put into the attempt's queue and shown to the outbox.
import type { ServerClock } from "../clock.js";
import type { Assignment, AttemptRef } from "../gen/semel/v1/worker_service_pb.js";
import { steadyMs } from "../time.js";
import { Attempt, type ProgressNote } from "./attempt.js";
import type { Handler, Why } from "./handler.js";
import { type Ended, failed, Held, keyOf, type Outcome, outcomeOf, outgoing, released } from "./held.js";
import type { Books, Outbox } from "./outbox.js";
import type { Timers } from "./timers.js";

/** How old a piece of a log may become before it is sent. */
const LOG_AGE_MS = 200;
/** How often the progress of an attempt is sent at most. */
const PROGRESS_INTERVAL_MS = 200;

/** What a worker did, as the server acknowledged it. */
export interface Summary {
  /** Attempts whose handler was started. */
  attempts: number;
  /** Attempts that were reported as succeeded. */
  succeeded: number;
  /** Attempts that were reported as failed. */
  failed: number;
  /** Attempts that were reported as cancelled. */
  cancelled: number;
  /** Attempts that were given back. */
  released: number;
  /** Attempts that were over before they could be reported: timed out, or given to another worker. */
  stale: number;
  /** Attempts whose report was not acknowledged before the worker had to stop. Their leases run out by themselves. */
  unreported: number;
}

/** What a crew is made of. */
export interface CrewSettings {
  readonly handlers: ReadonlyMap<string, Handler>;
  readonly slots: number;
  /** How long a handler may take to stop after it was told to, before it is given up. */
  readonly cancelTimeoutMs: number;
}

/** See the file. */
export class Crew implements Books {
  readonly #settings: CrewSettings;
  readonly #clock: ServerClock;
  readonly #timers: Timers;
  readonly #outbox: Outbox;
  /** Told when there may be another credit to ask for, or the last attempt has gone. */
  readonly #changed: () => void;
  readonly #held = new Map<string, Held>();
  readonly summary: Summary = {
    attempts: 0,
    succeeded: 0,
    failed: 0,
    cancelled: 0,
    released: 0,
    stale: 0,
    unreported: 0,
  };
  /** How many handlers run. */
  #running = 0;
  /** How many of these belong to attempts that the server does not count any more, and so take room it does not know of. */
  #stopping = 0;
  /** False once no new work is wanted. */
  isServing = true;

  constructor(
    settings: CrewSettings,
    clock: ServerClock,
    timers: Timers,
    makeOutbox: (books: Books) => Outbox,
    changed: () => void,
  ) {
    this.#settings = settings;
    this.#clock = clock;
    this.#timers = timers;
    this.#outbox = makeOutbox(this);
    this.#changed = changed;
  }

  get outbox(): Outbox {
    return this.#outbox;
  }

  /** All attempts that are held. */
  get held(): Iterable<Held> {
    return this.#held.values();
  }

  get isEmpty(): boolean {
    return this.#held.size === 0;
  }

  get isRunning(): boolean {
    return this.#running > 0;
  }

  /** What `Hello` says. */
  get refs(): AttemptRef[] {
    return [...this.#held.values()].filter((held) => !held.isOver).map((held) => held.ref);
  }

  /** How many attempts the server may give: fewer than there are slots while handlers still stop that it does not count. */
  get credit(): number {
    return this.isServing ? Math.max(this.#settings.slots - this.#stopping, 0) : 0;
  }

  /** The server gives work. */
  assign(assignment: Assignment): void {
    if (this.#held.has(keyOf(assignment))) {
      return;
    }
    this.#supersede(assignment);
    const held = new Held(assignment);
    this.#held.set(held.key, held);
    const handler = this.#settings.handlers.get(assignment.processor);
    if (!this.isServing) {
      this.#report(held, released("the worker is shutting down"));
    } else if (handler === undefined) {
      this.#report(held, failed(new Error(`this worker has no handler for "${assignment.processor}"`)));
    } else if (this.#running >= this.#settings.slots) {
      this.#report(held, released("no slot is free"));
    } else {
      void this.#start(held, handler);
    }
  }

  /**
   * An earlier attempt of the same run is over: the server would not hand out a later one otherwise. One whose last word is
   * under way waits for the answer all the same: it may be the very report that ended it.
   */
  #supersede({ runId, attempt }: Assignment): void {
    for (const held of [...this.#held.values()]) {
      const isEarlier = held.assignment.runId === runId && held.assignment.attempt < attempt;
      if (isEarlier && (held.isRunning || !held.isInFlight)) {
        this.over(held);
      }
    }
  }

  async #start(held: Held, handler: Handler): Promise<void> {
    held.isRunning = true;
    this.#running += 1;
    this.summary.attempts += 1;
    const attempt = new Attempt(held.assignment, this.#clock, {
      log: held.log,
      progress: (note) => this.#onProgress(held, note),
      hasLog: (isUrgent) => this.#onLog(held, isUrgent),
    });
    let ended: Ended;
    try {
      ended = { result: await handler(attempt, held.abort.signal) };
    } catch (error) {
      ended = { error };
    }
    this.#running -= 1;
    this.#stopping -= held.isUncounted ? 1 : 0;
    if (held.isRunning) {
      this.#end(held, ended);
    }
    this.#changed();
  }

  #end(held: Held, ended: Ended): void {
    held.isRunning = false;
    const outcome = outcomeOf(held.stop, ended);
    if (outcome === undefined) {
      this.#forget(held);
    } else {
      this.#report(held, outcome);
    }
  }

  /** Puts the rest of the log and then the report into the queue. */
  #report(held: Held, outcome: Outcome): void {
    held.gatherLog();
    held.queue.push(outgoing({ kind: "report", outcome, standIn: false }));
    this.#outbox.push(held);
  }

  /** Tells a handler to stop. */
  stop(held: Held, why: Why): void {
    const wasTold = held.stop !== undefined;
    if (!held.isRunning || !held.tell(why)) {
      return;
    }
    if (why === "lease_lost") {
      // Nobody may ever acknowledge its log: a handler that waits for that would not stop.
      held.gatherLog();
      held.log.close();
    }
    if (why === "over") {
      this.#uncount(held);
    }
    if (!wasTold) {
      this.#timers.later(this.#settings.cancelTimeoutMs, () => this.#giveUp(held));
    }
  }

  /** A handler cannot be stopped by force. One that does not listen is reported on all the same, and keeps its slot. */
  #giveUp(held: Held): void {
    if (held.isRunning && this.#held.has(held.key)) {
      this.#uncount(held);
      this.#end(held, { error: held.abort.signal.reason });
      this.#changed();
    }
  }

  /** From now on a running handler takes room that the server does not know of. */
  #uncount(held: Held): void {
    this.#stopping += held.isUncounted ? 0 : 1;
    held.isUncounted = true;
  }

  stopAll(why: Why): void {
    for (const held of [...this.#held.values()]) {
      this.stop(held, why);
    }
  }

  stopNamed(ref: { readonly runId: string; readonly attempt: bigint }, why: Why): void {
    const held = this.#held.get(keyOf(ref));
    if (held === undefined) {
      return;
    }
    if (why === "over") {
      this.over(held);
    } else {
      this.stop(held, why);
    }
  }

  /** An attempt is over for the server: its handler is to stop, and there is nothing more to be said about it. */
  over(held: Held): void {
    this.stop(held, "over");
    held.stop = "over";
    held.clearQueue();
    if (!held.isRunning) {
      this.#forget(held);
    }
    this.#changed();
  }

  reported(held: Held, outcome: Outcome): void {
    this.#held.delete(held.key);
    this.summary[outcome.case] += 1;
    this.#changed();
  }

  #forget(held: Held): void {
    this.#held.delete(held.key);
    this.summary.stale += 1;
  }

  #onLog(held: Held, isUrgent: boolean): void {
    const flush = () => {
      if (!held.isOver) {
        held.gatherLog();
        this.#outbox.push(held);
      }
    };
    if (isUrgent) {
      flush();
    } else {
      this.#timers.later(LOG_AGE_MS, flush);
    }
  }

  #onProgress(held: Held, note: ProgressNote): void {
    const isNews = held.progress === undefined;
    held.progress = note;
    if (isNews) {
      this.#sendProgress(held);
    }
  }

  #sendProgress(held: Held): void {
    const waitMs = held.progressFrom - steadyMs();
    if (waitMs > 0) {
      this.#timers.later(waitMs, () => this.#sendProgress(held));
    } else if (held.progress !== undefined && held.isRunning && !held.isOver && this.#outbox.isOpen) {
      const { runId, attempt } = held.assignment;
      this.#outbox.control({ case: "progress", value: { runId, attempt, ...held.progress } });
      held.progress = undefined;
      held.progressFrom = steadyMs() + PROGRESS_INTERVAL_MS;
    }
  }

  /** Sends what progress was made while nobody could take it. */
  sendAllProgress(): void {
    for (const held of this.#held.values()) {
      this.#sendProgress(held);
    }
  }

  /** Gives up whatever is left: handlers are told to stop, and what they say goes nowhere. */
  close(): void {
    this.summary.unreported = this.#held.size;
    for (const held of this.#held.values()) {
      held.tell("over");
      held.clearQueue();
    }
    this.#held.clear();
  }
}
