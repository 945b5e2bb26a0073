// What a worker sends, in which order, and what is made of its acknowledgement. A message that changes something keeps its
// request id until it is acknowledged, over any number of streams.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { Core } from "../call.js";
import { type Ack, type WorkRequest, WorkRequestSchema } from "../gen/semel/v1/worker_service_pb.js";
import { fromStatus, type Refusal, reasonOf } from "../refusal.js";
import { backoffMs, classify, type Retry } from "../retry.js";
import { steadyMs } from "../time.js";
import { Wakeup } from "../wakeup.js";
import { PermanentError } from "./handler.js";
import { bodyOf, failed, type Held, type Outcome, outgoing } from "./held.js";
import type { Timers } from "./timers.js";

/** After how long without an acknowledgement a message is sent again on the same stream. */
const ACK_TIMEOUT_MS = 30_000;
/** How many messages that are not sent again may wait to be sent; past that, progress is left out. */
const CONTROL_MAX = 1024;

/** What is to be done where the last word about an attempt has been said. */
export interface Books {
  /** A report was acknowledged. */
  reported(held: Held, outcome: Outcome): void;
  /** The attempt is over for the server. */
  over(held: Held): void;
}

type Body = NonNullable<Exclude<MessageInitShape<typeof WorkRequestSchema>, WorkRequest>["kind"]>;

/** See the file. */
export class Outbox {
  readonly #core: Core;
  readonly #books: Books;
  readonly #timers: Timers;
  readonly #pace: Retry;
  readonly #came = new Wakeup();
  /** What is sent before all else, and is not sent again. */
  #control: WorkRequest[] = [];
  /** The attempts that may have something to send. */
  #ready: Held[] = [];
  /** What waits for which acknowledgement on the present stream. */
  readonly #acks = new Map<string, Held>();
  #isOpen = false;

  constructor(core: Core, books: Books, timers: Timers, pace: Retry) {
    this.#core = core;
    this.#books = books;
    this.#timers = timers;
    this.#pace = pace;
  }

  /** Whether there is a stream to send over. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** A stream is open: these attempts may have something to send. */
  open(held: Iterable<Held>): void {
    this.#isOpen = true;
    this.#ready = [...held];
    this.#came.wake();
  }

  /** The stream is lost, and with it what was of use on it alone. */
  close(held: Iterable<Held>): void {
    this.#isOpen = false;
    this.#control = [];
    this.#acks.clear();
    for (const one of held) {
      one.isInFlight = false;
    }
    this.#came.wake();
  }

  /** Puts a message in front that is of use only on the present stream. */
  control(kind: Body): void {
    const hasRoom = this.#control.length < CONTROL_MAX || kind.case !== "progress";
    if (this.#isOpen && hasRoom) {
      this.#control.push(create(WorkRequestSchema, { header: {}, kind }));
      this.#came.wake();
    }
  }

  /** An attempt may have something to send. */
  push(held: Held): void {
    this.#ready.push(held);
    this.#came.wake();
  }

  /** The next message for the stream; waits until there is one, or `isOver` says that the stream has ended. */
  async next(isOver: () => boolean): Promise<WorkRequest | undefined> {
    while (!isOver()) {
      const message = this.#isOpen ? (this.#control.shift() ?? this.#nextOutgoing()) : undefined;
      if (message !== undefined) {
        return message;
      }
      await this.#came.wait();
    }
    return undefined;
  }

  /** Lets those who wait for a message look again whether their stream has ended. */
  wake(): void {
    this.#came.wake();
  }

  #nextOutgoing(): WorkRequest | undefined {
    const now = steadyMs();
    for (let held = this.#ready.shift(); held !== undefined; held = this.#ready.shift()) {
      const head = held.queue[0];
      if (held.isInFlight || head === undefined) {
        continue;
      }
      if (head.notBefore > now) {
        const later = held;
        this.#timers.later(head.notBefore - now, () => this.push(later));
        continue;
      }
      head.requestId ||= this.#core.mint();
      head.sends += 1;
      head.sentAt = now;
      held.isInFlight = true;
      this.#acks.set(head.requestId, held);
      return create(WorkRequestSchema, { header: { requestId: head.requestId }, kind: bodyOf(held, head) });
    }
    return undefined;
  }

  /** Sends again what should have been acknowledged long ago. */
  resendOverdue(all: Iterable<Held>): void {
    const now = steadyMs();
    for (const held of all) {
      const sentAt = held.queue[0]?.sentAt ?? now;
      if (held.isInFlight && now - sentAt > ACK_TIMEOUT_MS) {
        held.isInFlight = false;
        this.push(held);
      }
    }
  }

  /** What became of a report or of a piece of a log. */
  acknowledged(requestId: string, ack: Ack): void {
    const held = this.#acks.get(requestId);
    this.#acks.delete(requestId);
    if (held === undefined) {
      return;
    }
    held.isInFlight = false;
    if (ack.refused !== undefined) {
      const refusal = fromStatus(ack.refused);
      this.#core.clock.learn(refusal.header);
      this.#refused(held, refusal);
      return;
    }
    const head = held.queue.shift();
    if (head?.content.kind === "log") {
      held.log.release(head.content.chunk);
      this.push(held);
    } else if (head !== undefined) {
      this.#books.reported(held, head.content.outcome);
    }
  }

  #refused(held: Held, refusal: Refusal): void {
    const head = held.queue[0];
    if (head === undefined) {
      return;
    }
    if (reasonOf(refusal) === "LEASE_STALE") {
      this.#books.over(held);
      return;
    }
    const found = classify(refusal);
    if (found.kind === "id" && head.sends === 1) {
      // Never executed, and never sent before: a fresh id by the clock that was just learnt makes no second call.
      head.requestId = "";
      head.sends = 0;
      this.push(held);
    } else if (found.kind === "final" || (found.kind === "id" && reasonOf(refusal) === "REQUEST_ID_EXPIRED")) {
      this.#refusedForGood(held, refusal);
    } else {
      head.refusals += 1;
      const waitMs = found.kind === "passing" ? (found.waitMs ?? 0) : 0;
      head.notBefore = steadyMs() + waitMs + backoffMs(this.#pace, head.refusals, Math.random());
      this.push(held);
    }
  }

  /**
   * The server will never take this message. A piece of a log is left out. A report must not be: the server would wait for it
   * for as long as this worker lives, so a failure that says what happened takes its place, once.
   */
  #refusedForGood(held: Held, refusal: Refusal): void {
    const head = held.queue.shift();
    if (head?.content.kind === "log") {
      held.log.release(head.content.chunk);
      this.push(held);
    } else if (head?.content.standIn === false) {
      const outcome = failed(new PermanentError(`the server refused the report: ${refusal.message}`));
      held.queue.unshift(outgoing({ kind: "report", outcome, standIn: true }));
      this.push(held);
    } else {
      this.#books.over(held);
    }
  }
}
