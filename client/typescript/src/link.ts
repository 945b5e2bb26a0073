// One attempt of a unary call: with which metadata, within which time, and whether a Semel server was at the other end. It
// never sends anything twice.
import type { DescMessage, DescMethodUnary, Message, MessageShape } from "@bufbuild/protobuf";
import { ConnectError, type Transport } from "@connectrpc/connect";
import type { ServerClock } from "./clock.js";
import type { ResponseHeader } from "./gen/semel/v1/header_pb.js";
import { fromConnectError, localRefusal, type Refusal, spoke } from "./refusal.js";
import type { Scope } from "./scope.js";
import { steadyMs } from "./time.js";

/** What an attempt ended with. */
export type Outcome<T> = { readonly answer: T } | { readonly refusal: Refusal };

/** How one attempt is made. */
export interface Attempt {
  readonly requestId: string;
  readonly token: string | undefined;
  readonly timeoutMs: number;
  readonly scope: Scope;
  /** Whether the server may be asked to wait, so that the way there and back says nothing of its clock. */
  readonly waits: boolean;
}

/** Every message of ours has a header. */
type WithHeader = Message & { readonly header?: ResponseHeader };

/** The way to a server. */
export class Link {
  constructor(
    readonly transport: Transport,
    readonly clock: ServerClock,
  ) {}

  /** Sends a call once. Never throws. */
  async unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageShape<I>,
    attempt: Attempt,
  ): Promise<Outcome<MessageShape<O>>> {
    const begun = steadyMs();
    const tookMs = () => (attempt.waits ? 0 : steadyMs() - begun);
    // A time-out of nothing would mean none at all.
    const timeoutMs = Math.max(Math.ceil(attempt.timeoutMs), 1);
    const { signal, release } = attempt.scope.signal();
    try {
      const headers = authorization(attempt.token);
      const { message } = await this.transport.unary(method, signal, timeoutMs, headers, request);
      const refusal = this.#check((message as WithHeader).header, attempt.requestId, tookMs());
      return refusal === undefined ? { answer: message as MessageShape<O> } : { refusal };
    } catch (error) {
      return { refusal: this.refused(error, tookMs()) };
    } finally {
      release();
    }
  }

  /** Reads what a call or a stream failed with, and learns the clock from it. */
  refused(error: unknown, tookMs = 0): Refusal {
    const refusal = fromConnectError(ConnectError.from(error));
    this.clock.learn(refusal.header, tookMs);
    return refusal;
  }

  /**
   * An answer counts only if a Semel server gave it, and gave it to this request: an OK without a header may come from
   * anything on the way, and an answer to another request from a cache.
   */
  #check(header: ResponseHeader | undefined, requestId: string, tookMs: number): Refusal | undefined {
    if (!spoke(header)) {
      const message = "the answer says nothing of the credentials; check the address and what stands in between";
      return localRefusal("OK", message, "other");
    }
    if (header.requestId.toLowerCase() !== requestId.toLowerCase()) {
      const message = `the answer is one to request "${header.requestId}"; look for a proxy that caches`;
      return localRefusal("OK", message, "other");
    }
    this.clock.learn(header, tookMs);
    return undefined;
  }
}

/** The metadata of a signed call. */
export function authorization(token: string | undefined): Record<string, string> {
  return token === undefined ? {} : { authorization: `Bearer ${token}` };
}
