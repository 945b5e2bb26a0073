// What follows when a stream of a watch could not be opened, or has ended. Pure: what happened comes in, a decision goes out.
import { oldestRevision } from "../error.js";
import { type Refusal, reasonOf } from "../refusal.js";
import { backoffMs, classify, FAULTS_MAX, type Retry } from "../retry.js";

/** What is known of a watch whose stream failed once more. */
export interface Troubles {
  /** How many streams in a row told nothing, this one included. */
  failures: number;
  /** How many of them were somebody's fault. */
  faults: number;
  /** Whether the credentials of the last stream had just been renewed because others were refused. */
  refreshed: boolean;
  /** Whether the client can renew them. */
  readonly canRefresh: boolean;
  /** Whether gaps are to be bridged by a snapshot. */
  readonly bridges: boolean;
  /** Whether the token that was sent had been given to this very watch. */
  ownToken: boolean;
}

/** What follows. */
export type Next =
  | { readonly action: "again" | "refresh"; readonly waitMs: number }
  | { readonly action: "bridge"; readonly waitMs: number; readonly oldestRevision: bigint | undefined }
  | { readonly action: "end" };

/** How a watch or a worker comes back: more slowly than a single call, for there may be thousands of them. */
export function pace(retry: Retry): Retry {
  return { ...retry, backoffFirstMs: retry.backoffFirstMs * 4, backoffMaxMs: retry.backoffMaxMs * 2 };
}

/**
 * Decides.
 *
 * @param slow what {@link pace} gives
 * @param unit a random number in [0, 1)
 */
export function decideNext(refusal: Refusal, troubles: Troubles, slow: Retry, unit: number): Next {
  if (slow.attemptsMax <= 1) {
    return { action: "end" };
  }
  // What can be mended at once is; only who stands there again waits.
  const backoff = backoffMs(slow, troubles.failures, unit);
  const mended = troubles.failures > 1 ? backoff : 0;
  if (troubles.bridges && reasonOf(refusal) === "RESUME_COMPACTED") {
    return { action: "bridge", waitMs: mended, oldestRevision: oldestRevision(refusal) };
  }
  if (troubles.bridges && troubles.ownToken && isAboutToken(refusal)) {
    return { action: "bridge", waitMs: mended, oldestRevision: undefined };
  }
  const found = classify(refusal);
  if (found.kind === "passing") {
    return { action: "again", waitMs: (found.waitMs ?? 0) + backoff };
  }
  if (found.kind === "fault" && troubles.faults < FAULTS_MAX) {
    return { action: "again", waitMs: backoff };
  }
  if (found.kind === "credentials" && troubles.canRefresh && !troubles.refreshed) {
    return { action: "refresh", waitMs: mended };
  }
  return { action: "end" };
}

/** Whether the server does not take the token: the log is another one than when it was given. */
function isAboutToken(refusal: Refusal): boolean {
  return reasonOf(refusal) === "INVALID" && refusal.violations.some((violation) => violation.field === "resume_token");
}
