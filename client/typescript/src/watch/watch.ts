// A watch as a program holds it: an iterator that outlives the streams of gRPC which it reads. How those come about stands in
// `reader`.
import type { Core } from "../call.js";
import { cancelledError, closedError } from "../error.js";
import { Scope } from "../scope.js";
import type { WatchItem } from "./item.js";
import type { WatchOptions } from "./options.js";
import { Reader } from "./reader.js";

/**
 * What happens, as it happens; made by `client.watch`, for `for await`. Leaving the loop ends it.
 *
 * No event is told twice and none is left out, over lost connections, restarts of the server and the end of credentials;
 * and {@link WatchItem.resumeToken} holds that over a restart of the program as well. A program that is slower than what
 * happens loses nothing and holds up nobody.
 *
 * It ends with a {@link SemelError} only where something binds: credentials that were taken back or cannot be renewed, a
 * watch that is not allowed, a token that is not taken, events that are no longer kept (`RESUME_COMPACTED`, with
 * `oldestRevision`); or where no stream came about at all within the client's overall timeout. Once it was open it tries for
 * ever, unless the client was told not to retry at all.
 */
export class Watch implements AsyncIterableIterator<WatchItem, undefined, undefined>, AsyncDisposable {
  readonly #core: Core;
  readonly #signal: AbortSignal | undefined;
  readonly #gone: Scope;
  readonly #reader: Reader;
  readonly #items: AsyncGenerator<WatchItem, void, void>;
  #isClosed = false;
  #resumeToken: string | undefined;

  /** @internal */
  constructor(core: Core, options: WatchOptions) {
    this.#core = core;
    this.#signal = options.signal;
    this.#gone = new Scope(options.signal, core.closing);
    this.#reader = new Reader(core, options, this.#gone);
    this.#items = this.#reader.items();
    this.#resumeToken = this.#reader.resumeToken;
  }

  /** Where to go on behind the last item that was taken; also after an error. */
  get resumeToken(): string | undefined {
    return this.#resumeToken;
  }

  /** The next item; no more after an error. */
  async next(): Promise<IteratorResult<WatchItem, undefined>> {
    try {
      const { done, value } = await this.#items.next();
      if (!done) {
        this.#resumeToken = value.resumeToken;
        return { done: false, value };
      }
    } catch (error) {
      this.#gone.leave();
      throw error;
    }
    this.#gone.leave();
    if (!this.#isClosed && this.#signal?.aborted) {
      this.#isClosed = true;
      throw cancelledError(this.#signal.reason, "", 0);
    }
    if (!this.#isClosed && this.#core.closing.isOver) {
      this.#isClosed = true;
      throw closedError("", 0);
    }
    return { done: true, value: undefined };
  }

  /** Ends the watch; whoever waits for the next item learns that there is none. */
  close(): void {
    this.#isClosed = true;
    this.#gone.end();
    this.#gone.leave();
  }

  /** @internal Called where a loop is left. */
  async return(): Promise<IteratorResult<WatchItem, undefined>> {
    this.close();
    await this.#items.return();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }
}
