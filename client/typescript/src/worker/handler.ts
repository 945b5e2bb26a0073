// What a program gives a worker: handlers, and what they may return or throw.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type Payload, PayloadSchema } from "../gen/semel/v1/header_pb.js";
import type { Attempt } from "./attempt.js";

/**
 * What a handler gives back: a text (`text/plain`), bytes (`application/octet-stream`), a payload with a media type, or
 * nothing.
 */
// biome-ignore lint/suspicious/noConfusingVoidType: a handler that returns nothing is one
export type Result = string | Uint8Array | MessageInitShape<typeof PayloadSchema> | undefined | void;

/**
 * Works on one attempt. What it throws fails the attempt, with the error's text; see {@link PermanentError} and
 * {@link RetryError}. When `signal` is aborted it is to stop: `signal.reason` is a {@link Stopped} that says why.
 */
export type Handler = (attempt: Attempt, signal: AbortSignal) => Promise<Result> | Result;

/** Thrown by a handler: trying again is of no use, and the run fails now, whatever its retry policy says. */
export class PermanentError extends Error {
  override readonly name = "PermanentError";
}

/** Thrown by a handler: the attempt failed, and the next one is to come after this wait, instead of what the policy says. */
export class RetryError extends Error {
  override readonly name = "RetryError";
  /** The wait, in milliseconds. */
  readonly afterMs: number;

  constructor(message: string, afterMs: number, options?: ErrorOptions) {
    super(message, options);
    this.afterMs = afterMs;
  }
}

/**
 * Why a handler is to stop.
 *
 * - `cancelled`: somebody cancelled the run.
 * - `over`: the attempt is over for the server: it took too long, or is no longer this worker's.
 * - `draining`: the worker shuts down, and the time for that has passed; the run goes back into the queue.
 * - `lease_lost`: the server was not heard of for the length of the lease, so another worker may have the run by now.
 */
export type Why = "cancelled" | "over" | "draining" | "lease_lost";

/** The reason of a handler's signal. A handler may throw it, or return as it likes: what is reported is the same. */
export class Stopped extends Error {
  override readonly name = "Stopped";
  readonly why: Why;

  constructor(why: Why) {
    super(TEXTS[why]);
    this.why = why;
  }
}

const TEXTS: Readonly<Record<Why, string>> = {
  cancelled: "the run was cancelled",
  over: "the attempt is over for the server",
  draining: "the worker shuts down",
  lease_lost: "the worker lost touch with the server",
};

/** The payload of what a handler gave back. */
export function toPayload(result: Result): Payload | undefined {
  if (result === undefined || result === null) {
    return undefined;
  }
  if (typeof result === "string") {
    return create(PayloadSchema, { data: new TextEncoder().encode(result), contentType: "text/plain; charset=utf-8" });
  }
  if (result instanceof Uint8Array) {
    return create(PayloadSchema, { data: result as Uint8Array<ArrayBuffer>, contentType: "application/octet-stream" });
  }
  return create(PayloadSchema, result);
}

/** What is said of an error: its own text, and those of its causes. */
export function errorText(error: unknown): string {
  const texts: string[] = [];
  let cause = error;
  for (let depth = 0; depth < 8 && cause !== undefined && cause !== null; depth++) {
    texts.push(cause instanceof Error ? cause.message || cause.name : String(cause));
    cause = cause instanceof Error ? cause.cause : undefined;
  }
  return texts.join(": ") || "the handler failed without a word";
}
