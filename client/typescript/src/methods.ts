// What is particular about some methods: which request takes the client's app, which asks the server to wait, and which
// holds credentials itself. Everything else is the same for all, and read off the descriptors.
import type { DescMessage, DescMethodUnary, Message } from "@bufbuild/protobuf";
import type { Duration } from "@bufbuild/protobuf/wkt";
import type { RequestHeader } from "./gen/semel/v1/header_pb.js";
import { durationMs } from "./time.js";

/** A unary method of the protocol. */
export type AnyMethod = DescMethodUnary<DescMessage, DescMessage>;

/** What requests have in common. */
export type AnyRequest = Message & {
  header?: RequestHeader;
  app?: string;
  secret?: string;
  timeout?: Duration;
  wait?: Duration;
};

/** The longest for which a server waits, and how long it waits for a run if the request does not say. */
export const SERVER_WAIT_MS_MAX = 60_000;

/** These have to name the app that they are about. */
const NAMES_APP_ITSELF = new Set(["CreateApp", "UpdateApp", "DeleteApp"]);

/** Whether an empty app of the request means that of the caller. */
export function takesApp(method: AnyMethod): boolean {
  return method.input.field.app !== undefined && !NAMES_APP_ITSELF.has(method.name);
}

/** How long the request asks the server to wait before it answers, in milliseconds. */
export function serverWaitMs(method: AnyMethod, request: AnyRequest): number {
  switch (method.name) {
    case "WaitRun":
      return Math.min(durationMs(request.timeout) ?? SERVER_WAIT_MS_MAX, SERVER_WAIT_MS_MAX);
    case "GetRunLogs":
      return Math.min(durationMs(request.wait) ?? 0, SERVER_WAIT_MS_MAX);
    default:
      return 0;
  }
}

/** Whether the request itself holds the credentials, so that it is sent without any others. */
export function holdsCredentials(method: AnyMethod, request: AnyRequest): boolean {
  return method.name === "IssueToken" && (request.secret ?? "") !== "";
}
