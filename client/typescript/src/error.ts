// The one error of this package. Owns what a caller can learn from a failed call and decides nothing.
import type { GrpcCode } from "./codes.js";
import type { AuthStatus, ResponseHeader } from "./gen/semel/v1/header_pb.js";
import { authStatusOf, localRefusal, type Refusal, reasonOf, type Violation } from "./refusal.js";
import { classify, isHopeful } from "./retry.js";

/**
 * Who is behind a {@link SemelError}.
 *
 * - `refused`: a Semel server refused the call: see the reason.
 * - `not_semel`: somebody answered, but no Semel server: a proxy, a wrong address, a lost header.
 * - `transport`: nobody answered: no connection, a lost one, or a time-out.
 * - `usage`: the call was not sent, for the way it was made is wrong.
 * - `cancelled`: the caller gave up.
 *
 * After `not_semel`, `transport` and `cancelled` it is not known what became of the call; sending it again under the same
 * id is safe, and `RequestService.GetRequest` tells.
 */
export type ErrorKind = "refused" | "not_semel" | "transport" | "usage" | "cancelled";

/** Why a call failed, after everything that may be tried was tried. */
export class SemelError extends Error {
  override readonly name = "SemelError";
  /** Who is behind it. */
  readonly kind: ErrorKind;
  /** The gRPC status code; `OK` where somebody said so who is no Semel server. */
  readonly code: GrpcCode;
  /** The reason that the server gave, for instance `REQUEST_ID_REUSED`; empty if it gave none. */
  readonly reason: string;
  /** What became of the credentials. `UNSPECIFIED` means that no Semel server spoke: it is no verdict. */
  readonly authStatus: AuthStatus;
  /**
   * Whether the same request may be sent again as it stands, under the same id, with some hope. False where something has
   * to be mended first: the credentials, the id, a field.
   */
  readonly mayRetry: boolean;
  /** The id under which the call was made; empty if it was never made. */
  readonly requestId: string;
  /** How often the call was sent. */
  readonly attempts: number;
  /** What is wrong with the request, all at once. */
  readonly violations: readonly Violation[];
  /** What the reason adds, for instance the first field that differs. */
  readonly metadata: Readonly<Record<string, string>>;
  /** After how many milliseconds the server wishes to be asked again. */
  readonly retryAfterMs: number | undefined;
  /** For `RESUME_COMPACTED`: the oldest revision that the server keeps, from which a watch can begin. */
  readonly oldestRevision: bigint | undefined;
  /** The header of the refusal; undefined if no Semel server spoke. */
  readonly header: ResponseHeader | undefined;

  readonly #refusal: Refusal;

  constructor(kind: ErrorKind, refusal: Refusal, requestId: string, attempts: number) {
    super(
      message(kind, refusal, requestId, attempts),
      refusal.cause === undefined ? undefined : { cause: refusal.cause },
    );
    this.kind = kind;
    this.code = refusal.code;
    this.reason = reasonOf(refusal);
    this.authStatus = authStatusOf(refusal.header);
    this.mayRetry = kind !== "usage" && isHopeful(classify(refusal));
    this.requestId = requestId;
    this.attempts = attempts;
    this.violations = refusal.violations;
    this.metadata = refusal.info?.metadata ?? {};
    this.retryAfterMs = refusal.retryDelayMs;
    this.oldestRevision = oldestRevision(refusal);
    this.header = refusal.header;
    this.#refusal = refusal;
  }

  /** The same error, as that of another logical call which could not go on without the failed one. */
  ofCall(requestId: string): SemelError {
    return new SemelError(this.kind, this.#refusal, requestId, this.attempts);
  }
}

/** The error of a call that was refused, by whomever. */
export function refusedError(refusal: Refusal, requestId: string, attempts: number): SemelError {
  const kinds = { server: "refused", other: "not_semel", not_sent: "transport", no_answer: "transport" } as const;
  return new SemelError(kinds[refusal.origin], refusal, requestId, attempts);
}

/** The error of a call that cannot be made in this way. */
export function usageError(text: string): SemelError {
  return new SemelError("usage", localRefusal("INVALID_ARGUMENT", text, "not_sent"), "", 0);
}

/** The error of a call that its caller gave up. */
export function cancelledError(cause: unknown, requestId: string, attempts: number): SemelError {
  const text = "the caller gave up; what became of the call is found under its id";
  return new SemelError("cancelled", localRefusal("CANCELLED", text, "no_answer", cause), requestId, attempts);
}

/** The error of a client that was closed. */
export function closedError(requestId: string, attempts: number): SemelError {
  return cancelledError(new Error("the client was closed"), requestId, attempts);
}

/** What a refusal says of the oldest revision that is kept. */
export function oldestRevision(refusal: Refusal): bigint | undefined {
  const text = refusal.info?.metadata.oldest_revision;
  return text !== undefined && /^\d{1,19}$/.test(text) ? BigInt(text) : undefined;
}

function message(kind: ErrorKind, refusal: Refusal, requestId: string, attempts: number): string {
  if (kind === "usage") {
    return refusal.message;
  }
  const reason = reasonOf(refusal);
  const said = reason !== "" ? `${reason}: ` : kind === "not_semel" ? "no Semel server answered: " : "";
  const times = attempts === 1 ? "once" : `${attempts} times`;
  return `${said}${refusal.message} (${refusal.code}, request ${requestId}, sent ${times})`;
}
