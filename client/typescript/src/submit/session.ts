// One open stream: packs what waits into messages, and matches the answers, which come in order, with whoever waits for
// them. It knows how a stream ends, and nothing of what follows from it.
import { create, type MessageShape } from "@bufbuild/protobuf";
import type { Signature } from "../auth.js";
import type { Core } from "../call.js";
import { RequestHeaderSchema, type ResponseHeader, ResponseHeaderSchema } from "../gen/semel/v1/header_pb.js";
import {
  JobService,
  type RunJobRequest,
  type RunJobResponse,
  RunJobResponseSchema,
  type SubmitResult,
  type SubmitRunsRequest,
  SubmitRunsRequestSchema,
  type SubmitRunsResponse,
  type SubmitRunsResponseSchema,
} from "../gen/semel/v1/job_service_pb.js";
import { fromStatus, localRefusal, type Refusal, spoke } from "../refusal.js";
import type { Scope } from "../scope.js";
import { Stream } from "../stream.js";
import { durationMs, steadyMs } from "../time.js";
import type { Wakeup } from "../wakeup.js";

/** Runs of one message. */
const MESSAGE_ITEMS_MAX = 100;
/** Bytes of one message, unless a single run has more. */
const MESSAGE_BYTES_MAX = 1 << 20;
/** Runs without an answer, beyond which nothing more is sent. */
const OUTSTANDING_MAX = 4096;
/** How long the stream may take to open at most. */
const OPEN_TIMEOUT_MS = 5000;
/** How often it is looked whether the stream stalls. */
const LOOK_MS = 500;

/** What became of an attempt over the stream; `not_had`: a call of its own is to be made instead. */
export type Fate = { readonly answer: RunJobResponse } | { readonly refusal: Refusal } | "not_had";

/** One attempt of one run that waits for the stream. */
export interface Item {
  readonly run: RunJobRequest;
  readonly bytes: number;
  readonly signature: Signature;
  readonly settle: (fate: Fate) => void;
  /** False once nobody waits for it any more. */
  isWanted: boolean;
}

/**
 * How a stream ended: this side wants no more; the other side ended it, or it was lost; or what comes is no answer of a
 * Semel server, or nothing comes at all.
 */
export type Ended = { readonly how: "done" | "broken" } | { readonly how: "refused"; readonly refusal: Refusal };

/** See the file. */
export class Session {
  readonly #core: Core;
  readonly #scope: Scope;
  readonly #stream: Stream<typeof SubmitRunsResponseSchema>;
  readonly #waiting: Item[];
  readonly #came: Wakeup;
  readonly #stallMs: number;
  readonly #outstanding: Item[] = [];
  readonly #openedAt = steadyMs();
  /** By which token it was opened, or reauthenticated. */
  #generation: number;
  /** When there was last something new to wait for, or something came. */
  #movedAt = steadyMs();
  #isFirst = true;
  #isOpen = false;
  /** The server is about to stop, or this side has nothing more to send. */
  #isLeaving = false;
  hasServed = false;
  reconnectAfterMs = 0;

  constructor(core: Core, signature: Signature, waiting: Item[], came: Wakeup, stallMs: number, scope: Scope) {
    this.#core = core;
    this.#scope = scope;
    this.#waiting = waiting;
    this.#came = came;
    this.#stallMs = stallMs;
    this.#generation = signature.generation;
    this.#stream = new Stream(core.link, JobService.method.submitRuns, signature.token, this.#requests());
  }

  /** For how long it has been there. */
  get ageMs(): number {
    return steadyMs() - this.#openedAt;
  }

  /** Waits for the server's first word: nothing is sent into a stream that leads nowhere. Gives why it does not open. */
  async open(): Promise<Refusal | undefined> {
    const patienceMs = Math.min(OPEN_TIMEOUT_MS, this.#stallMs);
    const first = await this.#stream.read(patienceMs, "the stream did not open in time", this.#scope);
    if ("refusal" in first) {
      return first.refusal;
    }
    if (!spoke(first.message.header)) {
      return localRefusal("OK", "the stream does not begin as that of a Semel server", "other");
    }
    this.#isOpen = true;
    this.#movedAt = steadyMs();
    this.#came.wake();
    return undefined;
  }

  /** Sends what waits and what comes, until the stream ends. */
  async live(isDone: () => boolean): Promise<Ended> {
    while (!this.#scope.isOver) {
      const isIdle = this.#outstanding.length === 0;
      if (isIdle && (isDone() || this.#isLeaving)) {
        return { how: "done" };
      }
      if (isIdle) {
        this.#movedAt = steadyMs();
      } else if (steadyMs() - this.#movedAt >= this.#stallMs) {
        return { how: "broken" };
      }
      const read = await this.#stream.read(LOOK_MS, LOOKED, this.#scope);
      if ("message" in read) {
        if (!this.#hear(read.message)) {
          return { how: "broken" };
        }
      } else if (read.refusal.message !== LOOKED) {
        return { how: "refused", refusal: read.refusal };
      }
    }
    return { how: "done" };
  }

  /** Tells those who have no answer. */
  settleAll(fate: Fate): void {
    for (const item of this.#outstanding.splice(0)) {
      item.settle(fate);
    }
  }

  /** Lets go of the stream. */
  close(): void {
    this.#isLeaving = true;
    this.#stream.close();
    this.#came.wake();
  }

  /** What the server says. False if it is not what a Semel server would say. */
  #hear({ header, results, goingAway }: SubmitRunsResponse): boolean {
    if (!spoke(header)) {
      return false;
    }
    this.#movedAt = steadyMs();
    if (goingAway !== undefined) {
      this.#isLeaving = true;
      this.reconnectAfterMs = durationMs(goingAway.reconnectAfter) ?? 0;
    }
    for (const result of results) {
      const first = this.#outstanding.shift();
      if (first === undefined || result.requestId.toLowerCase() !== first.run.header?.requestId.toLowerCase()) {
        if (first !== undefined) {
          this.#outstanding.unshift(first);
        }
        return false;
      }
      this.hasServed = true;
      first.settle(fateOf(result, header));
    }
    this.#came.wake();
    return true;
  }

  /** What is sent: a message whenever the connection takes one and there is something for it. */
  async *#requests(): AsyncGenerator<SubmitRunsRequest, void, void> {
    while (!this.#isLeaving) {
      const mayPack = this.#isOpen && this.#outstanding.length < OUTSTANDING_MAX;
      const message = mayPack ? this.#pack() : undefined;
      if (message !== undefined) {
        yield message;
      } else {
        await this.#came.wait();
        // What comes in the same turn travels together.
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
  }

  /** The next message of what waits; nothing if nobody waits. */
  #pack(): SubmitRunsRequest | undefined {
    const message = create(SubmitRunsRequestSchema);
    let bytes = 0;
    let count = 0;
    for (const item of this.#waiting) {
      const isFull = message.runs.length >= MESSAGE_ITEMS_MAX || bytes + item.bytes > MESSAGE_BYTES_MAX;
      if (isFull && message.runs.length > 0) {
        break;
      }
      count += 1;
      if (!item.isWanted) {
        continue;
      }
      bytes += item.bytes;
      this.#sign(message, item.signature);
      message.runs.push(item.run);
      this.#outstanding.push(item);
    }
    this.#waiting.splice(0, count);
    if (message.runs.length === 0) {
      return undefined;
    }
    if (this.#isFirst) {
      this.#isFirst = false;
      message.header = create(RequestHeaderSchema, { client: this.#core.clientInfo });
    }
    return message;
  }

  /** Fresh credentials count from the items of their message on. */
  #sign(message: MessageShape<typeof SubmitRunsRequestSchema>, { generation, token }: Signature): void {
    if (generation > this.#generation && token !== undefined) {
      this.#generation = generation;
      message.reauthenticate = { $typeName: "semel.v1.Reauthenticate", token };
    }
  }
}

/** What a read says that only looked around. */
const LOOKED = "nothing yet";

/** What one result says, as the answer of `RunJob` would say it. */
function fateOf({ requestId, outcome }: SubmitResult, header: ResponseHeader): Fate {
  switch (outcome.case) {
    case "run": {
      const { disposition, executeTime, safeRetryUntil, arrivals, revision, ...run } = outcome.value;
      const { $typeName: _, $unknown: __, ...shared } = header;
      const own = create(ResponseHeaderSchema, { ...shared, requestId, disposition, arrivals, revision });
      if (executeTime !== undefined) {
        own.executeTime = executeTime;
      }
      if (safeRetryUntil !== undefined) {
        own.safeRetryUntil = safeRetryUntil;
      }
      const { runId, state, existing, createTime } = run;
      const answer = create(RunJobResponseSchema, { header: own, runId, state, existing });
      if (createTime !== undefined) {
        answer.createTime = createTime;
      }
      return { answer };
    }
    case "refused":
      return { refusal: fromStatus(outcome.value) };
    default: {
      const message = "the answer says neither yes nor no; the server may be newer than this client";
      return { refusal: localRefusal("OK", message, "other") };
    }
  }
}
