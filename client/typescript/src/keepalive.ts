// Keeps connections alive, and notices those that are dead. Owns the pings; which connection a call takes is the session
// manager's. Its own pings are not used: they may go to a session that was just destroyed, and then nobody can catch what Node
// throws (connect-es issue 1795).
import type { ClientHttp2Stream, OutgoingHttpHeaders } from "node:http2";
import type { GrpcTransportOptions, Http2SessionManager } from "@connectrpc/connect-node";

/** What a transport takes its streams from. */
type SessionManager = NonNullable<GrpcTransportOptions["sessionManager"]>;

/**
 * A connection that is dead without a word is noticed after at most the sum of these two, also while it idles: a call that
 * comes afterwards should not have to find out by its own time-out.
 */
export const PING_INTERVAL_MS = 20_000;
export const PING_TIMEOUT_MS = 10_000;

/** What is pinged: as much of an HTTP/2 session as that takes. */
export interface Session {
  readonly destroyed: boolean;
  readonly closed: boolean;
  ping(callback: () => void): boolean;
  destroy(error: Error): void;
  once(event: "close", listener: () => void): unknown;
}

/** Pings a session until it ends, and ends it when it does not answer. */
export function keepAlive(session: Session): void {
  const timer = setInterval(() => {
    if (session.destroyed || session.closed) {
      clearInterval(timer);
      return;
    }
    const silence = setTimeout(() => session.destroy(new Error("the connection does not answer")), PING_TIMEOUT_MS);
    silence.unref();
    try {
      session.ping(() => clearTimeout(silence));
    } catch {
      // It has ended since, and says so by its events.
      clearTimeout(silence);
    }
  }, PING_INTERVAL_MS);
  timer.unref();
  session.once("close", () => clearInterval(timer));
}

/** A session manager whose sessions are kept alive. */
export class KeptAlive implements SessionManager {
  readonly #sessions: Http2SessionManager;
  readonly #known = new WeakSet<object>();

  constructor(sessions: Http2SessionManager) {
    this.#sessions = sessions;
  }

  get authority(): string {
    return this.#sessions.authority;
  }

  async request(
    method: string,
    path: string,
    headers: OutgoingHttpHeaders,
    options: Parameters<Http2SessionManager["request"]>[3],
  ): Promise<ClientHttp2Stream> {
    const stream = await this.#sessions.request(method, path, headers, options);
    const session = stream.session;
    if (session !== undefined && !this.#known.has(session)) {
      this.#known.add(session);
      keepAlive(session);
    }
    return stream;
  }

  notifyResponseByteRead(stream: ClientHttp2Stream): void {
    this.#sessions.notifyResponseByteRead(stream);
  }
}
