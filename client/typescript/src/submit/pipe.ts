// The way of many runs over one stream (`SubmitRuns`): opens it when there is something to send, and says what becomes of
// whatever waits for it when it is not to be had. What goes over an open stream is the session's; what a refusal means for a
// call is, as ever, the call's.
import type { Signature } from "../auth.js";
import type { Core } from "../call.js";
import type { RunJobRequest } from "../gen/semel/v1/job_service_pb.js";
import type { AnyRequest } from "../methods.js";
import { type Refusal, timedOut } from "../refusal.js";
import { classify } from "../retry.js";
import { type Scope, sleep, within } from "../scope.js";
import { steadyMs } from "../time.js";
import { Wakeup } from "../wakeup.js";
import type { SharedWay } from "./many.js";
import { Places } from "./places.js";
import { type Ended, type Fate, type Item, Session } from "./session.js";

/**
 * How long runs do without a stream that broke in a way that calls do not: so long for the first time, and twice as long for
 * each further one, up to a bound. Something on the way may have hiccuped, or may never let a stream live.
 */
const OFF_FIRST_MS = 250;
/** The bound; and a stream that has lived so long was a good one. */
const OFF_MS_MAX = 30_000;
/** How long runs do without a stream of a server that does not know the method. */
const OFF_UNKNOWN_MS = 300_000;
/** A larger run goes by a call of its own: its neighbours should not wait for it. */
const ITEM_BYTES_MAX = 256 * 1024;
/** So many calls of their own at a time, where the stream is not to be had. */
const CALLS_MAX = 32;
/** The longest wait that a server which goes away may ask for. */
const RECONNECT_MS_MAX = 10_000;

/** See the file. */
export class Pipe implements SharedWay {
  readonly #core: Core;
  readonly #places = new Places(CALLS_MAX);
  readonly #came = new Wakeup();
  readonly #waiting: Item[] = [];
  /** Nothing may come back for so long before the stream counts as broken; half of the time is left for a call of its own. */
  readonly #stallMs: number;
  #offUntil = 0;
  #offTimes = 0;
  #isClosed = false;

  constructor(
    core: Core,
    readonly scope: Scope,
  ) {
    this.#core = core;
    this.#stallMs = core.settings.requestTimeoutMs / 2;
    scope.onEnd(() => this.#came.wake());
    void this.#drive();
  }

  async attempt(request: AnyRequest, signature: Signature, timeoutMs: number) {
    const run = request as AnyRequest & RunJobRequest;
    const bytes = (run.payload?.data.length ?? 0) + 512;
    if (bytes > ITEM_BYTES_MAX || steadyMs() < this.#offUntil || this.#isClosed) {
      return undefined;
    }
    const fate = new Promise<Fate>((settle) => {
      this.#waiting.push({ run, bytes, signature, settle, isWanted: true });
    });
    const item = this.#waiting.at(-1);
    this.#came.wake();
    const came = await within(fate, timeoutMs, this.scope);
    if (came === undefined) {
      if (item !== undefined) {
        item.isWanted = false;
      }
      return { refusal: timedOut() };
    }
    return came === "not_had" ? undefined : came;
  }

  place(): Promise<() => void> {
    return this.#places.take();
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    this.#came.wake();
  }

  /** Runs until nobody is left who could send anything. */
  async #drive(): Promise<void> {
    while (!this.#isClosed && !this.scope.isOver) {
      const first = this.#waiting[0];
      if (first === undefined) {
        await this.#came.wait();
        continue;
      }
      const session = new Session(this.#core, first.signature, this.#waiting, this.#came, this.#stallMs, this.scope);
      try {
        const refusal = await session.open();
        if (refusal === undefined) {
          await this.#settle(session, await session.live(() => this.#isClosed));
        } else {
          this.#refuse(refusal, first.signature.generation);
        }
      } finally {
        session.close();
      }
    }
  }

  /** The stream did not open. Who holds a fresher token than the one that was refused has nothing to do with it. */
  #refuse(refusal: Refusal, generation: number): void {
    const fate = this.#fate(refusal, false);
    for (const item of this.#waiting.splice(0)) {
      item.settle(item.signature.generation <= generation ? fate : "not_had");
    }
  }

  /** Tells those without an answer what to do, after a stream has ended. */
  async #settle(session: Session, ended: Ended): Promise<void> {
    if (session.hasServed && session.ageMs >= OFF_MS_MAX) {
      this.#offTimes = 0;
    }
    let fate: Fate = "not_had";
    if (ended.how === "refused") {
      fate = this.#fate(ended.refusal, session.hasServed);
    } else if (ended.how === "broken") {
      this.#switchOff();
    }
    if (ended.how === "broken" || !session.hasServed) {
      // The next stream would fare no better at once.
      for (const item of this.#waiting.splice(0)) {
        item.settle(fate);
      }
    }
    session.settleAll(fate);
    if (session.reconnectAfterMs > 0) {
      await sleep(Math.min(session.reconnectAfterMs, RECONNECT_MS_MAX), this.scope);
    }
  }

  /**
   * What a refusal of the stream means for its items. Credentials and what may pass are theirs as well; anything else is
   * about the stream alone, and each of them learns by a call of its own how it stands itself.
   */
  #fate(refusal: Refusal, hasServed: boolean): Fate {
    const { kind } = classify(refusal);
    if (kind === "credentials") {
      return { refusal };
    }
    if (kind === "passing" && (hasServed || refusal.origin === "server" || refusal.origin === "not_sent")) {
      return { refusal };
    }
    if (refusal.code === "UNIMPLEMENTED") {
      this.#offUntil = steadyMs() + OFF_UNKNOWN_MS;
    } else {
      this.#switchOff();
    }
    return "not_had";
  }

  #switchOff(): void {
    this.#offUntil = steadyMs() + Math.min(OFF_FIRST_MS * 2 ** this.#offTimes, OFF_MS_MAX);
    this.#offTimes += 1;
  }
}
