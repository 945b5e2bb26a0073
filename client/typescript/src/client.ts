// The client as its users see it, over whatever transport: its calls, and what everything of it shares. The way of a call
// stands in `call`.
import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import type { Transport } from "@connectrpc/connect";
import { Core } from "./call.js";
import { AppService } from "./gen/semel/v1/app_service_pb.js";
import { AuthService } from "./gen/semel/v1/auth_service_pb.js";
import { JobService } from "./gen/semel/v1/job_service_pb.js";
import { RequestService } from "./gen/semel/v1/request_service_pb.js";
import { RunService } from "./gen/semel/v1/run_service_pb.js";
import { ServerService } from "./gen/semel/v1/server_service_pb.js";
import { TriggerService } from "./gen/semel/v1/trigger_service_pb.js";
import type { CallOptions, ClientOptions } from "./options.js";
import type { Scope } from "./scope.js";
import { type Unary, unary } from "./services.js";
import { type Runs, type SharedWay, type SubmitOptions, type Submitted, submitMany } from "./submit/many.js";
import { SingleWay } from "./submit/single.js";
import { type Waited, type WaitOptions, wait } from "./wait.js";
import type { WatchOptions } from "./watch/options.js";
import { Watch } from "./watch/watch.js";

/**
 * A client of a Semel server, as it works wherever JavaScript does. All its calls share connections, token and clock. It
 * connects with its first call, and makes lost connections again by itself.
 */
export class Client implements Disposable {
  /** @internal */
  protected readonly core: Core;
  readonly apps: Unary<typeof AppService>;
  readonly auth: Unary<typeof AuthService>;
  readonly jobs: Unary<typeof JobService>;
  readonly requests: Unary<typeof RequestService>;
  readonly runs: Unary<typeof RunService>;
  readonly server: Unary<typeof ServerService>;
  readonly triggers: Unary<typeof TriggerService>;
  readonly #disconnect: () => void;

  /**
   * A client over a transport of Connect that speaks gRPC or gRPC-Web; without interceptors that retry or answer by
   * themselves. `connect` makes the usual one.
   *
   * @param disconnect lets go of what the transport holds, when the client is closed
   */
  constructor(transport: Transport, options: ClientOptions = {}, disconnect: () => void = () => {}) {
    const core = new Core(transport, options);
    this.core = core;
    this.#disconnect = disconnect;
    this.apps = unary(AppService, core);
    this.auth = unary(AuthService, core);
    this.jobs = unary(JobService, core);
    this.requests = unary(RequestService, core);
    this.runs = unary(RunService, core);
    this.server = unary(ServerService, core);
    this.triggers = unary(TriggerService, core);
  }

  /**
   * Makes a unary call of any service, for instance `client.call(JobService.method.runJob, { job: "settle" })`. The
   * functions of `jobs`, `runs` and so on are this one, spelt out.
   */
  call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    options?: CallOptions,
  ): Promise<MessageShape<O>> {
    return this.core.call(method, request, options);
  }

  /**
   * Mints an id by the server's clock, as far as that is known: to be stored before the call is made under it, as
   * `requestId` of its options.
   */
  mintRequestId(): string {
    return this.core.mint();
  }

  /** By how many milliseconds the server's clock is ahead of this machine's, as of the last answer. */
  get clockOffsetMs(): number {
    return this.core.clock.offsetMs;
  }

  /**
   * Makes any number of runs, and gives what became of each, in their order; one that is refused does not end the others.
   * Each has an id of its own, and is sent again under it until it has an answer, as with `jobs.runJob`.
   *
   * It takes further runs while at most 4096 of them, or 64 MiB of payloads, have results that were not taken: who takes
   * results slowly holds the iterator of the runs. Leaving the loop gives up what has no result yet; what was taken by the
   * server takes effect all the same.
   */
  submitMany(runs: Runs, options: SubmitOptions = {}): AsyncGenerator<Submitted, void, void> {
    return submitMany(this.core, runs, options, (scope) => this.sharedWay(scope));
  }

  /** By which way runs go that are submitted together. @internal */
  protected sharedWay(scope: Scope): SharedWay {
    return new SingleWay(scope);
  }

  /** Waits until a run has ended, or for a time; over as many calls as it takes. */
  wait(runId: string, options: WaitOptions = {}): Promise<Waited> {
    return wait(this.core, runId, options);
  }

  /** Watches what happens: an iterator for `for await` that goes on by itself over lost connections. */
  watch(options: WatchOptions = {}): Watch {
    return new Watch(this.core, options);
  }

  /** Gives up whatever is under way and closes the connections. May be called again. */
  close(): void {
    this.core.closing.end(new Error("the client was closed"));
    this.#disconnect();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
