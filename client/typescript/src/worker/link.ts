// The stream of a worker to a server: making it, reading it, ending it. What the messages mean is decided elsewhere.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { Signature } from "../auth.js";
import type { Core } from "../call.js";
import { refusedError } from "../error.js";
import {
  type HelloSchema,
  type Opened,
  WorkerService,
  type WorkRequest,
  WorkRequestSchema,
  type WorkResponse,
  type WorkResponseSchema,
} from "../gen/semel/v1/worker_service_pb.js";
import { localRefusal, type Refusal, spoke } from "../refusal.js";
import { classify } from "../retry.js";
import type { Scope } from "../scope.js";
import { Stream } from "../stream.js";
import { steadyMs } from "../time.js";
import type { Outbox } from "./outbox.js";

/** How long opening a stream may take, a fresh token included. */
const OPEN_TIMEOUT_MS = 10_000;

/** What a worker says of itself. */
export type HelloInit = MessageInitShape<typeof HelloSchema>;

/** An open stream. */
export class Up {
  readonly #stream: Stream<typeof WorkResponseSchema>;
  readonly #outbox: Outbox;
  #isEnding = false;
  /** When `Hello` was sent: the leases are good from then on. */
  helloAt = steadyMs();
  /** By which token it was opened, or reauthenticated. */
  generation: number;
  /**
   * Until when the token that was sent on this stream is fresh: a server that calls it expiring before is asked to wait, or
   * tokens that live shorter than its warning time would be renewed in a circle.
   */
  freshUntil = 0;

  constructor(core: Core, signature: Signature, hello: HelloInit, outbox: Outbox) {
    this.#outbox = outbox;
    this.generation = signature.generation;
    const first = create(WorkRequestSchema, {
      header: { client: core.clientInfo },
      kind: { case: "hello", value: hello },
    });
    this.#stream = new Stream(core.link, WorkerService.method.work, signature.token, this.#requests(first));
  }

  /** The first word of the server, or why there is none. */
  async opened(scope: Scope): Promise<{ readonly opened: Opened } | { readonly refusal: Refusal }> {
    const first = await this.#stream.read(OPEN_TIMEOUT_MS, "the stream did not open in time", scope);
    if ("refusal" in first) {
      return first;
    }
    const { header, kind } = first.message;
    if (kind.case !== "opened" || !spoke(header)) {
      const message = "the stream does not begin as that of a Semel server; check the address";
      return { refusal: localRefusal("UNAVAILABLE", message, "other") };
    }
    return { opened: kind.value };
  }

  /** Hands on each message; gives why the stream has ended. */
  async read(onMessage: (message: WorkResponse) => void): Promise<Refusal> {
    for (;;) {
      const read = await this.#stream.next();
      if ("refusal" in read) {
        return read.refusal;
      }
      onMessage(read.message);
    }
  }

  /** Says that nothing more will be sent. The server ends the stream then. */
  end(): void {
    this.#isEnding = true;
    this.#outbox.wake();
  }

  /** Lets go of it. */
  close(): void {
    this.end();
    this.#stream.close();
  }

  async *#requests(hello: WorkRequest): AsyncGenerator<WorkRequest, void, void> {
    this.helloAt = steadyMs();
    yield hello;
    for (;;) {
      const message = await this.#outbox.next(() => this.#isEnding);
      if (message === undefined) {
        return;
      }
      yield message;
    }
  }
}

/** Opens a stream: signs, says hello, waits for the answer. Credentials that are refused are renewed once. */
export async function dial(
  core: Core,
  hello: HelloInit,
  outbox: Outbox,
  scope: Scope,
): Promise<{ readonly up: Up; readonly opened: Opened }> {
  let signature = await core.auth.sign(OPEN_TIMEOUT_MS, scope);
  for (let isFirst = true; ; isFirst = false) {
    const up = new Up(core, signature, hello, outbox);
    const came = await up.opened(scope);
    if ("opened" in came) {
      return { up, opened: came.opened };
    }
    up.close();
    if (!isFirst || classify(came.refusal).kind !== "credentials" || !core.auth.canRefresh) {
      throw refusedError(came.refusal, "", 1);
    }
    signature = await core.auth.refresh(signature.generation, OPEN_TIMEOUT_MS, scope);
  }
}
