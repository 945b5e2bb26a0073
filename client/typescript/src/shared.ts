// What both entry points give, beside their clients.
export type { GrpcCode } from "./codes.js";
export { type ErrorKind, SemelError } from "./error.js";
export { requestIdOf } from "./ids.js";
export type { CallOptions, ClientOptions, Credentials } from "./options.js";
export type { PlaintextOptions } from "./plaintext.js";
export type { Violation } from "./refusal.js";
export type { RetryOptions } from "./retry.js";
export type { Unary } from "./services.js";
export type { RunInit, Runs, SubmitOptions, Submitted } from "./submit/many.js";
export type { Waited, WaitOptions } from "./wait.js";
export type { SnapshotCause, Told, WatchItem } from "./watch/item.js";
export type { WatchOptions } from "./watch/options.js";
export { Watch } from "./watch/watch.js";
