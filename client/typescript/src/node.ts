// The transport of Node: gRPC over HTTP/2. Owns how a connection is made.
import * as net from "node:net";
import * as tls from "node:tls";
import type { Transport } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { usageError } from "./error.js";
import { KeptAlive } from "./keepalive.js";
import { span } from "./options.js";
import { type PlaintextOptions, refusePlaintext } from "./plaintext.js";
import { CONNECT_TIMEOUT } from "./refusal.js";

/** The largest message in either direction, as the server has it. */
const MESSAGE_BYTES_MAX = 8 * 1024 * 1024;
/** The receive window of a stream: room for large answers and for many at a time. */
const STREAM_WINDOW_BYTES = 2 * 1024 * 1024;
/** How connections are made. */
export interface ConnectionOptions extends PlaintextOptions {
  /** How long it may take to make a connection. Default 5000 ms. */
  readonly connectTimeoutMs?: number | undefined;
  /**
   * For `https:` endpoints: `ca`, the CA certificates instead of those of Node (PEM); `cert` and `key`, a client certificate;
   * and whatever else `node:tls` takes.
   */
  readonly tls?: tls.ConnectionOptions | undefined;
}

/** A transport to one server, and what closes it. */
export function nodeTransport(
  endpoint: string,
  options: ConnectionOptions,
  hasCredentials: boolean,
): { transport: Transport; close: () => void } {
  const place = placeOf(endpoint);
  refusePlaintext(new URL(place.base), hasCredentials, options);
  const timeoutMs = span("connectTimeoutMs", options.connectTimeoutMs, 5000);
  const sessions = new Http2SessionManager(
    place.base,
    {},
    {
      settings: { enablePush: false, initialWindowSize: STREAM_WINDOW_BYTES },
      createConnection: () => openSocket(place, options.tls ?? {}, timeoutMs),
    },
  );
  const transport = createGrpcTransport({
    baseUrl: place.base,
    sessionManager: new KeptAlive(sessions),
    acceptCompression: [],
    readMaxBytes: MESSAGE_BYTES_MAX,
  });
  return { transport, close: () => sessions.abort() };
}

/** Where a server listens. */
interface Place {
  /** The base of all URLs. */
  readonly base: string;
  readonly address: net.NetConnectOpts;
  /** The name that its certificate has to bear; undefined without TLS. */
  readonly tlsName: string | undefined;
}

/** Reads an endpoint: `https://host:port`, `http://host:port`, or `unix:/path`. */
function placeOf(endpoint: string): Place {
  const path = /^unix:(?:\/\/)?(\/.+)$/.exec(endpoint)?.[1];
  if (path !== undefined) {
    return { base: "http://localhost", address: { path }, tlsName: undefined };
  }
  const url = /^https?:\/\//i.test(endpoint) && URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  if (url === undefined || (url.pathname !== "/" && url.pathname !== "") || url.username !== "" || url.search !== "") {
    const forms = "https://host:port, http://host:port or unix:/path";
    throw usageError(`the endpoint must be one of ${forms}, and not "${endpoint}"`);
  }
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const isTls = url.protocol === "https:";
  return {
    base: url.origin,
    address: { host, port: Number(url.port) || (isTls ? 443 : 80) },
    tlsName: isTls ? host : undefined,
  };
}

function openSocket({ address, tlsName }: Place, options: tls.ConnectionOptions, timeoutMs: number): net.Socket {
  const named = tlsName === undefined || net.isIP(tlsName) !== 0 ? {} : { servername: tlsName };
  const socket =
    tlsName === undefined
      ? net.connect(address)
      : tls.connect({ ...named, ...options, ...address, ALPNProtocols: ["h2"] } as tls.ConnectionOptions);
  socket.setNoDelay(true);
  const timer = setTimeout(() => socket.destroy(new Error(CONNECT_TIMEOUT)), timeoutMs);
  const settled = () => clearTimeout(timer);
  socket.once(tlsName === undefined ? "connect" : "secureConnect", settled).once("close", settled);
  return socket;
}
