// Keeps a watch going over as many streams as it takes, and hands on what they tell. What a message means stands in `course`,
// what follows from a failure in `reconnect`.
//
// It reads no message before the program has taken what the last one told. A program that is slower than what happens holds
// its own stream by HTTP/2's flow control, and nobody else: the server goes on from its log when there is room.
import { create } from "@bufbuild/protobuf";
import type { Core } from "../call.js";
import { refusedError, SemelError } from "../error.js";
import { AuthStatus, RequestHeaderSchema } from "../gen/semel/v1/header_pb.js";
import { type WatchResponse, type WatchResponseSchema, WatchService } from "../gen/semel/v1/watch_service_pb.js";
import type { AuthNotice, GoingAway } from "../gen/semel/v1/worker_service_pb.js";
import { localRefusal, type Refusal, spoke } from "../refusal.js";
import { backoffMs, classify, type Retry } from "../retry.js";
import { type Scope, sleep } from "../scope.js";
import { Stream } from "../stream.js";
import { durationMs, SPAN_MS_MAX, steadyMs } from "../time.js";
import { Course } from "./course.js";
import type { WatchItem } from "./item.js";
import type { WatchOptions } from "./options.js";
import { decideNext, type Next, pace, type Troubles } from "./reconnect.js";

/** How long a stream may take to open. */
const OPEN_TIMEOUT_MS = 10_000;
/** A stream that says nothing for so many of its own intervals is dead, whatever the connection looks like. */
const SILENT_INTERVALS = 3;
/** The interval of a server that does not tell it. */
const INTERVAL_UNSTATED_MS = 30_000;
/** How long getting fresh credentials may take while the stream goes on. */
const RENEW_TIMEOUT_MS = 20_000;

type Down = Stream<typeof WatchResponseSchema>;

/** Why there is no stream: it was refused or lost, or there is no token to be had. */
type NoStream = { readonly refusal: Refusal; readonly generation: number } | { readonly unsigned: SemelError };

/** See the file. */
export class Reader {
  readonly #core: Core;
  readonly #course: Course;
  readonly #gone: Scope;
  readonly #pace: Retry;
  readonly #troubles: Troubles;
  /** Until when the first stream has to be open; never, once it was. */
  #patience: number;
  /** The credentials that were refused last. */
  #refused: number | undefined;
  #requestId = "";

  constructor(core: Core, options: WatchOptions, gone: Scope) {
    this.#core = core;
    this.#course = new Course(options);
    this.#gone = gone;
    this.#pace = pace(core.settings.retry);
    this.#patience = steadyMs() + core.settings.overallTimeoutMs;
    this.#troubles = {
      failures: 0,
      faults: 0,
      refreshed: false,
      canRefresh: core.auth.canRefresh,
      bridges: this.#course.bridges,
      ownToken: false,
    };
  }

  /** Where to go on behind what was told so far. */
  get resumeToken(): string | undefined {
    return this.#course.resumeToken;
  }

  /** All that is told, until something binds. */
  async *items(): AsyncGenerator<WatchItem, void, void> {
    while (!this.#gone.isOver) {
      const noStream = yield* this.#stream();
      if (noStream !== undefined && !this.#gone.isOver) {
        yield* this.#recover(noStream);
      }
    }
  }

  /** Opens one stream and reads it to its end. Nothing, if another one is to be opened right away. */
  async *#stream(): AsyncGenerator<WatchItem, NoStream | undefined, void> {
    const { auth, clock, clientInfo, settings } = this.#core;
    const gone = this.#gone;
    const patienceMs = Math.min(OPEN_TIMEOUT_MS, Math.max(this.#patience - steadyMs(), 1));
    const signing =
      this.#refused === undefined ? auth.sign(patienceMs, gone) : auth.refresh(this.#refused, patienceMs, gone);
    const signed = await signing.catch((error: unknown) => {
      if (error instanceof SemelError) {
        return error;
      }
      throw error;
    });
    if (signed instanceof SemelError) {
      return { unsigned: signed };
    }
    this.#requestId = this.#core.mint();
    const request = this.#course.request(settings.app);
    request.header = create(RequestHeaderSchema, { requestId: this.#requestId, client: clientInfo });
    const stream: Down = new Stream(this.#core.link, WatchService.method.watch, signed.token, only(request));
    try {
      const { generation } = signed;
      const first = await stream.read(patienceMs, "the stream did not open in time", gone);
      if ("refusal" in first) {
        return { refusal: first.refusal, generation };
      }
      const { header, resumeToken, kind } = first.message;
      const told = spoke(header) && kind.case === "opened" ? this.#course.open(kind.value, resumeToken) : undefined;
      if (told === undefined || kind.case !== "opened") {
        const message = "the stream does not begin as that of a Semel server; check the address";
        return { refusal: localRefusal("OK", message, "other"), generation };
      }
      clock.learn(header);
      this.#patience = Number.POSITIVE_INFINITY;
      this.#refused = undefined;
      this.#troubles.refreshed = false;
      yield* told;
      const intervalMs = durationMs(kind.value.progressInterval) || INTERVAL_UNSTATED_MS;
      return yield* this.#live(stream, intervalMs * SILENT_INTERVALS, generation);
    } finally {
      stream.close();
    }
  }

  async *#live(
    stream: Down,
    silenceMs: number,
    generation: number,
  ): AsyncGenerator<WatchItem, NoStream | undefined, void> {
    const gone = this.#gone;
    const renewal = new Renewal(this.#core, generation, gone);
    for (;;) {
      const reading = stream.read(silenceMs, "the stream has gone silent", gone);
      // Fresh credentials end the wait; the read goes on by itself.
      const read = await (renewal.fresh === undefined ? reading : Promise.race([reading, renewal.fresh]));
      if (gone.isOver || (read === "fresh" && this.#course.isAtToken)) {
        return undefined;
      }
      const came = read === "fresh" ? await reading : read;
      if ("refusal" in came) {
        return { refusal: came.refusal, generation };
      }
      const farewellMs = yield* this.#take(came.message, renewal);
      if (farewellMs !== undefined) {
        await sleep(farewellMs, gone);
        return undefined;
      }
    }
  }

  /** Tells what a message says. If the server is about to stop: how long to wait before going on elsewhere. */
  async *#take(message: WatchResponse, renewal: Renewal): AsyncGenerator<WatchItem, number | undefined, void> {
    switch (message.kind.case) {
      case "snapshot":
      case "snapshotEnd":
      case "events":
      case "progress":
        this.#troubles.failures = 0;
        this.#troubles.faults = 0;
    }
    yield* this.#course.take(message);
    if (message.kind.case === "authNotice") {
      yield* this.#notice(message.kind.value, renewal);
    }
    return message.kind.case === "goingAway" ? this.#farewell(message.kind.value) : undefined;
  }

  /** Credentials that can be renewed are, and nobody has to know; that they have ended, the status says that follows. */
  #notice({ auth }: AuthNotice, renewal: Renewal): WatchItem[] {
    if (auth?.status !== AuthStatus.EXPIRING || renewal.hurry()) {
      return [];
    }
    return [this.#course.behindAll({ kind: "expiring", expireTime: auth.expireTime })];
  }

  /** All watchers of a server that stops come back at once. */
  #farewell(going: GoingAway): number {
    this.#troubles.failures += 1;
    return (durationMs(going.reconnectAfter) ?? 0) + backoffMs(this.#pace, this.#troubles.failures, Math.random());
  }

  /** Prepares the next stream, or throws what ends the watch. */
  async *#recover(noStream: NoStream): AsyncGenerator<WatchItem, void, void> {
    this.#troubles.failures += 1;
    const [error, next] = this.#judge(noStream);
    if (next.action === "end") {
      throw error;
    }
    const waitMs = Math.min(next.waitMs, SPAN_MS_MAX);
    if (steadyMs() + waitMs >= this.#patience) {
      throw error;
    }
    if (next.action === "bridge") {
      this.#course.bridge(next.oldestRevision);
    } else if (next.action === "again") {
      yield* this.#course.lose(error);
    }
    await sleep(waitMs, this.#gone);
  }

  #judge(noStream: NoStream): [SemelError, Next] {
    const troubles = this.#troubles;
    if ("unsigned" in noStream) {
      const error = noStream.unsigned;
      const lasting = !error.mayRetry && error.kind !== "transport";
      const waitMs = (error.retryAfterMs ?? 0) + backoffMs(this.#pace, troubles.failures, Math.random());
      return [error, lasting || this.#pace.attemptsMax <= 1 ? { action: "end" } : { action: "again", waitMs }];
    }
    const { refusal, generation } = noStream;
    if (classify(refusal).kind === "fault") {
      troubles.faults += 1;
    }
    troubles.ownToken = this.#course.hasOwnToken;
    const next = decideNext(refusal, troubles, this.#pace, Math.random());
    if (next.action === "refresh") {
      this.#refused = generation;
      troubles.refreshed = true;
    }
    return [refusedError(refusal, this.#requestId, troubles.failures), next];
  }
}

/** Gets fresh credentials while a stream goes on: one whose only way is down cannot take them, so another one is opened. */
class Renewal {
  readonly #core: Core;
  readonly #generation: number;
  readonly #scope: Scope;
  /** Settles once there are some; undefined while there is no need. */
  fresh: Promise<"fresh"> | undefined;

  constructor(core: Core, generation: number, scope: Scope) {
    this.#core = core;
    this.#generation = generation;
    this.#scope = scope;
  }

  /** The server says that the credentials end soon. False if they cannot be renewed. */
  hurry(): boolean {
    const { auth } = this.#core;
    if (!auth.canRefresh) {
      return false;
    }
    this.fresh ??= auth.refresh(this.#generation, RENEW_TIMEOUT_MS, this.#scope).then(
      () => "fresh",
      // The end of the credentials, which the status tells then, leads to the next try.
      () => new Promise<never>(() => {}),
    );
    return true;
  }
}

async function* only<T>(one: T): AsyncGenerator<T> {
  yield one;
}
