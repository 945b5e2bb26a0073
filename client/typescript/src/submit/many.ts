// Submitting any number of runs: takes them from an iterator as fast as their results are taken, and gives the results in
// the order of the runs. Each run is a logical call of its own; by which way its attempts go, the caller says.
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Core, Way } from "../call.js";
import { cancelledError, closedError, SemelError } from "../error.js";
import { JobService, type RunJobRequestSchema, type RunJobResponse } from "../gen/semel/v1/job_service_pb.js";
import { type CallOptions, settleRetry } from "../options.js";
import { Scope } from "../scope.js";
import { Wakeup } from "../wakeup.js";

/** Runs whose results were not taken yet, beyond which no further run is. */
const OUTSTANDING_MAX = 4096;
/** The same for the bytes of their payloads. */
const OUTSTANDING_BYTES_MAX = 64 * 1024 * 1024;

/** A run to submit, as `jobs.runJob` takes it. */
export type RunInit = MessageInitShape<typeof RunJobRequestSchema>;

/** Any number of runs. */
export type Runs = Iterable<RunInit> | AsyncIterable<RunInit>;

/** What became of one run of many: it took effect, now or earlier; or not, and why. */
export type Submitted =
  | { readonly ok: true; readonly requestId: string; readonly response: RunJobResponse }
  | { readonly ok: false; readonly requestId: string; readonly error: SemelError };

/** What may be set for all of many runs. The times hold for each of them. */
export type SubmitOptions = Omit<CallOptions, "requestId" | "onAttempt">;

/** By which way the attempts go of all runs that are submitted together. Closed when all is done. */
export type SharedWay = Way & Disposable;

/** Submits runs; see `Client.submitMany`. */
export async function* submitMany(
  core: Core,
  runs: Runs,
  options: SubmitOptions,
  makeWay: (scope: Scope) => SharedWay,
): AsyncGenerator<Submitted, void, void> {
  settleRetry(options.retry, core.settings.retry);
  const scope = new Scope(options.signal, core.closing);
  const window = new Window(core, options, makeWay(scope), scope);
  try {
    window.take(runs);
    yield* window.results();
    if (core.closing.isOver) {
      throw closedError("", 0);
    }
    if (scope.isOver) {
      throw cancelledError(scope.reason, "", 0);
    }
  } finally {
    scope.end(new Error("the results are not wanted any more"));
    window.close();
  }
}

interface Taken {
  readonly submitted: Promise<Submitted>;
  readonly bytes: number;
}

/** The runs that were taken and whose results were not. */
class Window {
  readonly #taken: Taken[] = [];
  readonly #moved = new Wakeup();
  #bytes = 0;
  #isTaking = false;
  #failure: { readonly error: unknown } | undefined;

  constructor(
    readonly core: Core,
    readonly options: SubmitOptions,
    readonly way: SharedWay,
    readonly scope: Scope,
  ) {
    scope.onEnd(() => this.#moved.wake());
  }

  /** Takes runs, beside giving results, while there is room for them. */
  take(runs: Runs): void {
    this.#isTaking = true;
    const end = (failure?: { readonly error: unknown }) => {
      this.#failure = failure;
      this.#isTaking = false;
      this.#moved.wake();
    };
    this.#takeAll(runs).then(
      () => end(),
      (error: unknown) => end({ error }),
    );
  }

  async #takeAll(runs: Runs): Promise<void> {
    for await (const run of runs) {
      while ((this.#taken.length >= OUTSTANDING_MAX || this.#bytes >= OUTSTANDING_BYTES_MAX) && !this.scope.isOver) {
        await this.#moved.wait();
      }
      if (this.scope.isOver) {
        return;
      }
      const bytes = run.payload?.data?.length ?? 0;
      this.#bytes += bytes;
      this.#taken.push({ submitted: this.#submit(run), bytes });
      this.#moved.wake();
    }
  }

  /** The results in the order of the runs; at their end, what the iterator of the runs failed with. */
  async *results(): AsyncGenerator<Submitted, void, void> {
    for (;;) {
      const first = this.#taken.shift();
      if (first !== undefined) {
        const submitted = await first.submitted;
        this.#bytes -= first.bytes;
        this.#moved.wake();
        yield submitted;
      } else if (!this.#isTaking || this.scope.isOver) {
        break;
      } else {
        await this.#moved.wait();
      }
    }
    if (this.#failure !== undefined) {
      throw this.#failure.error;
    }
  }

  close(): void {
    this.way[Symbol.dispose]();
  }

  async #submit(run: RunInit): Promise<Submitted> {
    try {
      const response = await this.core.call(JobService.method.runJob, run, this.options, this.way);
      return { ok: true, requestId: response.header?.requestId ?? "", response };
    } catch (error) {
      if (error instanceof SemelError) {
        return { ok: false, requestId: error.requestId, error };
      }
      throw error;
    }
  }
}
