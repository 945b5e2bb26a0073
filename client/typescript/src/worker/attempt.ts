// One attempt, as its handler sees it, and the little that it may say while it works. It decides nothing: cancelling, sending
// and reporting are the runtime's.
import { create } from "@bufbuild/protobuf";
import type { ServerClock } from "../clock.js";
import { type Payload, PayloadSchema } from "../gen/semel/v1/header_pb.js";
import type { Assignment } from "../gen/semel/v1/worker_service_pb.js";
import { timestampMs } from "../time.js";
import { CHUNK_BYTES, type LogBuffer, type LogName, logStream } from "./log.js";

/** What the server takes of a text about progress. */
const MESSAGE_CHARACTERS_MAX = 255;

/** How far an attempt is. */
export interface ProgressNote {
  readonly fraction: number;
  readonly message: string;
}

/** Where an attempt leaves what it says. */
export interface Mouth {
  readonly log: LogBuffer;
  readonly progress: (note: ProgressNote) => void;
  /** There is log to be sent: now, or before long. */
  readonly hasLog: (isUrgent: boolean) => void;
}

/** One attempt, as its handler sees it. */
export class Attempt {
  /** The run. */
  readonly runId: string;
  /**
   * The number of the attempt, from 1 on. It is also the fencing token: it only grows, so whatever the handler changes should
   * refuse a smaller one than it has seen.
   */
  readonly attempt: number;
  /** How many attempts the run may have. */
  readonly maxAttempts: number;
  readonly app: string;
  readonly job: string;
  /** The name under which the handler was asked for. */
  readonly processor: string;
  /** The input; empty if the run has none. */
  readonly payload: Payload;
  /** The labels of the run. */
  readonly labels: Readonly<Record<string, string>>;
  /** The trigger of the job that made the run; empty if none did. */
  readonly trigger: string;
  /** The time that the run was made for, by the schedule of its trigger: the same however late it runs. */
  readonly scheduledTime: Date | undefined;
  /**
   * The span of this attempt in the trace of the run, as W3C has it: let that of the work be its child. Undefined if the run is
   * in no trace.
   */
  readonly traceContext: { readonly traceparent: string; readonly tracestate: string } | undefined;
  /** When the attempt counts as timed out, by the server's clock; undefined if never. See {@link timeLeftMs}. */
  readonly deadline: Date | undefined;
  readonly #clock: ServerClock;
  readonly #mouth: Mouth;

  /** @internal */
  constructor(assignment: Assignment, clock: ServerClock, mouth: Mouth) {
    this.runId = assignment.runId;
    this.attempt = Number(assignment.attempt);
    this.maxAttempts = assignment.maxAttempts;
    this.app = assignment.app;
    this.job = assignment.job;
    this.processor = assignment.processor;
    this.payload = assignment.payload ?? create(PayloadSchema);
    this.labels = assignment.labels;
    this.trigger = assignment.trigger;
    const { attemptDeadline, scheduledTime, traceContext } = assignment;
    this.traceContext = traceContext && { traceparent: traceContext.traceparent, tracestate: traceContext.tracestate };
    this.deadline = attemptDeadline === undefined ? undefined : new Date(timestampMs(attemptDeadline));
    this.scheduledTime = scheduledTime === undefined ? undefined : new Date(timestampMs(scheduledTime));
    this.#clock = clock;
    this.#mouth = mouth;
  }

  /** Run and attempt in one word: the key under which to make effects idempotent for each attempt. */
  get attemptId(): string {
    return `${this.runId}/${this.attempt}`;
  }

  /** The payload as a text in UTF-8. */
  text(): string {
    return new TextDecoder().decode(this.payload.data);
  }

  /** How long the attempt may still take, in milliseconds, as far as the server's clock is known; undefined if for ever. */
  get timeLeftMs(): number | undefined {
    return this.deadline === undefined ? undefined : Math.max(this.deadline.getTime() - this.#clock.nowMs(), 0);
  }

  /**
   * Says how far the attempt is: from 0 to 1, and at what. Volatile: only the last one counts, and only now and then is one
   * sent.
   */
  progress(fraction: number, message = ""): void {
    const bounded = Number.isNaN(fraction) ? 0 : Math.min(Math.max(fraction, 0), 1);
    this.#mouth.progress({ fraction: bounded, message: cut(message, MESSAGE_CHARACTERS_MAX) });
  }

  /**
   * Writes to the log of the run. Waits while too much of it is not acknowledged yet. What is written after the attempt was
   * lost goes nowhere.
   */
  async log(data: string | Uint8Array, to: LogName = "stdout"): Promise<void> {
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    const { log, hasLog } = this.#mouth;
    for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
      const piece = bytes.subarray(at, at + CHUNK_BYTES);
      if (!(await log.reserve(piece.length))) {
        return;
      }
      hasLog(log.write(logStream(to), piece));
    }
  }
}

/** Cuts a text to so many characters. */
export function cut(text: string, charactersMax: number): string {
  return text.length <= charactersMax ? text : [...text].slice(0, charactersMax).join("");
}
