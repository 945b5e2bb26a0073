// What a watch tells a program.
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import type { SemelError } from "../error.js";
import type { Event } from "../gen/semel/v1/event_pb.js";
import type { Job } from "../gen/semel/v1/job_pb.js";
import type { Run } from "../gen/semel/v1/run_pb.js";
import type { Worker } from "../gen/semel/v1/worker_pb.js";

/**
 * Why a snapshot is told: it was asked for; the one before broke off; or events that come next are no longer kept, see
 * {@link WatchOptions.bridgeGaps}.
 */
export type SnapshotCause = "asked" | "broken_off" | "gap";

/** What a watch tells, by its `kind`. */
export type Told =
  /** The stream is open: for the first time, or again after `lost`. The events begin after this revision. */
  | { readonly kind: "opened"; readonly revision: bigint; readonly oldestRevision: bigint }
  /**
   * A snapshot begins: rows follow, then `snapshot_end`. Whatever an earlier snapshot told is void. What changes while the
   * rows are read is not among them: its events tell of it.
   */
  | { readonly kind: "snapshot_begin"; readonly cause: SnapshotCause; readonly oldestRevision: bigint | undefined }
  /** A run, as the snapshot has it. */
  | { readonly kind: "run"; readonly run: Run }
  /** A job, as the snapshot has it. */
  | { readonly kind: "job"; readonly job: Job }
  /** A worker, as the snapshot has it. */
  | { readonly kind: "worker"; readonly worker: Worker }
  /** The snapshot is whole; the events that follow are those after this revision. */
  | { readonly kind: "snapshot_end"; readonly revision: bigint }
  /** Something happened. Its kind and its subject may be of a later version than this client. */
  | { readonly kind: "event"; readonly event: Event }
  /** Nothing else happened up to this revision. */
  | { readonly kind: "progress"; readonly revision: bigint }
  /**
   * The credentials end soon, and this client cannot renew them: the watch will end with `CREDENTIALS_EXPIRED`. Where it
   * can, they are renewed without a word.
   */
  | { readonly kind: "expiring"; readonly expireTime: Timestamp | undefined }
  /** The stream was lost, for this reason. It is made again by itself and goes on without a gap; nothing has to be done. */
  | { readonly kind: "lost"; readonly error: SemelError };

/** One thing that a watch tells, and where to go on behind it. */
export type WatchItem = Told & {
  /**
   * Where to go on behind this item, also after a restart of the program: to be stored, and given as
   * {@link WatchOptions.resume}. Undefined before the end of a snapshot: a snapshot is begun again.
   */
  readonly resumeToken: string | undefined;
};
