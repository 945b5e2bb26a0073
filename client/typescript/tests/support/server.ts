// A real server of its own for a test: the binary that SEMEL_BIN names, on a free port, with a fresh data folder.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Client, type ClientOptions, connect, SemelError } from "../../src/index.js";

const BINARY = process.env.SEMEL_BIN ?? "";

/**
 * Why tests against a real server are left out; false where there is one. Where SEMEL_REQUIRE_BIN says that there has to be
 * one, they are not left out, and fail.
 */
export const withoutServer =
  BINARY === "" && process.env.SEMEL_REQUIRE_BIN !== "1" ? "SEMEL_BIN names no built semel" : false;

/** How long anything is waited for at most. */
export const PATIENCE_MS = 30_000;

export class Server {
  readonly #folder = mkdtempSync(join(tmpdir(), "semel-ts-"));
  #process: ChildProcess | undefined;
  #starts = 0;
  /** The address that it listens on, which it keeps over restarts. */
  address = "127.0.0.1:0";

  static async start(flags: readonly string[] = []): Promise<Server> {
    const server = new Server();
    await server.run(flags);
    return server;
  }

  get endpoint(): string {
    return `http://${this.address}`;
  }

  get secret(): string {
    return readFileSync(join(this.#folder, "data", "admin-secret"), "utf8").trim();
  }

  /** Starts it, and waits until it serves. */
  async run(flags: readonly string[] = []): Promise<void> {
    this.#starts += 1;
    const ready = join(this.#folder, `ready-${this.#starts}.json`);
    const data = join(this.#folder, "data");
    const places = ["--listen", this.address, "--data-dir", data, "--ready-file", ready];
    const child = spawn(BINARY, ["serve", ...places, ...flags], {
      stdio: "ignore",
      env: { SEMEL_LOG_FILTER: "error" },
    });
    this.#process = child;
    const failed = once(child, "exit").then(([code]) => {
      throw new Error(`the server ended with ${code}`);
    });
    failed.catch(() => {});
    await Promise.race([eventually(() => existsSync(ready)), failed]);
    this.address = JSON.parse(readFileSync(ready, "utf8")).address;
  }

  /** Ends it, and waits for that. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      const ended = once(child, "exit");
      child.kill(signal);
      await ended;
    }
  }

  /** A client of the admin, for the app of this name. */
  client(app = "", options: ClientOptions = {}): Client {
    return connect(this.endpoint, { app, credentials: { app: "system", secret: this.secret }, ...options });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop("SIGKILL");
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Waits for a condition. */
export async function eventually(holds: () => boolean | Promise<boolean>): Promise<void> {
  const until = performance.now() + PATIENCE_MS;
  while (!(await holds())) {
    if (performance.now() > until) {
      throw new Error("it did not come about in time");
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** An app of its own for a test, with jobs of the same names as their processors. */
export async function makeApp(client: Client, app: string, ...processors: string[]): Promise<void> {
  await client.apps.createApp({ app });
  for (const processor of processors) {
    await client.jobs.createJob({ app, job: processor, spec: { processor } });
  }
}

/** The error that a promise fails with. */
export async function errorOf(promise: Promise<unknown>): Promise<SemelError> {
  const error = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (error instanceof SemelError) {
    return error;
  }
  throw new Error("it did not fail as it should", { cause: error });
}
