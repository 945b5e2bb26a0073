// What a user may set on a client or on a call, its defaults and its bounds. Plain data; nothing here connects or decides.
import { usageError } from "./error.js";
import { RETRY_DEFAULT, type Retry, type RetryOptions } from "./retry.js";
import { SPAN_MS_MAX } from "./time.js";

/**
 * How a client proves who it is: by a token, sent as it is with every call; or by the secret of an app, for which the client
 * gets short-lived tokens by itself and renews them. The secret travels in `IssueToken` alone.
 */
export type Credentials = { readonly token: string } | { readonly app: string; readonly secret: string };

/** How a client is set up. */
export interface ClientOptions {
  /**
   * The app that is put into requests which name none. Default: none, and the server takes the app of the credentials.
   * Requests that create, update or delete an app always have to name it.
   */
  readonly app?: string | undefined;
  /** How the client proves who it is. Default: not at all. */
  readonly credentials?: Credentials | undefined;
  /**
   * How long one attempt of a call may take; the server learns of it. Calls that ask the server to wait (`waitRun`,
   * `getRunLogs`) get that wait on top. Default 10,000 ms, at most a day.
   */
  readonly requestTimeoutMs?: number | undefined;
  /** How long one call may take over all its attempts and the waits between them. Default 60,000 ms, at most a day. */
  readonly overallTimeoutMs?: number | undefined;
  /** How calls are sent again. */
  readonly retry?: RetryOptions | undefined;
  /** The name by which the program tells the server who it is, for logs and support. Default `semel-client`. */
  readonly clientName?: string | undefined;
  /** This machine's clock, in milliseconds since 1970. Default `Date.now`; for tests. */
  readonly wallClock?: (() => number) | undefined;
}

/** What may be set for a single call; the rest comes from the client. */
export interface CallOptions {
  /** The id to use, instead of a fresh one. It is never replaced. */
  readonly requestId?: string | undefined;
  /** See {@link ClientOptions.requestTimeoutMs}. */
  readonly requestTimeoutMs?: number | undefined;
  /** See {@link ClientOptions.overallTimeoutMs}. */
  readonly overallTimeoutMs?: number | undefined;
  /** How this call is sent again. */
  readonly retry?: RetryOptions | undefined;
  /**
   * Gives the call up: it ends with an error of kind `cancelled`. Nothing is taken back on the server; what became of the
   * call is found under its id by `requests.getRequest`.
   */
  readonly signal?: AbortSignal | undefined;
  /** Told before each attempt: its number, from 1 on, and the id under which it is sent. */
  readonly onAttempt?: ((number: number, requestId: string) => void) | undefined;
}

/** The options of a client, with everything said. */
export interface Settings {
  readonly app: string;
  readonly requestTimeoutMs: number;
  readonly overallTimeoutMs: number;
  readonly retry: Retry;
  readonly clientName: string;
  readonly wallClock: () => number;
}

/** Puts in the defaults. Throws a usage error where a value cannot be. */
export function settle(options: ClientOptions): Settings {
  return {
    app: options.app ?? "",
    requestTimeoutMs: span("requestTimeoutMs", options.requestTimeoutMs, 10_000),
    overallTimeoutMs: span("overallTimeoutMs", options.overallTimeoutMs, 60_000),
    retry: settleRetry(options.retry, RETRY_DEFAULT),
    clientName: options.clientName ?? "semel-client",
    wallClock: options.wallClock ?? Date.now,
  };
}

/** Puts in what is left out. Throws a usage error where a value cannot be. */
export function settleRetry(options: RetryOptions | undefined, base: Retry): Retry {
  const attemptsMax = options?.attemptsMax ?? base.attemptsMax;
  if (!Number.isInteger(attemptsMax) || attemptsMax < 1) {
    throw usageError(`attemptsMax must be a whole number from 1 on, and not ${attemptsMax}`);
  }
  return {
    attemptsMax,
    backoffFirstMs: span("backoffFirstMs", options?.backoffFirstMs, base.backoffFirstMs),
    backoffMaxMs: span("backoffMaxMs", options?.backoffMaxMs, base.backoffMaxMs),
  };
}

/** A span of milliseconds, or its default; more than a day is a day. */
export function span(name: string, value: number | undefined, unstated: number): number {
  const ms = value ?? unstated;
  if (Number.isNaN(ms) || ms < 0) {
    throw usageError(`${name} must be a number of milliseconds from 0 on, and not ${ms}`);
  }
  return Math.min(ms, SPAN_MS_MAX);
}
