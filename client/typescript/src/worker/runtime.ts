// A running worker, and its one loop: the stream and when it is made again, heartbeats and leases, fresh credentials, and how
// it comes to its end. Attempts stand in `crew`, what is sent in `outbox`.
import type { Core } from "../call.js";
import { refusedError, SemelError } from "../error.js";
import { AuthStatus } from "../gen/semel/v1/header_pb.js";
import { CancelAttempt_Reason, type Opened, type WorkResponse } from "../gen/semel/v1/worker_service_pb.js";
import { localRefusal } from "../refusal.js";
import { backoffMs, type Retry } from "../retry.js";
import { Scope, within } from "../scope.js";
import { durationMs, SPAN_MS_MAX, steadyMs } from "../time.js";
import { Wakeup } from "../wakeup.js";
import { Crew, type CrewSettings, type Summary } from "./crew.js";
import { Lease } from "./lease.js";
import { dial, type HelloInit, type Up } from "./link.js";
import { type Books, Outbox } from "./outbox.js";
import { Timers } from "./timers.js";

/** How a worker comes back: more slowly than a single call, for there may be thousands of them. */
const PACE: Retry = { attemptsMax: Number.POSITIVE_INFINITY, backoffFirstMs: 200, backoffMaxMs: 10_000 };
/** How often a worker with nothing to do looks around all the same. */
const IDLE_WAKE_MS = 5000;
/** How long a worker that has stopped its handlers waits for the last acknowledgements. */
const FLUSH_TIMEOUT_MS = 10_000;
/** How long it waits for the server to end the stream. */
const CLOSE_TIMEOUT_MS = 2000;
/** How long renewing the token of an open stream may take, and how long to wait before it is tried again. */
const RENEW_TIMEOUT_MS = 20_000;
const RENEW_AGAIN_MS = 2000;

/** What a worker is set up with. */
export interface RuntimeSettings extends CrewSettings {
  readonly app: string;
  readonly workerId: string;
  readonly name: string;
  readonly drainTimeoutMs: number;
  readonly onStream: (isOpen: boolean) => void;
}

/** Its way to the server: none until a moment; being made; or there. */
type Way =
  | { readonly is: "down"; readonly until: number }
  | { readonly is: "dialing" }
  | { readonly is: "up"; readonly up: Up };

/** How far it is with its own end: what runs may end until then; then all was told to stop, and reports may be answered. */
type Phase = { readonly is: "serving" } | { readonly is: "draining" | "flushing"; readonly until: number };

/** See the file. */
export class Runtime {
  readonly #core: Core;
  readonly #settings: RuntimeSettings;
  readonly #scope: Scope;
  readonly #timers = new Timers();
  readonly #moved = new Wakeup();
  readonly #lease = new Lease();
  readonly #crew: Crew;
  #way: Way = { is: "down", until: 0 };
  #phase: Phase = { is: "serving" };
  /**
   * How many answers to heartbeats are to come until the server is known to have read `Drain`. The stream keeps its order, so
   * whatever was assigned before that stands before the answer to a heartbeat sent after it.
   */
  #drainUnread = 0;
  /** How many slots the server was told of last. */
  #credit = 0;
  /** How often in a row the stream could not be made, or was lost before anything came over it. */
  #failures = 0;
  #renewAt = Number.POSITIVE_INFINITY;
  #isRenewing = false;
  #wasOpen = false;
  #fatal: SemelError | undefined;

  constructor(core: Core, settings: RuntimeSettings) {
    this.#core = core;
    this.#settings = settings;
    this.#scope = new Scope(core.closing);
    this.#scope.onEnd(() => this.#moved.wake());
    const makeOutbox = (books: Books) => new Outbox(core, books, this.#timers, PACE);
    this.#crew = new Crew(settings, core.clock, this.#timers, makeOutbox, () => this.#onCrewChanged());
  }

  /** Works until it has drained, the client is closed, or a server refuses it for good. */
  async run(): Promise<Summary> {
    try {
      for (;;) {
        this.#advance(steadyMs());
        if (this.#fatal !== undefined) {
          throw this.#fatal;
        }
        if (this.#isDone(steadyMs())) {
          break;
        }
        await within(this.#moved.wait(), this.#nextWake() - steadyMs(), this.#scope);
      }
    } finally {
      await this.#close();
    }
    return this.#crew.summary;
  }

  /** Takes no new work; what runs may end within the drain timeout, the rest is cancelled and given back. */
  drain(): void {
    if (this.#phase.is === "serving") {
      this.#phase = { is: "draining", until: steadyMs() + this.#settings.drainTimeoutMs };
      this.#crew.isServing = false;
      this.#credit = 0;
      this.#sendDrain();
      this.#moved.wake();
    }
  }

  get #outbox(): Outbox {
    return this.#crew.outbox;
  }

  /** Does all that is due. */
  #advance(now: number): void {
    if (this.#lease.justLost(now)) {
      this.#crew.stopAll("lease_lost");
    }
    if (this.#way.is === "down" && this.#way.until <= now) {
      void this.#dial();
    } else if (this.#way.is === "up" && this.#lease.isSilent(now)) {
      this.#lose();
    } else if (this.#way.is === "up" && this.#lease.isHeartbeatDue(now)) {
      this.#outbox.resendOverdue(this.#crew.held);
      this.#crew.sendAllProgress();
      this.#lease.sent(now);
      this.#outbox.control({ case: "heartbeat", value: {} });
    }
    if (this.#renewAt <= now) {
      void this.#renew();
    }
    if (this.#phase.is === "draining" && this.#phase.until <= now) {
      this.#crew.stopAll("draining");
      this.#phase = { is: "flushing", until: now + this.#settings.cancelTimeoutMs + FLUSH_TIMEOUT_MS };
    }
  }

  #nextWake(): number {
    return Math.min(
      steadyMs() + IDLE_WAKE_MS,
      this.#way.is === "down"
        ? this.#way.until
        : this.#way.is === "up"
          ? this.#lease.nextOnStream
          : Number.POSITIVE_INFINITY,
      this.#crew.isRunning ? this.#lease.nextLoss : Number.POSITIVE_INFINITY,
      this.#phase.is === "serving" ? Number.POSITIVE_INFINITY : this.#phase.until,
      this.#renewAt,
    );
  }

  #isDone(now: number): boolean {
    if (this.#scope.isOver) {
      return true;
    }
    switch (this.#phase.is) {
      case "serving":
        return false;
      case "draining":
        return this.#crew.isEmpty && this.#hasNoMoreToCome;
      case "flushing":
        return this.#crew.isEmpty || this.#phase.until <= now;
    }
  }

  /** Whether no assignment can be under way to this worker any more; a server that is dialled may have read `Hello`. */
  get #hasNoMoreToCome(): boolean {
    return this.#way.is === "down" || (this.#way.is === "up" && this.#drainUnread === 0);
  }

  async #dial(): Promise<void> {
    this.#way = { is: "dialing" };
    const { app, workerId, name, handlers } = this.#settings;
    this.#credit = this.#crew.credit;
    const hello: HelloInit = {
      app,
      workerId,
      workerName: name,
      processors: [...handlers.keys()],
      slots: this.#credit,
      held: this.#crew.refs,
    };
    try {
      const { up, opened } = await dial(this.#core, hello, this.#outbox, this.#scope);
      if (this.#scope.isOver) {
        up.close();
      } else {
        this.#onOpened(up, opened);
      }
    } catch (error) {
      this.#onDialFailed(error);
    }
    this.#moved.wake();
  }

  #onOpened(up: Up, opened: Opened): void {
    this.#wasOpen = true;
    this.#lease.opened(opened, up.helloAt, steadyMs());
    this.#way = { is: "up", up };
    for (const stale of opened.stale) {
      this.#crew.stopNamed(stale, "over");
    }
    this.#outbox.open(this.#crew.held);
    if (this.#phase.is !== "serving") {
      this.#sendDrain();
    }
    this.#onCrewChanged();
    this.#settings.onStream(true);
    void this.#read(up);
  }

  /**
   * A worker waits for a server that is not there; it gives up when a Semel server refuses it for good, or when at its very
   * first try something answers that will never be one.
   */
  #onDialFailed(error: unknown): void {
    if (!(error instanceof SemelError)) {
      const refusal = localRefusal("INTERNAL", error instanceof Error ? error.message : String(error), "other", error);
      this.#fatal = refusedError(refusal, "", 1);
      return;
    }
    const isLasting = !error.mayRetry && error.kind !== "transport";
    if (isLasting && (error.kind === "refused" || !this.#wasOpen)) {
      this.#fatal = error;
    } else {
      this.#comeBack(error.retryAfterMs ?? 0);
    }
  }

  async #read(up: Up): Promise<void> {
    await up.read((message) => {
      if (this.#isUp(up)) {
        this.#onMessage(message);
        this.#moved.wake();
      }
    });
    if (this.#isUp(up)) {
      this.#lose();
    }
    this.#moved.wake();
  }

  #isUp(up: Up): boolean {
    return this.#way.is === "up" && this.#way.up === up;
  }

  /** Takes note that there is no stream. What was under way on it is sent again over the next one. */
  #lose(atLeastMs = 0): void {
    if (this.#way.is !== "up") {
      return;
    }
    this.#way.up.close();
    this.#outbox.close(this.#crew.held);
    this.#lease.closed();
    this.#renewAt = Number.POSITIVE_INFINITY;
    this.#comeBack(atLeastMs);
    this.#settings.onStream(false);
  }

  #comeBack(atLeastMs: number): void {
    this.#failures += 1;
    const waitMs = Math.min(atLeastMs, SPAN_MS_MAX) + backoffMs(PACE, this.#failures, Math.random());
    this.#way = { is: "down", until: steadyMs() + waitMs };
  }

  #onMessage({ header, kind }: WorkResponse): void {
    this.#lease.heard(steadyMs());
    this.#failures = 0;
    switch (kind.case) {
      case "assignment":
        this.#crew.assign(kind.value);
        break;
      case "ack":
        this.#outbox.acknowledged(header?.requestId ?? "", kind.value);
        break;
      case "cancelAttempt": {
        const { reason } = kind.value;
        const isOver = reason === CancelAttempt_Reason.TIMED_OUT || reason === CancelAttempt_Reason.LEASE_STALE;
        this.#crew.stopNamed(kind.value, isOver ? "over" : "cancelled");
        break;
      }
      case "authNotice":
        this.#onNotice(kind.value.auth?.status ?? AuthStatus.UNSPECIFIED);
        break;
      case "goingAway":
        this.#lose(durationMs(kind.value.reconnectAfter));
        break;
      case "heartbeatAck":
        this.#lease.answered();
        this.#drainUnread = Math.max(this.#drainUnread - 1, 0);
        break;
      // What is opened already, or what this worker does not know yet, says nothing.
    }
  }

  /** That the credentials have ended, the status of the stream says. */
  #onNotice(status: AuthStatus): void {
    if (status === AuthStatus.EXPIRING && this.#way.is === "up") {
      this.#renewAt = Math.max(this.#way.up.freshUntil, steadyMs());
    }
  }

  async #renew(): Promise<void> {
    this.#renewAt = Number.POSITIVE_INFINITY;
    if (this.#way.is !== "up" || this.#isRenewing || !this.#core.auth.canRefresh) {
      return;
    }
    const { up } = this.#way;
    this.#isRenewing = true;
    try {
      const { token, generation, renewAt } = await this.#core.auth.refresh(
        up.generation,
        RENEW_TIMEOUT_MS,
        this.#scope,
      );
      up.generation = generation;
      up.freshUntil = renewAt ?? 0;
      if (this.#isUp(up) && token !== undefined) {
        this.#outbox.control({ case: "reauthenticate", value: { token } });
      }
    } catch {
      this.#renewAt = this.#isUp(up) ? steadyMs() + RENEW_AGAIN_MS : Number.POSITIVE_INFINITY;
    } finally {
      this.#isRenewing = false;
      this.#moved.wake();
    }
  }

  /** Tells the server that no more work is wanted, with a heartbeat behind it whose answer shows that it was read. */
  #sendDrain(): void {
    if (this.#way.is === "up") {
      this.#outbox.control({ case: "drain", value: {} });
      this.#drainUnread = this.#lease.sent(steadyMs());
      this.#outbox.control({ case: "heartbeat", value: {} });
    }
  }

  /** While draining the server gives no work anyway. */
  #onCrewChanged(): void {
    const { credit } = this.#crew;
    if (this.#phase.is === "serving" && this.#way.is === "up" && credit !== this.#credit) {
      this.#credit = credit;
      this.#outbox.control({ case: "credit", value: { slots: credit } });
    }
    this.#moved.wake();
  }

  async #close(): Promise<void> {
    this.#crew.close();
    this.#timers.clear();
    if (this.#way.is === "up" && !this.#scope.isOver) {
      const { up } = this.#way;
      this.#way = { is: "down", until: Number.POSITIVE_INFINITY };
      up.end();
      await within(
        up.read(() => {}),
        CLOSE_TIMEOUT_MS,
        this.#scope,
      );
      up.close();
    }
    this.#scope.end();
  }
}
