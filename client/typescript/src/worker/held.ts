// An attempt that this worker holds: whether its handler runs, why it is to stop, and what is still to be sent about it.
// Plain state and its small transitions; what drives them stands in `crew` and `outbox`.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type Assignment,
  type AttemptRef,
  AttemptRefSchema,
  type LogSchema,
  type ReportSchema,
} from "../gen/semel/v1/worker_service_pb.js";
import { toDuration } from "../time.js";
import { cut, type ProgressNote } from "./attempt.js";
import { errorText, PermanentError, type Result, RetryError, Stopped, toPayload, type Why } from "./handler.js";
import { type Chunk, LogBuffer } from "./log.js";

/** What the server takes of an error text. */
const ERROR_CHARACTERS_MAX = 4096;
/** A result must fit into a message together with what is around it; the server's own limit is lower still. */
const RESULT_BYTES_MAX = 8 * 1024 * 1024 - 64 * 1024;

/** How an attempt ended, as it is reported. */
export type Outcome = Exclude<NonNullable<MessageInitShape<typeof ReportSchema>["outcome"]>, { case: undefined }>;

/** A message that changes something, and so is sent until it is acknowledged. */
export interface Outgoing {
  readonly content:
    | { readonly kind: "log"; readonly chunk: Chunk }
    /** `standIn`: it stands in for a report that the server would not take. */
    | { readonly kind: "report"; readonly outcome: Outcome; readonly standIn: boolean };
  /** Minted when it is sent for the first time; empty before. */
  requestId: string;
  /** How often it was sent under that id. */
  sends: number;
  /** How often it was refused in a way that may pass. */
  refusals: number;
  sentAt: number;
  notBefore: number;
}

/** The reasons to stop, the stronger ones later: a stronger reason takes the place of a weaker one. */
const STRENGTH: readonly (Why | undefined)[] = [undefined, "lease_lost", "draining", "cancelled", "over"];

/** An attempt that this worker holds. */
export class Held {
  readonly key: string;
  readonly log = new LogBuffer();
  readonly abort = new AbortController();
  /** What is to be sent, in order. Only the first one is ever under way, so the order holds whatever is refused. */
  readonly queue: Outgoing[] = [];
  /** Whether its handler runs, and its end is waited for. */
  isRunning = false;
  /** Whether its handler runs though the server does not count it any more. */
  isUncounted = false;
  stop: Why | undefined;
  isInFlight = false;
  progress: ProgressNote | undefined;
  /** When progress may be sent again. */
  progressFrom = 0;

  constructor(readonly assignment: Assignment) {
    this.key = keyOf(assignment);
  }

  get ref(): AttemptRef {
    return create(AttemptRefSchema, { runId: this.assignment.runId, attempt: this.assignment.attempt });
  }

  /** Whether it is over for the server, so that nothing is to be said about it. */
  get isOver(): boolean {
    return this.stop === "over";
  }

  /** Tells the handler to stop, unless it was told so for as strong a reason. Says whether this is news. */
  tell(why: Why): boolean {
    if (STRENGTH.indexOf(why) <= STRENGTH.indexOf(this.stop)) {
      return false;
    }
    this.stop = why;
    this.abort.abort(new Stopped(why));
    return true;
  }

  /** Puts the log that has gathered into the queue. */
  gatherLog(): void {
    this.queue.push(...this.log.take().map((chunk) => outgoing({ kind: "log", chunk })));
  }

  /** Forgets what is still to be sent. */
  clearQueue(): void {
    this.log.close();
    this.queue.length = 0;
    this.isInFlight = false;
  }
}

/** Run and attempt in one word. */
export function keyOf({ runId, attempt }: { readonly runId: string; readonly attempt: bigint }): string {
  return `${runId}/${attempt}`;
}

export function outgoing(content: Outgoing["content"]): Outgoing {
  return { content, requestId: "", sends: 0, refusals: 0, sentAt: 0, notBefore: 0 };
}

/** The body of a message. */
export function bodyOf(
  held: Held,
  { content }: Outgoing,
):
  | { readonly case: "log"; readonly value: MessageInitShape<typeof LogSchema> }
  | { readonly case: "report"; readonly value: MessageInitShape<typeof ReportSchema> } {
  const { runId, attempt } = held.assignment;
  if (content.kind === "log") {
    const { stream, data } = content.chunk;
    return { case: "log", value: { runId, attempt, stream, data } };
  }
  return { case: "report", value: { runId, attempt, outcome: content.outcome } };
}

/** How a handler ended. */
export type Ended = { readonly result: Result } | { readonly error: unknown };

/** What is reported of an attempt whose handler has ended; nothing if it is over for the server. */
export function outcomeOf(stop: Why | undefined, ended: Ended): Outcome | undefined {
  if (stop === "over") {
    return undefined;
  }
  if ("result" in ended) {
    return succeeded(ended.result);
  }
  switch (stop) {
    case "cancelled":
      return { case: "cancelled", value: {} };
    case "draining":
      return released("the worker shut down");
    case "lease_lost":
      return released("the worker lost touch with the server");
    default:
      return failed(ended.error);
  }
}

export function released(reason: string): Outcome {
  return { case: "released", value: { reason } };
}

export function failed(error: unknown): Outcome {
  const isRetry = error instanceof RetryError;
  return {
    case: "failed",
    value: {
      error: cut(errorText(error), ERROR_CHARACTERS_MAX),
      permanent: error instanceof PermanentError,
      ...(isRetry ? { retryAfter: toDuration(Math.max(error.afterMs, 0)) } : {}),
    },
  };
}

function succeeded(given: Result): Outcome {
  try {
    const result = toPayload(given);
    const bytes = result?.data.length ?? 0;
    if (bytes > RESULT_BYTES_MAX) {
      const text = `the result of ${bytes} bytes is larger than a message can be; give back a reference to it`;
      return failed(new PermanentError(text));
    }
    return { case: "succeeded", value: result === undefined ? {} : { result } };
  } catch (error) {
    return failed(new PermanentError("the handler gave back what is no result", { cause: error }));
  }
}
