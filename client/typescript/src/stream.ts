// One stream of gRPC as the rest of this package reads it: opened under a signature, read message by message with a bound on
// the silence, and let go of. It knows how a stream ends, and nothing of what follows from it.
import type { DescMessage, DescMethodStreaming, MessageShape } from "@bufbuild/protobuf";
import type { ServerClock } from "./clock.js";
import type { ResponseHeader } from "./gen/semel/v1/header_pb.js";
import { authorization, type Link } from "./link.js";
import { localRefusal, type Refusal } from "./refusal.js";
import { type Scope, within } from "./scope.js";

/** What reading gives: a message, or how the stream ended. */
export type Read<T> = { readonly message: T } | { readonly refusal: Refusal };

/** The way down of an open or opening stream. */
export class Stream<O extends DescMessage> {
  readonly #link: Link;
  readonly #abort = new AbortController();
  readonly #iterator: Promise<AsyncIterator<MessageShape<O>>>;
  #pending: Promise<Read<MessageShape<O>>> | undefined;

  /** Opens one. Nothing is waited for: what became of it, the first read says. */
  constructor(
    link: Link,
    method: DescMethodStreaming<DescMessage, O>,
    token: string | undefined,
    requests: AsyncIterable<MessageShape<DescMessage>>,
  ) {
    this.#link = link;
    const opening = link.transport.stream(method, this.#abort.signal, undefined, authorization(token), requests);
    this.#iterator = opening.then(({ message }) => message[Symbol.asyncIterator]() as AsyncIterator<MessageShape<O>>);
    this.#iterator.catch(() => {});
  }

  /** The server's clock, to learn from what comes. */
  get clock(): ServerClock {
    return this.#link.clock;
  }

  /**
   * The next message, if it comes in time; a read that was not waited for goes on, and the next one gives what it gave.
   * Never throws.
   */
  async read(patienceMs: number, late: string, scope: Scope): Promise<Read<MessageShape<O>>> {
    const read = await within(this.next(), patienceMs, scope);
    return read ?? { refusal: localRefusal("UNAVAILABLE", late, "no_answer") };
  }

  /** The next message, however long it takes. May be called again before it has come, and gives the same then. */
  next(): Promise<Read<MessageShape<O>>> {
    this.#pending ??= this.#read().finally(() => {
      this.#pending = undefined;
    });
    return this.#pending;
  }

  /** Lets go of the stream. */
  close(): void {
    this.#abort.abort();
  }

  async #read(): Promise<Read<MessageShape<O>>> {
    try {
      const { done, value } = await (await this.#iterator).next();
      if (done) {
        return { refusal: localRefusal("UNAVAILABLE", "the stream has ended without a word", "no_answer") };
      }
      this.clock.learn((value as { header?: ResponseHeader }).header);
      return { message: value };
    } catch (error) {
      return { refusal: this.#link.refused(error) };
    }
  }
}
