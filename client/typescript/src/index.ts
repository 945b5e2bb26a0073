/**
 * The client of a Semel server for Node: gRPC over HTTP/2.
 *
 * @packageDocumentation
 */
import { Client as AnyClient } from "./client.js";
import { type ConnectionOptions, nodeTransport } from "./node.js";
import type { ClientOptions } from "./options.js";
import type { Scope } from "./scope.js";
import type { SharedWay } from "./submit/many.js";
import { Pipe } from "./submit/pipe.js";
import { Worker, type WorkerOptions } from "./worker/worker.js";

export * from "./shared.js";
export type { Attempt } from "./worker/attempt.js";
export type { Summary } from "./worker/crew.js";
export { type Handler, PermanentError, type Result, RetryError, Stopped, type Why } from "./worker/handler.js";
export type { ConnectionOptions, Worker, WorkerOptions };

/** A client of a Semel server over gRPC: runs that are submitted together share one stream. */
export class Client extends AnyClient {
  /** @internal */
  protected override sharedWay(scope: Scope): SharedWay {
    return new Pipe(this.core, scope);
  }

  /** Sets up a worker: give it handlers, then let it run. */
  worker(options: WorkerOptions = {}): Worker {
    return new Worker(this.core, options);
  }
}

/**
 * A client of the server at `endpoint`: `https://host:port`, `http://127.0.0.1:7400`, or `unix:/path`. Does not wait for the server: it connects with
 * its first call.
 *
 * @throws SemelError of kind `usage`, where an option cannot be
 */
export function connect(endpoint: string, options: ClientOptions & ConnectionOptions = {}): Client {
  const { transport, close } = nodeTransport(endpoint, options, options.credentials !== undefined);
  return new Client(transport, options, close);
}
