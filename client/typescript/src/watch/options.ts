// What a program says of the watch that it wants. Plain data; the server judges it.
import { create } from "@bufbuild/protobuf";
import { usageError } from "../error.js";
import type { EventKind } from "../gen/semel/v1/event_pb.js";
import { SnapshotScope, type WatchRequest, WatchRequestSchema } from "../gen/semel/v1/watch_service_pb.js";
import { span } from "../options.js";
import { toDuration } from "../time.js";
import { parseToken, type ResumePoint } from "./token.js";

/**
 * Which events, from where, and what happens if some of them are no longer kept. Of what is given, everything must hold; of
 * the values of one field, one. Of `startAt`, `resume` and `snapshot` one at most; without any, it tells what happens from
 * now on.
 */
export interface WatchOptions {
  /** The app to watch. Default: that of the client, and without one that of the credentials. */
  readonly app?: string | undefined;
  /**
   * Several apps instead: each a name, a prefix such as `pay/*`, or `*` for all. Of the apps that they mean, those are
   * watched that the credentials may view. At most 16.
   */
  readonly apps?: readonly string[] | undefined;
  /** Only these jobs and their runs. At most 64. */
  readonly jobs?: readonly string[] | undefined;
  /** Only these runs. At most 256. */
  readonly runIds?: readonly string[] | undefined;
  /** Only runs and jobs that bear all of these labels. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** Only events of these kinds. */
  readonly kinds?: readonly EventKind[] | undefined;
  /** Only ends of runs. */
  readonly terminalOnly?: boolean | undefined;
  /** From this revision on, inclusive. */
  readonly startAt?: bigint | undefined;
  /** After what the holder of this token has seen, by this same filter. */
  readonly resume?: string | undefined;
  /** Tells how things stand first, and goes on with the events after that. */
  readonly snapshot?: SnapshotScope | undefined;
  /**
   * If the events that come next are no longer kept, or the store was restored from a backup while this watched, goes on
   * from a fresh snapshot (`snapshot_begin` with the cause `gap`) instead of ending with an error. Take
   * `SnapshotScope.ALL` to learn the end of every run that ended meanwhile.
   */
  readonly bridgeGaps?: SnapshotScope | undefined;
  /**
   * How long the server may be silent, in milliseconds; a watch that hears nothing for three times as long makes a new
   * stream. Default 30,000, from 1000 to 240,000.
   */
  readonly progressIntervalMs?: number | undefined;
  /** Ends the watch, with an error of kind `cancelled`. To end it without one, leave the loop or call `close()`. */
  readonly signal?: AbortSignal | undefined;
}

/** From where a stream begins. */
export type Start =
  | { readonly at: "now" }
  | { readonly at: "revision"; readonly revision: bigint }
  | { readonly at: "token"; readonly point: ResumePoint }
  | { readonly at: "snapshot"; readonly scope: SnapshotScope };

/** From where the first stream begins. Throws a usage error where that is not clear. */
export function startOf({ startAt, resume, snapshot }: WatchOptions): Start {
  const starts: Start[] = [];
  if (startAt !== undefined) {
    starts.push({ at: "revision", revision: startAt });
  }
  if (resume !== undefined) {
    starts.push({ at: "token", point: parseToken(resume) });
  }
  if (snapshot !== undefined && snapshot !== SnapshotScope.UNSPECIFIED) {
    starts.push({ at: "snapshot", scope: snapshot });
  }
  if (starts.length > 1) {
    throw usageError("a watch begins at one place: give one of startAt, resume and snapshot");
  }
  return starts[0] ?? { at: "now" };
}

/** The request of a stream that begins there, without its header. */
export function requestOf(options: WatchOptions, appUnstated: string, start: Start): WatchRequest {
  const apps = [...(options.apps ?? [])];
  const request = create(WatchRequestSchema, {
    app: options.app || (apps.length > 0 ? "" : appUnstated),
    apps,
    jobs: [...(options.jobs ?? [])],
    runIds: [...(options.runIds ?? [])],
    labels: { ...options.labels },
    kinds: [...(options.kinds ?? [])],
    terminalOnly: options.terminalOnly ?? false,
  });
  if (options.progressIntervalMs !== undefined) {
    request.progressInterval = toDuration(span("progressIntervalMs", options.progressIntervalMs, 0));
  }
  switch (start.at) {
    case "now":
      break;
    case "revision":
      request.start = { case: "fromRevision", value: start.revision };
      break;
    case "token":
      request.start = { case: "resumeToken", value: start.point.base };
      break;
    case "snapshot":
      request.snapshot = start.scope;
  }
  return request;
}
