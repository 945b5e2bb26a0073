// The transport of Node: gRPC over HTTP/2. Owns how a connection is made and when it counts as dead.
import * as net from "node:net";
import * as tls from "node:tls";
import type { Transport } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { usageError } from "./error.js";
import { span } from "./options.js";
import { CONNECT_TIMEOUT } from "./refusal.js";

/** The largest message in either direction, as the server has it. */
const MESSAGE_BYTES_MAX = 8 * 1024 * 1024;
/** The receive window of a stream: room for large answers and for many at a time. */
const STREAM_WINDOW_BYTES = 2 * 1024 * 1024;
/**
 * A connection that is dead without a word is noticed after at most the sum of these two, also while it idles: a call that
 * comes afterwards should not have to find out by its own time-out.
 */
const PING_INTERVAL_MS = 20_000;
const PING_TIMEOUT_MS = 10_000;

/** How connections are made. */
export interface ConnectionOptions {
  /** How long it may take to make a connection. Default 5000 ms. */
  readonly connectTimeoutMs?: number | undefined;
  /** For `https:` endpoints: certificates and whatever else `node:tls` takes. */
  readonly tls?: tls.ConnectionOptions | undefined;
}

/** A transport to one server, and what closes it. */
export function nodeTransport(
  endpoint: string,
  options: ConnectionOptions,
): { transport: Transport; close: () => void } {
  const url = endpointUrl(endpoint);
  const timeoutMs = span("connectTimeoutMs", options.connectTimeoutMs, 5000);
  const sessions = new Http2SessionManager(
    url.origin,
    { pingIntervalMs: PING_INTERVAL_MS, pingTimeoutMs: PING_TIMEOUT_MS, pingIdleConnection: true },
    {
      settings: { enablePush: false, initialWindowSize: STREAM_WINDOW_BYTES },
      createConnection: () => openSocket(url, options.tls ?? {}, timeoutMs),
    },
  );
  const transport = createGrpcTransport({
    baseUrl: url.origin + url.pathname.replace(/\/$/, ""),
    sessionManager: sessions,
    acceptCompression: [],
    readMaxBytes: MESSAGE_BYTES_MAX,
  });
  return { transport, close: () => sessions.abort() };
}

function openSocket(url: URL, options: tls.ConnectionOptions, timeoutMs: number): net.Socket {
  const isTls = url.protocol === "https:";
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const place = { host, port: Number(url.port) || (isTls ? 443 : 80) };
  const named = net.isIP(host) === 0 ? { servername: host } : {};
  const socket = isTls ? tls.connect({ ...named, ...options, ...place, ALPNProtocols: ["h2"] }) : net.connect(place);
  socket.setNoDelay(true);
  const timer = setTimeout(() => socket.destroy(new Error(CONNECT_TIMEOUT)), timeoutMs);
  const settled = () => clearTimeout(timer);
  socket.once(isTls ? "secureConnect" : "connect", settled).once("close", settled);
  return socket;
}

function endpointUrl(endpoint: string): URL {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  if (url === undefined || (url.protocol !== "http:" && url.protocol !== "https:") || url.host === "") {
    throw usageError(`the endpoint must be like http://127.0.0.1:7400, and not "${endpoint}"`);
  }
  return url;
}
