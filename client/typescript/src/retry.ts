// Whether a refused call is sent again, and how. Pure: what happened comes in, a decision goes out. Nothing here waits,
// sends, or knows a clock.
import { type Refusal, reasonOf } from "./refusal.js";

/** How often and how fast a call is sent again. Every retry keeps the request id. */
export interface RetryOptions {
  /**
   * How often a logical call is sent at most, the first time included; 1 switches retries off. Default 64: the overall
   * timeout is meant to be the bound.
   */
  readonly attemptsMax?: number | undefined;
  /** The longest wait before the second attempt; it doubles with each attempt. Default 50 ms. */
  readonly backoffFirstMs?: number | undefined;
  /** The longest wait before any attempt, unless the server asks for a longer one. Default 5000 ms. */
  readonly backoffMaxMs?: number | undefined;
}

/** The same, with everything said. */
export interface Retry {
  readonly attemptsMax: number;
  readonly backoffFirstMs: number;
  readonly backoffMaxMs: number;
}

export const RETRY_DEFAULT: Retry = { attemptsMax: 64, backoffFirstMs: 50, backoffMaxMs: 5000 };

/**
 * The wait before retry number `retry` (from 1 on): anything up to the bound that doubles with each retry ("full jitter"),
 * so that callers who failed together do not come back together.
 *
 * @param unit a random number in [0, 1)
 */
export function backoffMs(retry: Retry, number: number, unit: number): number {
  return Math.min(retry.backoffFirstMs * 2 ** Math.max(number - 1, 0), retry.backoffMaxMs) * unit;
}

/** What kind of failure a refusal is, for the caller that got it. */
export type Class =
  /** It may pass: send again under the same id, not before this wait if there is one. */
  | { readonly kind: "passing"; readonly waitMs: number | undefined }
  /** Somebody's fault, which may or may not pass: send again under the same id, but not for long. */
  | { readonly kind: "fault" }
  /** The credentials: fetch fresh ones, then send again under the same id. */
  | { readonly kind: "credentials" }
  /** The id was refused for its time: too old, or from the future. */
  | { readonly kind: "id" }
  /** Sending it again is of no use, or wrong. */
  | { readonly kind: "final" };

const FAULT: Class = { kind: "fault" };
const CREDENTIALS: Class = { kind: "credentials" };
const ID: Class = { kind: "id" };
const FINAL: Class = { kind: "final" };

/** Reads the table of refusals from the caller's side. */
export function classify(refusal: Refusal): Class {
  if (refusal.pushback === "never") {
    return FINAL;
  }
  const waits = [refusal.retryDelayMs, refusal.pushback].filter((wait) => wait !== undefined);
  const passing: Class = { kind: "passing", waitMs: waits.length > 0 ? Math.max(...waits) : undefined };
  switch (reasonOf(refusal)) {
    case "CREDENTIALS_MISSING":
    case "CREDENTIALS_MALFORMED":
    case "CREDENTIALS_INVALID":
    case "CREDENTIALS_EXPIRED":
    case "CREDENTIALS_REVOKED":
      // Of a proxy that copies our words without our header it is no verdict.
      return refusal.origin === "server" ? CREDENTIALS : FINAL;
    case "REQUEST_ID_IN_FUTURE":
    case "REQUEST_ID_EXPIRED":
      return ID;
    case "AUTH_UNAVAILABLE":
    case "DRAINING":
    case "NO_OWNER":
    case "OUTCOME_UNKNOWN":
    case "OVERLOADED":
      return passing;
  }
  if (refusal.origin === "not_sent" || refusal.origin === "no_answer") {
    return passing;
  }
  switch (refusal.code) {
    case "UNAVAILABLE":
    case "DEADLINE_EXCEEDED":
    case "CANCELLED":
      return passing;
    case "RESOURCE_EXHAUSTED":
      return passing.waitMs === undefined ? FINAL : passing;
    case "INTERNAL":
    case "UNKNOWN":
    case "OK":
      return FAULT;
    default:
      return FINAL;
  }
}

/** Whether the request may be sent again as it stands. */
export function isHopeful(found: Class): boolean {
  return found.kind === "passing" || found.kind === "fault";
}

/** What is known of a logical call when one more attempt was refused. */
export interface Progress {
  /** How often it was sent, under whatever id. */
  attempts: number;
  /** How many of these attempts ended with a fault. */
  faults: number;
  /** Whether this client can fetch fresh credentials by itself. */
  canRefresh: boolean;
  /** Whether it has done so for this call. */
  refreshed: boolean;
  /** Whether the caller gave the id, who then is the only one to replace it. */
  idGiven: boolean;
  /** Whether a fresh id was minted already in place of the first one. */
  mintedAnew: boolean;
  /** Whether some earlier attempt under the present id may have taken effect. */
  outcomeOpen: boolean;
}

/** How many attempts may end with a fault before the call is given up. */
export const FAULTS_MAX = 3;

/** What to do about a refused attempt. */
export type Decision =
  | { readonly action: "again"; readonly waitMs: number | undefined }
  | { readonly action: "refresh" | "mint_anew" | "give_up" };

/** Decides what to do about a refused attempt. `progress` counts that attempt already. */
export function decide(refusal: Refusal, progress: Progress, retry: Retry): Decision {
  if (progress.attempts >= retry.attemptsMax) {
    return { action: "give_up" };
  }
  const found = classify(refusal);
  if (found.kind === "passing") {
    return { action: "again", waitMs: found.waitMs };
  }
  if (found.kind === "fault" && progress.faults < FAULTS_MAX) {
    return { action: "again", waitMs: undefined };
  }
  if (found.kind === "credentials" && progress.canRefresh && !progress.refreshed) {
    return { action: "refresh" };
  }
  if (found.kind === "id" && mayMintAnew(refusal, progress)) {
    return { action: "mint_anew" };
  }
  return { action: "give_up" };
}

/**
 * A fresh id makes a new call, so it may be minted only where the present one surely took no effect: this client made it,
 * no earlier attempt's outcome is open, and the server said by its clock why it refused. An id that was sent before, got no
 * answer, and now is refused as expired may well have been executed.
 */
function mayMintAnew(refusal: Refusal, progress: Progress): boolean {
  const clockKnown = refusal.header?.serverTime !== undefined;
  return clockKnown && !progress.idGiven && !progress.mintedAnew && !progress.outcomeOpen;
}
