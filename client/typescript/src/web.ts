/**
 * The client of a Semel server for browsers: gRPC-Web over `fetch`.
 *
 * @packageDocumentation
 */
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { Client } from "./client.js";
import type { ClientOptions } from "./options.js";

export * from "./shared.js";
export { Client };

/**
 * A client of the server at `endpoint`, for instance `https://semel.example.com`. A page of another origin needs that
 * origin among the server's `web_origins`.
 */
export function connect(endpoint: string, options: ClientOptions = {}): Client {
  return new Client(createGrpcWebTransport({ baseUrl: endpoint }), options);
}
