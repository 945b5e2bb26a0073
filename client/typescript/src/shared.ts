// What both entry points give.
export { SemelError, type ErrorKind } from "./error.js";
export type { GrpcCode } from "./codes.js";
export type { CallOptions, ClientOptions, Credentials } from "./options.js";
export type { RetryOptions } from "./retry.js";
export type { Violation } from "./refusal.js";
