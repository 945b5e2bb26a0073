// The commands of the driver: its clients by name, and what each command makes them do.
import { readFileSync } from "node:fs";
import type { DescMethodUnary } from "@bufbuild/protobuf";
import { type Client, connect, requestIdOf } from "@semel/client";
import { benchEcho, benchSubmit } from "./bench.js";
import { type Command, callOptions, clientOptions, type Say, text } from "./command.js";
import { callMany, submitMany, wait } from "./runs.js";
import { Watches } from "./watches.js";
import { read, registry, Unsupported, write } from "./wire.js";
import { Workers } from "./workers.js";

export class Session {
  readonly #clients = new Map<string, Client>();
  readonly #cancels = new Map<unknown, AbortController>();

  readonly #watches: Watches;
  readonly #workers: Workers;

  constructor(say: Say) {
    this.#watches = new Watches(say);
    this.#workers = new Workers(say);
  }

  /** Does what a command says, and gives what is to be answered. */
  async run(command: Command): Promise<object> {
    const cancel = new AbortController();
    this.#cancels.set(command.id, cancel);
    try {
      return await this.#do(command, cancel.signal);
    } finally {
      this.#cancels.delete(command.id);
    }
  }

  /** The input has ended. */
  close(): void {
    for (const client of this.#clients.values()) {
      client.close();
    }
  }

  #do(command: Command, signal: AbortSignal): object | Promise<object> {
    switch (command.op) {
      case "hello":
        return hello();
      case "connect":
        return this.#connect(command);
      case "close":
        return this.#close(command);
      case "mint":
        return { request_id: this.#client(command).mintRequestId() };
      case "call":
        return this.#call(command, signal);
      case "cancel":
        return this.#cancel(command);
      case "call_many":
        return callMany(this.#client(command), command, signal);
      case "submit_many":
        return submitMany(this.#client(command), command, signal);
      case "wait":
        return wait(this.#client(command), command, signal);
      case "watch":
        return this.#watches.run(this.#client(command), command);
      case "stop_watch":
        return this.#watches.stop(command);
      case "worker":
        return this.#workers.run(this.#client(command), command);
      case "stop_worker":
        return this.#workers.stop(command);
      case "release":
        return this.#workers.release(command);
      case "uuid":
        return uuid(command);
      case "bench_submit":
        return benchSubmit(this.#client(command), command);
      case "bench_echo":
        return benchEcho(command);
      default:
        throw new Unsupported(`there is no op "${command.op}" here`);
    }
  }

  #client(command: Command): Client {
    const client = this.#clients.get(text(command, "client"));
    if (client === undefined) {
      throw new Error(`there is no client "${text(command, "client")}"`);
    }
    return client;
  }

  #connect(command: Command): object {
    const name = text(command, "client");
    this.#clients.get(name)?.close();
    this.#clients.set(name, connect(text(command, "endpoint"), clientOptions(command)));
    return {};
  }

  #close(command: Command): object {
    this.#client(command).close();
    this.#clients.delete(text(command, "client"));
    return {};
  }

  #cancel(command: Command): object {
    this.#cancels.get(command.target)?.abort(new Error("the runner cancelled it"));
    return {};
  }

  async #call(command: Command, signal: AbortSignal): Promise<object> {
    const method = methodNamed(text(command, "method"));
    let attempts = 0;
    let requestId = "";
    const options = {
      ...callOptions(command),
      signal,
      onAttempt: (number: number, id: string) => {
        attempts = number;
        requestId = id;
      },
    };
    const answer = await this.#client(command).call(method, read(method.input, command.request), options);
    return { response: write(method.output, answer), request_id: requestId, attempts };
  }
}

function hello(): object {
  const own = JSON.parse(readFileSync(new URL(import.meta.resolve("@semel/client/package.json")), "utf8"));
  return {
    client: own.name,
    version: own.version,
    language: "typescript",
    runtime: `Node.js ${process.versions.node}`,
    grpc: `@connectrpc/connect-node ${own.dependencies["@connectrpc/connect-node"]}`,
  };
}

/** Any unary method of any service, by its name. */
function methodNamed(name: string): DescMethodUnary {
  for (const type of registry) {
    const method = type.kind === "service" ? type.methods.find((method) => method.name === name) : undefined;
    if (method?.methodKind === "unary") {
      return method as DescMethodUnary;
    }
  }
  throw new Error(`there is no unary method "${name}"`);
}

/** The UUIDv7 of a time and 74 random bits, by the code that mints request ids. */
function uuid(command: Command): object {
  const random = Uint8Array.from(Buffer.from(text(command, "random"), "hex"));
  return { uuid: requestIdOf(Number(command.unix_ms), random) };
}
