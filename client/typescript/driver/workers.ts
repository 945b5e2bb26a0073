// The commands that work.
import {
  type Attempt,
  type Client,
  PermanentError,
  type Result,
  Stopped,
  type Summary,
  type Worker,
} from "@semel/client";
import { type Command, optionalNumber, type Say, text } from "./command.js";

type Handle = (attempt: Attempt, signal: AbortSignal) => Promise<Result>;

/** The workers under way, by name. */
export class Workers {
  readonly #say: Say;
  readonly #workers = new Map<string, Worker>();
  /** What lets the handlers of `conformance.block` go on, by worker and run. */
  readonly #blocked = new Map<string, () => void>();

  constructor(say: Say) {
    this.#say = say;
  }

  /** Works until it is told to stop. */
  async run(client: Client, command: Command): Promise<object> {
    const name = text(command, "worker");
    const worker = client.worker({
      slots: optionalNumber(command, "slots"),
      drainTimeoutMs: optionalNumber(command, "drain_timeout"),
      name,
      onStream: (isOpen) => {
        if (isOpen) {
          this.#say({ worker: name, told: "connected" });
        }
      },
    });
    for (const processor of command.processors as string[]) {
      worker.handle(processor, this.#telling(name, this.#handlerOf(name, processor)));
    }
    this.#workers.set(name, worker);
    try {
      const { succeeded, failed, cancelled, released }: Summary = await worker.run();
      return { succeeded, failed, cancelled, released };
    } finally {
      this.#workers.delete(name);
    }
  }

  stop(command: Command): object {
    this.#workers.get(text(command, "worker"))?.shutdown();
    return {};
  }

  release(command: Command): object {
    this.#blocked.get(`${text(command, "worker")} ${text(command, "run_id")}`)?.();
    return {};
  }

  /** Tells when a handler is entered, when it learns that it is to stop, and when it returns. */
  #telling(worker: string, handle: Handle): Handle {
    return async (attempt, signal) => {
      const tell = (told: string, more = {}) =>
        this.#say({ worker, told, run_id: attempt.runId, attempt: attempt.attempt, ...more });
      tell("started");
      signal.addEventListener("abort", () => tell("cancelled"), { once: true });
      try {
        const result = await handle(attempt, signal);
        tell("ended", { outcome: "succeeded" });
        return result;
      } catch (error) {
        tell("ended", { outcome: outcomeOf(signal) });
        throw error;
      }
    };
  }

  #handlerOf(worker: string, processor: string): Handle {
    switch (processor) {
      case "conformance.fail":
        return async (attempt) => {
          throw new Error(attempt.text());
        };
      case "conformance.permanent":
        return async (attempt) => {
          throw new PermanentError(attempt.text());
        };
      case "conformance.sleep":
        return async (attempt, signal) => {
          const ms = Number(attempt.text());
          await pause(ms / 2, signal);
          attempt.progress(0.5, "half");
          await pause(ms / 2, signal);
        };
      case "conformance.block":
        return (attempt, signal) =>
          new Promise((resolve, reject) => {
            this.#blocked.set(`${worker} ${attempt.runId}`, () => resolve(undefined));
            signal.addEventListener("abort", () => reject(signal.reason), { once: true });
          });
      case "conformance.log":
        return async (attempt) => {
          await attempt.log(attempt.payload.data);
        };
      default:
        return async (attempt) => attempt.payload;
    }
  }
}

function outcomeOf(signal: AbortSignal): string {
  if (!(signal.reason instanceof Stopped)) {
    return "failed";
  }
  return signal.reason.why === "cancelled" ? "cancelled" : "released";
}

/** Waits so long; ends early, by throwing, when the signal says so. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        reject(signal.reason);
      },
      { once: true },
    );
  });
}
