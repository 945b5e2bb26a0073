// The commands that watch.
import type { Client, Watch, WatchItem, WatchOptions } from "@semel/client";
import * as v1 from "@semel/client/v1";
import { type Command, type Say, text } from "./command.js";
import { errorJson, read, write } from "./wire.js";

/** The watches under way, by name. */
export class Watches {
  readonly #say: Say;
  readonly #watches = new Map<string, Watch>();

  constructor(say: Say) {
    this.#say = say;
  }

  /** Tells all that a watch tells, to its end. */
  async run(client: Client, command: Command): Promise<object> {
    const name = text(command, "watch");
    const watch = client.watch(optionsOf(command));
    this.#watches.set(name, watch);
    try {
      for await (const item of watch) {
        this.#say({ watch: name, ...itemJson(item) });
      }
    } finally {
      this.#watches.delete(name);
    }
    return {};
  }

  stop(command: Command): object {
    this.#watches.get(text(command, "watch"))?.close();
    return {};
  }
}

function optionsOf(command: Command): WatchOptions {
  const request = read(v1.WatchRequestSchema, command.request);
  const { start, progressInterval: interval, snapshot } = request;
  const token = typeof command.token === "string" ? command.token : undefined;
  return {
    app: request.app,
    apps: request.apps,
    jobs: request.jobs,
    runIds: request.runIds,
    labels: request.labels,
    kinds: request.kinds,
    terminalOnly: request.terminalOnly,
    startAt: token === undefined && start.case === "fromRevision" ? start.value : undefined,
    resume: token ?? (start.case === "resumeToken" ? start.value : undefined),
    // What was asked for first was told before the token was given.
    snapshot: token === undefined ? snapshot : undefined,
    progressIntervalMs: interval === undefined ? undefined : Number(interval.seconds) * 1000 + interval.nanos / 1e6,
  };
}

function itemJson(item: WatchItem): object {
  const about = { told: item.kind, token: item.resumeToken ?? null };
  switch (item.kind) {
    case "opened":
    case "snapshot_end":
    case "progress":
      return { ...about, revision: Number(item.revision) };
    case "run":
      return { ...about, message: write(v1.RunSchema, item.run) };
    case "job":
      return { ...about, message: write(v1.JobSchema, item.job) };
    case "worker":
      return { ...about, message: write(v1.WorkerSchema, item.worker) };
    case "event":
      return { ...about, revision: Number(item.event.revision), message: write(v1.EventSchema, item.event) };
    case "lost":
      return { ...about, error: errorJson(item.error) };
    default:
      return about;
  }
}
