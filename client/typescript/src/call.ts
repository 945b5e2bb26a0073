// The one way of a logical call: its header is filled once, then it is attempted until it has an answer, a refusal that
// binds, or no time left. Owns that loop; what a refusal means is decided in `retry`, what is particular about a method
// stands in `methods`.
import { clone, create, type DescMessage, type DescMethodUnary, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import { isMessage } from "@bufbuild/protobuf";
import type { Transport } from "@connectrpc/connect";
import { Auth, type Signature } from "./auth.js";
import { ServerClock } from "./clock.js";
import { cancelledError, closedError, refusedError, SemelError, usageError } from "./error.js";
import { AuthService, type IssueTokenResponse } from "./gen/semel/v1/auth_service_pb.js";
import { ClientInfoSchema, RequestHeaderSchema } from "./gen/semel/v1/header_pb.js";
import { mint } from "./ids.js";
import { Link } from "./link.js";
import { type AnyMethod, type AnyRequest, holdsCredentials, serverWaitMs, takesApp } from "./methods.js";
import { type CallOptions, type ClientOptions, type Settings, settle, settleRetry, span } from "./options.js";
import { nothingHappened, type Refusal, reasonOf } from "./refusal.js";
import { backoffMs, classify, type Decision, decide, type Progress, type Retry } from "./retry.js";
import { Linked, SPAN_MS_MAX, sleep, steadyMs } from "./time.js";
import { VERSION } from "./version.js";

/** What everything of a client shares. */
export class Core {
  readonly settings: Settings;
  readonly link: Link;
  readonly auth: Auth;
  readonly clock: ServerClock;
  readonly clientInfo;
  /** Aborted when the client is closed. */
  readonly closing = new AbortController();

  constructor(transport: Transport, options: ClientOptions) {
    this.settings = settle(options);
    this.clock = new ServerClock(this.settings.wallClock);
    this.link = new Link(transport, this.clock);
    this.clientInfo = create(ClientInfoSchema, { name: this.settings.clientName, version: VERSION, language: "typescript" });
    this.auth = new Auth(options.credentials, (app, secret) => this.#issueToken(app, secret));
  }

  /** Mints an id by the server's clock. */
  mint(): string {
    return mint(this.clock.nowMs());
  }

  /** Makes a call, whatever it is. */
  async call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    init: MessageInitShape<I>,
    options: CallOptions = {},
  ): Promise<MessageShape<O>> {
    const request = (isMessage(init, method.input) ? clone(method.input, init) : create(method.input, init)) as MessageShape<I>;
    const idGiven = this.#fill(method, request as AnyRequest, options);
    const call = new Logical(this, method, request, idGiven, options);
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
    const header = (request.header ??= create(RequestHeaderSchema));
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

/** One logical call under way: what was tried, and how much time is left. */
class Logical<I extends DescMessage, O extends DescMessage> {
  readonly #retry: Retry;
  readonly #waitMs: number;
  readonly #requestTimeoutMs: number;
  readonly #deadline: number;
  readonly #gone: Linked;
  readonly #progress: Progress;
  /** The last reason that the server gave: the end of the time may cut the last attempt short, and says little. */
  #lastReason = "";

  constructor(
    readonly core: Core,
    readonly method: DescMethodUnary<I, O>,
    readonly request: MessageShape<I>,
    idGiven: boolean,
    readonly options: CallOptions,
  ) {
    const { settings } = core;
    this.#retry = settleRetry(options.retry, settings.retry);
    this.#waitMs = serverWaitMs(method, this.#plain);
    this.#requestTimeoutMs = span("requestTimeoutMs", options.requestTimeoutMs, settings.requestTimeoutMs) + this.#waitMs;
    const overallMs = span("overallTimeoutMs", options.overallTimeoutMs, settings.overallTimeoutMs) + this.#waitMs;
    this.#deadline = steadyMs() + Math.min(overallMs, SPAN_MS_MAX);
    this.#gone = new Linked(options.signal, core.closing.signal);
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
    this.#gone.unlink();
  }

  get #plain(): AnyRequest {
    return this.request as AnyRequest;
  }

  get #header() {
    return (this.#plain.header ??= create(RequestHeaderSchema));
  }

  get #isUnsigned(): boolean {
    return holdsCredentials(this.method, this.#plain);
  }

  get #leftMs(): number {
    return this.#deadline - steadyMs();
  }

  #attempt(signature: Signature) {
    this.#throwIfGone();
    const { requestId } = this.#header;
    this.#progress.attempts += 1;
    this.options.onAttempt?.(this.#progress.attempts, requestId);
    return this.core.link.unary(this.method, this.request, {
      requestId,
      token: signature.token,
      timeoutMs: Math.min(this.#requestTimeoutMs, this.#leftMs),
      signal: this.#gone.signal,
      waits: this.#waitMs > 0,
    });
  }

  /** The signature for the next attempt; `refused` names the generation that is not to be used again. */
  async #sign(refused: number | undefined): Promise<Signature> {
    if (this.#isUnsigned) {
      return { token: undefined, generation: 0, renewAt: undefined };
    }
    const { auth } = this.core;
    const { signal } = this.#gone;
    try {
      return await (refused === undefined
        ? auth.sign(this.#leftMs, signal)
        : auth.refresh(refused, this.#leftMs, signal));
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
    await sleep(waitMs, this.#gone.signal);
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
    if (this.options.signal?.aborted) {
      throw cancelledError(this.options.signal.reason, requestId, this.#progress.attempts);
    }
    if (this.core.closing.signal.aborted) {
      throw closedError(requestId, this.#progress.attempts);
    }
  }
}
