/**
 * The client of a Semel server for browsers: gRPC-Web over `fetch`.
 *
 * @packageDocumentation
 */
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { Client } from "./client.js";
import { usageError } from "./error.js";
import type { ClientOptions } from "./options.js";
import { type PlaintextOptions, refusePlaintext } from "./plaintext.js";

export * from "./shared.js";
export { Client };

/**
 * A client of the server at `endpoint`, for instance `https://semel.example.com`. A page of another origin needs that
 * origin among the server's `web.origins`.
 *
 * @throws SemelError of kind `usage`, where the endpoint or an option cannot be
 */
export function connect(endpoint: string, options: ClientOptions & PlaintextOptions = {}): Client {
  const url = /^https?:\/\//i.test(endpoint) && URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  if (url === undefined) {
    throw usageError(`the endpoint must be like https://semel.example.com, and not "${endpoint}"`);
  }
  refusePlaintext(url, options.credentials !== undefined, options);
  return new Client(createGrpcWebTransport({ baseUrl: endpoint }), options);
}
