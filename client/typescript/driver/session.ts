// The commands of the driver: its clients by name, and what each command makes them do.
import { readFileSync } from "node:fs";
import { type Client, connect, type Credentials, SemelError } from "@semel/client";
import * as v1 from "@semel/client/v1";
import { callOptions, type Command, clientOptions, text } from "./command.js";
import { errorJson, registry, Unsupported, write, read, enumName } from "./wire.js";
import type { DescMethodUnary } from "@bufbuild/protobuf";

/** Writes a line that answers no command. */
export type Say = (line: object) => void;

export class Session {
  readonly #say: Say;
  readonly #clients = new Map<string, Client>();
  readonly #cancels = new Map<unknown, AbortController>();

  constructor(say: Say) {
    this.#say = say;
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
        return this.#callMany(command, signal);
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

  async #callMany(command: Command, signal: AbortSignal): Promise<object> {
    const client = this.#client(command);
    const count = Number(command.count);
    const results: object[] = new Array(count);
    let next = 0;
    const caller = async () => {
      for (let number = next++; number < count; number = next++) {
        const requestId = client.mintRequestId();
        results[number] = await client.jobs
          .runJob(read(v1.RunJobRequestSchema, command.request), { ...callOptions(command), requestId, signal })
          .then(runJson, failureJson(requestId));
      }
    };
    await Promise.all(Array.from({ length: Math.max(Number(command.concurrency ?? 1), 1) }, caller));
    return { results };
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

function runJson(answer: v1.RunJobResponse): object {
  const { header } = answer;
  return {
    request_id: header?.requestId ?? "",
    run_id: answer.runId,
    disposition: enumName(v1.DispositionSchema, header?.disposition ?? 0),
  };
}

function failureJson(requestId: string): (error: unknown) => object {
  return (error) => {
    if (error instanceof SemelError) {
      return { request_id: error.requestId || requestId, error: errorJson(error) };
    }
    throw error;
  };
}

export type { Credentials };
