// The one way of a logical call: its header is filled once, then it is attempted until it has an answer, a refusal that
// binds, or no time left. Owns that loop; what a refusal means is decided in `retry`, what is particular about a method
// stands in `methods`.
import {
  clone,
  create,
  type DescMessage,
  type DescMethodUnary,
  isMessage,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import type { Transport } from "@connectrpc/connect";
import { Auth, type Signature } from "./auth.js";
import { ServerClock } from "./clock.js";
import { cancelledError, closedError, refusedError, SemelError, usageError } from "./error.js";
import { AuthService, type IssueTokenResponse } from "./gen/semel/v1/auth_service_pb.js";
import { ClientInfoSchema, type RequestHeader, RequestHeaderSchema } from "./gen/semel/v1/header_pb.js";
import { mint } from "./ids.js";
import { Link, type Outcome } from "./link.js";
import { type AnyMethod, type AnyRequest, holdsCredentials, serverWaitMs, takesApp } from "./methods.js";
import { type CallOptions, type ClientOptions, type Settings, settle, settleRetry, span } from "./options.js";
import { nothingHappened, type Refusal, reasonOf } from "./refusal.js";
import { backoffMs, classify, type Decision, decide, type Progress, type Retry } from "./retry.js";
import { Scope, sleep } from "./scope.js";
import { SPAN_MS_MAX, steadyMs } from "./time.js";
import { VERSION } from "./version.js";

/** What everything of a client shares. */
export class Core {
  readonly settings: Settings;
  readonly link: Link;
  readonly auth: Auth;
  readonly clock: ServerClock;
  readonly clientInfo;
  /** Ends when the client is closed. */
  readonly closing = new Scope();

  constructor(transport: Transport, options: ClientOptions) {
    this.settings = settle(options);
    this.clock = new ServerClock(this.settings.wallClock);
    this.link = new Link(transport, this.clock);
    this.clientInfo = create(ClientInfoSchema, {
      name: this.settings.clientName,
      version: VERSION,
      language: "typescript",
    });
    this.auth = new Auth(options.credentials, (app, secret) => this.#issueToken(app, secret));
  }

  /** Mints an id by the server's clock. */
  mint(): string {
    return mint(this.clock.nowMs());
  }

  /**
   * Makes a call, whatever it is.
   *
   * @param way another way for its attempts; without one, each is a call of its own
   */
  async call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    init: MessageInitShape<I>,
    options: CallOptions = {},
    way?: Way,
  ): Promise<MessageShape<O>> {
    const request = copied(method.input, init);
    const idGiven = this.#fill(method, request as AnyRequest, options);
    const call = new Logical(this, method, request, idGiven, options, way);
    try {
      return await call.make();
    } finally {
      call.leave();
    }
  }

  /** Fills in what the caller left out: the app, the client, the id. Says whether the id was the caller's. */
  #fill(method: AnyMethod, request: AnyRequest, options: CallOptions): boolean {
    this.auth.fill(method, request);
    if (takesApp(method) && request.app === "") {
      request.app = this.settings.app;
    }
    const header = headerOf(request);
    header.client ??= this.clientInfo;
    const given = options.requestId ?? "";
    if (header.requestId !== "" && given !== "" && header.requestId.toLowerCase() !== given.toLowerCase()) {
      throw usageError(`the request bears the id ${header.requestId}, the call was to be made under ${given}`);
    }
    header.requestId ||= given;
    const idGiven = header.requestId !== "";
    header.requestId ||= this.mint();
    return idGiven;
  }

  #issueToken(app: string, secret: string): Promise<IssueTokenResponse> {
    return this.call(AuthService.method.issueToken, { app, secret });
  }
}

/** The header of a request, which is put in where there is none. */
function headerOf(request: AnyRequest): RequestHeader {
  request.header ??= create(RequestHeaderSchema);
  return request.header;
}

/** A message of what the caller gave, which stays as it is. What cannot be sent is found out here, before any stream has it. */
function copied<I extends DescMessage>(desc: I, init: MessageInitShape<I>): MessageShape<I> {
  try {
    const message = (isMessage(init, desc) ? clone(desc, init) : create(desc, init)) as MessageShape<I>;
    toBinary(desc, message);
    return message;
  } catch (error) {
    throw usageError(`the request cannot be sent: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Another way for the attempts of some call than a call of its own each. */
export interface Way {
  /** Within what all calls that go this way are. */
  readonly scope: Scope;
  /** Makes an attempt. Gives nothing where this way is not to be had: then a call of its own is made. Never throws. */
  attempt(request: AnyRequest, signature: Signature, timeoutMs: number): Promise<Outcome<unknown> | undefined>;
  /** Waits for the place of a call of its own; what it gives is to be called when that has ended. */
  place(): Promise<() => void>;
}

/** One logical call under way: what was tried, and how much time is left. */
class Logical<I extends DescMessage, O extends DescMessage> {
  readonly #retry: Retry;
  readonly #waitMs: number;
  readonly #requestTimeoutMs: number;
  readonly #deadline: number;
  readonly #gone: Scope;
  readonly #progress: Progress;
  /** The last reason that the server gave: the end of the time may cut the last attempt short, and says little. */
  #lastReason = "";

  constructor(
    readonly core: Core,
    readonly method: DescMethodUnary<I, O>,
    readonly request: MessageShape<I>,
    idGiven: boolean,
    readonly options: CallOptions,
    readonly way: Way | undefined,
  ) {
    const { settings } = core;
    this.#retry = settleRetry(options.retry, settings.retry);
    this.#waitMs = serverWaitMs(method, this.#plain);
    this.#requestTimeoutMs =
      span("requestTimeoutMs", options.requestTimeoutMs, settings.requestTimeoutMs) + this.#waitMs;
    const overallMs = span("overallTimeoutMs", options.overallTimeoutMs, settings.overallTimeoutMs) + this.#waitMs;
    this.#deadline = steadyMs() + Math.min(overallMs, SPAN_MS_MAX);
    this.#gone = way === undefined ? new Scope(options.signal, core.closing) : new Scope(way.scope);
    this.#progress = {
      attempts: 0,
      faults: 0,
      canRefresh: core.auth.canRefresh && !this.#isUnsigned,
      refreshed: false,
      idGiven,
      mintedAnew: false,
      outcomeOpen: false,
    };
  }

  /** Attempts it until it has an answer, or a refusal that binds, or no time left. */
  async make(): Promise<MessageShape<O>> {
    let signature = await this.#sign(undefined);
    for (;;) {
      const outcome = await this.#attempt(signature);
      if ("answer" in outcome) {
        return outcome.answer;
      }
      this.#throwIfGone();
      const { refusal } = outcome;
      const decision = this.#decide(refusal);
      switch (decision.action) {
        case "give_up":
          throw this.#error(refusal);
        case "refresh":
          this.#progress.refreshed = true;
          signature = await this.#sign(signature.generation);
          break;
        case "mint_anew":
          this.#progress.mintedAnew = true;
          this.#header.requestId = this.core.mint();
          break;
        case "again":
          await this.#pause(decision.waitMs ?? 0, refusal);
          signature = await this.#sign(undefined);
      }
    }
  }

  leave(): void {
    this.#gone.leave();
  }

  get #plain(): AnyRequest {
    return this.request as AnyRequest;
  }

  get #header() {
    return headerOf(this.#plain);
  }

  get #isUnsigned(): boolean {
    return holdsCredentials(this.method, this.#plain);
  }

  get #leftMs(): number {
    return this.#deadline - steadyMs();
  }

  async #attempt(signature: Signature): Promise<Outcome<MessageShape<O>>> {
    this.#throwIfGone();
    const { requestId } = this.#header;
    this.#progress.attempts += 1;
    this.options.onAttempt?.(this.#progress.attempts, requestId);
    const until = steadyMs() + Math.min(this.#requestTimeoutMs, this.#leftMs);
    const { way } = this;
    if (way === undefined) {
      return this.#send(signature, until);
    }
    const outcome = await way.attempt(this.#plain, signature, until - steadyMs());
    if (outcome !== undefined) {
      return outcome as Outcome<MessageShape<O>>;
    }
    const leavePlace = await way.place();
    try {
      return await this.#send(signature, until);
    } finally {
      leavePlace();
    }
  }

  /** An attempt by a call of its own. */
  #send(signature: Signature, until: number): Promise<Outcome<MessageShape<O>>> {
    return this.core.link.unary(this.method, this.request, {
      requestId: this.#header.requestId,
      token: signature.token,
      timeoutMs: until - steadyMs(),
      scope: this.#gone,
      waits: this.#waitMs > 0,
    });
  }

  /** The signature for the next attempt; `refused` names the generation that is not to be used again. */
  async #sign(refused: number | undefined): Promise<Signature> {
    if (this.#isUnsigned) {
      return { token: undefined, generation: 0, renewAt: undefined };
    }
    const { auth } = this.core;
    try {
      return await (refused === undefined
        ? auth.sign(this.#leftMs, this.#gone)
        : auth.refresh(refused, this.#leftMs, this.#gone));
    } catch (error) {
      this.#throwIfGone();
      throw error instanceof SemelError ? error.ofCall(this.#header.requestId) : error;
    }
  }

  /** Decides what to do about a refused attempt, and remembers it. */
  #decide(refusal: Refusal): Decision {
    if (classify(refusal).kind === "fault") {
      this.#progress.faults += 1;
    }
    const decision = decide(refusal, this.#progress, this.#retry);
    this.#lastReason = reasonOf(refusal) || this.#lastReason;
    this.#progress.outcomeOpen ||= !nothingHappened(refusal);
    return decision;
  }

  /** Waits before the next attempt, or gives up if the time does not suffice. */
  async #pause(atLeastMs: number, refusal: Refusal): Promise<void> {
    const waitMs = atLeastMs + backoffMs(this.#retry, this.#progress.attempts, Math.random());
    if (waitMs >= this.#leftMs) {
      throw this.#error(refusal);
    }
    await sleep(waitMs, this.#gone);
    this.#throwIfGone();
  }

  #error(refusal: Refusal): SemelError {
    if (refusal.origin === "no_answer" && this.#lastReason !== "") {
      refusal.message += `; an attempt before was refused with ${this.#lastReason}`;
    }
    return refusedError(refusal, this.#header.requestId, this.#progress.attempts);
  }

  #throwIfGone(): void {
    const { requestId } = this.#header;
    if (this.core.closing.isOver) {
      throw closedError(requestId, this.#progress.attempts);
    }
    if (this.#gone.isOver) {
      throw cancelledError(this.#gone.reason, requestId, this.#progress.attempts);
    }
  }
}
