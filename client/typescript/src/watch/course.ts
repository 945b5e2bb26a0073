// The course of a watch over all its streams: where it is, what was told, and how the next stream is to be asked for. Pure:
// messages come in, items go out; nothing here waits or sends.
import type { SemelError } from "../error.js";
import type { WatchEvents, WatchOpened, WatchRequest, WatchResponse } from "../gen/semel/v1/watch_service_pb.js";
import { SnapshotScope } from "../gen/semel/v1/watch_service_pb.js";
import type { SnapshotCause, Told, WatchItem } from "./item.js";
import { Marks } from "./marks.js";
import { requestOf, type Start, startOf, type WatchOptions } from "./options.js";
import { type EventPlace, note, type Part, type Place, tokenBehind } from "./token.js";

/** See the file. */
export class Course {
  readonly #options: WatchOptions;
  /** How the next stream begins. */
  #start: Start;
  /** The last token of the server's. */
  #base: string | undefined;
  /** What was told since. */
  readonly #since = new Map<string, Place>();
  readonly #marks = new Marks();
  /** What the items of the last message share. */
  #part: Part;
  #inSnapshot = false;
  /** Why the next snapshot is told. */
  #cause: { readonly cause: SnapshotCause; readonly oldestRevision: bigint | undefined } = cause("asked");
  /** Whether the program takes the stream to be lost, or has heard of none yet. */
  #isLost = true;
  #hasOwnToken = false;

  constructor(options: WatchOptions) {
    this.#options = options;
    this.#start = startOf(options);
    if (this.#start.at === "token") {
      const { base, passed } = this.#start.point;
      this.#marks.recall(passed);
      this.#base = base;
      for (const [app, place] of passed) {
        this.#since.set(app, place);
      }
    }
    this.#part = this.#here();
  }

  /** Behind what was told so far. */
  get resumeToken(): string | undefined {
    return tokenBehind(this.#part, this.#part.events.length);
  }

  /** What the next stream is to be asked for. */
  request(appUnstated: string): WatchRequest {
    return requestOf(this.#options, appUnstated, this.#start);
  }

  /** Whether a new stream could go on from here without telling anything again. */
  get isAtToken(): boolean {
    return this.#base !== undefined && this.#since.size === 0 && !this.#inSnapshot;
  }

  /** Whether gaps are to be bridged. */
  get bridges(): boolean {
    return this.#options.bridgeGaps !== undefined;
  }

  /** Whether the server gave a token to this very watch, so that a refused one is no mistake of the program's. */
  get hasOwnToken(): boolean {
    return this.#hasOwnToken;
  }

  /** The next stream begins with a snapshot, because what comes next is gone. */
  bridge(oldestRevision: bigint | undefined): void {
    this.#start = { at: "snapshot", scope: this.#options.bridgeGaps ?? SnapshotScope.ALL };
    this.#cause = cause("gap", oldestRevision);
    this.#base = undefined;
    this.#since.clear();
  }

  /** The stream is lost; what to tell of it, unless that was told. */
  lose(error: SemelError): WatchItem[] {
    if (this.#isLost) {
      return [];
    }
    this.#isLost = true;
    return [this.behindAll({ kind: "lost", error })];
  }

  /** A stream has opened; what to tell of it. Undefined if this is not how a stream of ours opens. */
  open(opened: WatchOpened, token: string): WatchItem[] | undefined {
    const { at } = this.#start;
    if (at !== "snapshot" && token === "") {
      return undefined;
    }
    if (at === "token") {
      this.#marks.begin();
    } else {
      this.#marks.forget();
    }
    const told: Told[] = [];
    if (this.#isLost) {
      this.#isLost = false;
      told.push({ kind: "opened", revision: opened.revision, oldestRevision: opened.oldestRevision });
    }
    if (at === "snapshot") {
      this.#inSnapshot = true;
      told.push({ kind: "snapshot_begin", ...this.#cause });
      this.#cause = cause("broken_off");
    } else if (at !== "token") {
      this.#arrive(token);
    }
    this.#part = this.#here();
    return told.map((one) => this.behindAll(one));
  }

  /** What a message tells. Notices and farewells tell nothing here, but may bring a token. */
  take(message: WatchResponse): WatchItem[] {
    const before = this.#here();
    let token = message.resumeToken;
    let told: Told[] = [];
    let events: EventPlace[] = [];
    switch (message.kind.case) {
      case "snapshot": {
        const { runs, jobs, workers } = message.kind.value;
        told = [
          ...runs.map((run) => ({ kind: "run", run }) as const),
          ...jobs.map((job) => ({ kind: "job", job }) as const),
          ...workers.map((worker) => ({ kind: "worker", worker }) as const),
        ];
        break;
      }
      case "snapshotEnd":
        this.#inSnapshot = false;
        told = [{ kind: "snapshot_end", revision: message.kind.value.revision }];
        break;
      case "events":
        [told, events] = this.#takeEvents(message.kind.value);
        break;
      case "progress":
        told = [{ kind: "progress", revision: message.kind.value.revision }];
        break;
      case "authNotice":
      case "goingAway":
        break;
      default:
        // What a later server means by it, and by its token, is not known.
        token = "";
    }
    const after = token === "" || this.#inSnapshot ? undefined : token;
    if (after !== undefined) {
      this.#arrive(after);
    }
    this.#part = { ...before, events, after };
    return told.map((one, number) => item(one, this.#part, events.length === 0 ? 0 : number + 1));
  }

  /** An item that comes after all that was told. */
  behindAll(told: Told): WatchItem {
    return item(told, this.#part, this.#part.events.length);
  }

  #takeEvents({ events }: WatchEvents): [Told[], EventPlace[]] {
    const isNew = events.filter((event) => {
      const admitted = this.#marks.admit(event);
      if (admitted) {
        note(this.#since, event);
      }
      return admitted;
    });
    return [isNew.map((event) => ({ kind: "event", event })), isNew.map(({ app, revision }) => ({ app, revision }))];
  }

  /** All that was told lies before this token. */
  #arrive(token: string): void {
    this.#start = { at: "token", point: { base: token, passed: new Map() } };
    this.#base = token;
    this.#hasOwnToken = true;
    this.#marks.close(this.#since);
    this.#since.clear();
    this.#marks.trim();
  }

  #here(): Part {
    return { base: this.#base, before: new Map(this.#since), events: [], after: undefined };
  }
}

function cause(why: SnapshotCause, oldestRevision?: bigint) {
  return { cause: why, oldestRevision };
}

/** A token is only written out for who asks for it. */
function item(told: Told, part: Part, count: number): WatchItem {
  return {
    ...told,
    get resumeToken() {
      return tokenBehind(part, count);
    },
  };
}
