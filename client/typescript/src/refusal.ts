// What a refused attempt says: reads the failure of a call, or a status within a stream, into one value. Whether to send
// the call again is decided in `retry`.
import type { Message } from "@bufbuild/protobuf";
import { fromBinary } from "@bufbuild/protobuf";
import type { GenMessage } from "@bufbuild/protobuf/codegenv2";
import { Code as ConnectCode, type ConnectError } from "@connectrpc/connect";
import { codeName, type GrpcCode } from "./codes.js";
import {
  BadRequestSchema,
  type ErrorInfo,
  ErrorInfoSchema,
  RetryInfoSchema,
} from "./gen/google/rpc/error_details_pb.js";
import type { Status } from "./gen/google/rpc/status_pb.js";
import { AuthStatus, type ResponseHeader, ResponseHeaderSchema } from "./gen/semel/v1/header_pb.js";
import { durationMs } from "./time.js";

/** Whose reasons are ours. */
const ERROR_DOMAIN = "semel.v1";
const PUSHBACK = "grpc-retry-pushback-ms";

/**
 * Who spoke: a Semel server; somebody else on the way; nobody, for the connection could not be made and nothing was sent;
 * or nobody, for the connection was lost or no answer came in time.
 */
export type Origin = "server" | "other" | "not_sent" | "no_answer";

/** What is wrong with one field of a request. */
export interface Violation {
  /** The path of the field, for instance `spec.processor`. */
  readonly field: string;
  /** What is wrong with it. */
  readonly description: string;
}

/** A refusal, decoded. */
export interface Refusal {
  code: GrpcCode;
  message: string;
  origin: Origin;
  info?: ErrorInfo;
  /** Only kept when it says what became of the credentials, for otherwise no Semel server wrote it. */
  header?: ResponseHeader;
  /** After how long the server wishes to be asked again. */
  retryDelayMs?: number;
  violations: readonly Violation[];
  /** gRPC's own push-back, if it was there: a wait, or not to send again. */
  pushback?: number | "never";
  /** What the transport threw. */
  cause?: unknown;
}

/** A refusal that this side makes itself. */
export function localRefusal(code: GrpcCode, message: string, origin: Origin, cause?: unknown): Refusal {
  return { code, message, origin, violations: [], ...(cause === undefined ? {} : { cause }) };
}

/** What an attempt says that got no answer in time. */
export function timedOut(message = "no answer came within the request timeout"): Refusal {
  return localRefusal("DEADLINE_EXCEEDED", message, "no_answer");
}

/** Reads the refusal of an item in a stream, for instance `Ack.refused`. */
export function fromStatus(status: Status): Refusal {
  const refusal = localRefusal(codeName(status.code), status.message, "other");
  for (const detail of status.details) {
    takeDetail(refusal, detail.typeUrl.slice(detail.typeUrl.lastIndexOf("/") + 1), detail.value);
  }
  return refusal;
}

/** Reads the failure of a call. */
export function fromConnectError(error: ConnectError): Refusal {
  const refusal = localRefusal(codeName(error.code), error.rawMessage, "other", error);
  for (const detail of error.details) {
    if ("type" in detail) {
      takeDetail(refusal, detail.type, detail.value);
    }
  }
  const pushback = error.metadata.get(PUSHBACK);
  if (pushback !== null) {
    refusal.pushback = /^\d{1,15}$/.test(pushback) ? Number(pushback) : "never";
  }
  if (refusal.origin === "other" && !cameOverTheWire(error)) {
    judgeLocal(refusal, error);
  }
  return refusal;
}

function cameOverTheWire(error: ConnectError): boolean {
  return ["grpc-status", "grpc-status-details-bin", "content-type"].some((name) => error.metadata.has(name));
}

/** Codes of Node's network errors that tell that nothing was sent. */
const NOT_SENT = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOENT",
  "EADDRNOTAVAIL",
]);

/** What the transport says by itself, without a word from anybody. */
function judgeLocal(refusal: Refusal, error: ConnectError): void {
  if (error.code === ConnectCode.DeadlineExceeded) {
    Object.assign(refusal, { message: timedOut().message, origin: "no_answer" });
  } else if (error.cause !== undefined) {
    const codes = nodeCodes(error.cause);
    const unsent = codes.some((code) => NOT_SENT.has(code)) || error.rawMessage === CONNECT_TIMEOUT;
    Object.assign(refusal, { code: "UNAVAILABLE", origin: unsent ? "not_sent" : "no_answer" });
  } else if (error.rawMessage.startsWith("http/2 stream closed")) {
    refusal.origin = "no_answer";
  } else if (!error.rawMessage.startsWith("HTTP ")) {
    // The bytes are no gRPC: an answer that nobody who speaks it has given.
    refusal.code = "INTERNAL";
  }
}

/** The message of a connection that could not be made in time; see the transport of Node. */
export const CONNECT_TIMEOUT = "the connection could not be made in time";

function nodeCodes(cause: unknown): string[] {
  const codes: string[] = [];
  for (let depth = 0; depth < 8 && cause instanceof Error; depth++) {
    if ("code" in cause && typeof cause.code === "string") {
      codes.push(cause.code);
    }
    if (cause instanceof AggregateError) {
      codes.push(...cause.errors.flatMap(nodeCodes));
    }
    cause = cause.cause;
  }
  return codes;
}

/** A detail that cannot be decoded counts as absent: it must not hide the status that it came with. */
function takeDetail(refusal: Refusal, type: string, value: Uint8Array): void {
  switch (type) {
    case ErrorInfoSchema.typeName: {
      const info = decoded(ErrorInfoSchema, value);
      if (info !== undefined) {
        refusal.info ??= info;
      }
      break;
    }
    case ResponseHeaderSchema.typeName: {
      const header = decoded(ResponseHeaderSchema, value);
      if (header !== undefined && spoke(header)) {
        refusal.origin = "server";
        refusal.header ??= header;
      }
      break;
    }
    case RetryInfoSchema.typeName: {
      const delay = durationMs(decoded(RetryInfoSchema, value)?.retryDelay);
      if (delay !== undefined) {
        refusal.retryDelayMs = delay;
      }
      break;
    }
    case BadRequestSchema.typeName:
      refusal.violations = (decoded(BadRequestSchema, value)?.fieldViolations ?? []).map(({ field, description }) => ({
        field,
        description,
      }));
      break;
  }
}

function decoded<T extends Message>(schema: GenMessage<T>, value: Uint8Array): T | undefined {
  try {
    return fromBinary(schema, value);
  } catch {
    return undefined;
  }
}

/** The reason, if one of ours was given. */
export function reasonOf(refusal: Refusal): string {
  return refusal.info?.domain === ERROR_DOMAIN ? refusal.info.reason : "";
}

/** What a header says of the credentials; unspecified for an absent one. */
export function authStatusOf(header: ResponseHeader | undefined): AuthStatus {
  return header?.auth?.status ?? AuthStatus.UNSPECIFIED;
}

/** Whether a header shows that a Semel server spoke. A verdict that this client does not know yet counts. */
export function spoke(header: ResponseHeader | undefined): header is ResponseHeader {
  return authStatusOf(header) !== AuthStatus.UNSPECIFIED;
}

/**
 * Whether it is certain that the call took no effect: a Semel server said no, or nothing was sent. A time-out, a lost
 * connection and a proxy's word leave it open.
 */
export function nothingHappened(refusal: Refusal): boolean {
  switch (refusal.origin) {
    case "not_sent":
      return true;
    case "server":
      return !["DEADLINE_EXCEEDED", "CANCELLED", "INTERNAL", "UNKNOWN"].includes(refusal.code);
    default:
      return false;
  }
}
