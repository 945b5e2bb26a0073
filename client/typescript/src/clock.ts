// The server's clock, as far as this client knows it. Owns the offset between the two clocks and is the only place that
// reads this machine's wall clock; decides nothing.
import type { ResponseHeader } from "./gen/semel/v1/header_pb.js";
import { timestampMs } from "./time.js";

/** How far the server's clock is ahead of this machine's, learnt from every header that arrives. */
export class ServerClock {
  readonly #wallMs: () => number;
  #offsetMs = 0;

  /** @param wallMs this machine's clock, in milliseconds since 1970 */
  constructor(wallMs: () => number) {
    this.#wallMs = wallMs;
  }

  /**
   * Learns from a header that has just arrived.
   *
   * @param roundTripMs how long the exchange took that brought it: the server is taken to have read its clock half-way. Zero
   *   for what a server says by itself, or after it was asked to wait.
   */
  learn(header: ResponseHeader | undefined, roundTripMs = 0): void {
    if (header?.serverTime !== undefined) {
      this.#offsetMs = timestampMs(header.serverTime) - (this.#wallMs() - roundTripMs / 2);
    }
  }

  /** The server's time, in milliseconds since 1970; this machine's own before anything was learnt. */
  nowMs(): number {
    return this.#wallMs() + this.#offsetMs;
  }

  /** By how many milliseconds the server's clock is ahead of this machine's. */
  get offsetMs(): number {
    return this.#offsetMs;
  }
}
