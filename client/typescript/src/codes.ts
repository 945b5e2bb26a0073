// The gRPC status codes by their names, as servers, logs and the documentation write them.

const NAMES = [
  "OK",
  "CANCELLED",
  "UNKNOWN",
  "INVALID_ARGUMENT",
  "DEADLINE_EXCEEDED",
  "NOT_FOUND",
  "ALREADY_EXISTS",
  "PERMISSION_DENIED",
  "RESOURCE_EXHAUSTED",
  "FAILED_PRECONDITION",
  "ABORTED",
  "OUT_OF_RANGE",
  "UNIMPLEMENTED",
  "INTERNAL",
  "UNAVAILABLE",
  "DATA_LOSS",
  "UNAUTHENTICATED",
] as const;

/** A gRPC status code, by name. */
export type GrpcCode = (typeof NAMES)[number];

/** The name of a code; one that does not exist is `UNKNOWN`, as gRPC has it. */
export function codeName(number: number): GrpcCode {
  return NAMES[number] ?? "UNKNOWN";
}
