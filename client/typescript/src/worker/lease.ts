// What a worker knows of its leases, by the steady clock alone. It judges; telling handlers to stop is the runtime's.
import type { Opened } from "../gen/semel/v1/worker_service_pb.js";
import { durationMs } from "../time.js";

/** What is assumed if the server does not say. */
const HEARTBEAT_UNSTATED_MS = 5000;
const LEASE_UNSTATED_MS = 30_000;
/** A stream on which so many heartbeats found no answer is of no use, whatever else comes over it. */
const UNANSWERED_MAX = 64;

/**
 * The leases of a worker, which all end together.
 *
 * They are good for their duration from the moment at which a heartbeat was *sent* that the server answered: that the server
 * read it later can only make them longer. So a worker that was stopped for a while, and first finds old answers when it
 * goes on, knows by itself that it must not.
 */
export class Lease {
  #durationMs = LEASE_UNSTATED_MS;
  #intervalMs = HEARTBEAT_UNSTATED_MS;
  /** Until when they are good; undefined before the first stream. */
  #until: number | undefined;
  /** Whether they are presumed lost, and that was acted upon. */
  #isLost = false;
  /** When the heartbeats were sent that are not answered yet, the oldest first. */
  readonly #unanswered: number[] = [];
  #nextHeartbeat = 0;
  /** When the server was heard of last. */
  #lastWord = 0;

  /** A stream was opened, with a `Hello` that was sent at `helloAt`. */
  opened(opened: Opened, helloAt: number, now: number): void {
    this.#durationMs = durationMs(opened.leaseDuration) || LEASE_UNSTATED_MS;
    this.#intervalMs = durationMs(opened.heartbeatInterval) || HEARTBEAT_UNSTATED_MS;
    this.#unanswered.length = 0;
    this.#nextHeartbeat = now + this.#intervalMs;
    this.#lastWord = now;
    this.#renew(helloAt);
  }

  /** The stream was lost: what was not answered on it never will be. */
  closed(): void {
    this.#unanswered.length = 0;
  }

  /** The server was heard of. */
  heard(now: number): void {
    this.#lastWord = now;
  }

  /** A heartbeat is sent. Gives how many answers are to come until this one is answered. */
  sent(now: number): number {
    this.#nextHeartbeat = now + this.#intervalMs;
    return this.#unanswered.push(now);
  }

  /** The server has answered a heartbeat; they are answered in order. */
  answered(): void {
    const sentAt = this.#unanswered.shift();
    if (sentAt !== undefined) {
      this.#renew(sentAt);
    }
  }

  #renew(sentAt: number): void {
    this.#until = Math.max(this.#until ?? 0, sentAt + this.#durationMs);
    this.#isLost = false;
  }

  isHeartbeatDue(now: number): boolean {
    return this.#nextHeartbeat <= now;
  }

  /** Whether the stream must be taken for dead. */
  isSilent(now: number): boolean {
    return now - this.#lastWord > this.#durationMs || this.#unanswered.length > UNANSWERED_MAX;
  }

  /** True once each time that the leases have to be presumed lost. */
  justLost(now: number): boolean {
    const just = this.#until !== undefined && this.#until < now && !this.#isLost;
    this.#isLost ||= just;
    return just;
  }

  /** When to look at the stream again: one tick past the end, for up to it the server is not late. */
  get nextOnStream(): number {
    return Math.min(this.#nextHeartbeat, this.#lastWord + this.#durationMs + 1);
  }

  /** When the leases have to be presumed lost, if nothing comes before. */
  get nextLoss(): number {
    return this.#until === undefined || this.#isLost ? Number.POSITIVE_INFINITY : this.#until + 1;
  }
}
