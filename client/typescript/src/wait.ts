// Waiting for the end of a run, over as many calls as it takes.

import { create } from "@bufbuild/protobuf";
import type { Core } from "./call.js";
import { type Run, RunSchema } from "./gen/semel/v1/run_pb.js";
import { RunService } from "./gen/semel/v1/run_service_pb.js";
import { type CallOptions, span } from "./options.js";
import { steadyMs, toDuration } from "./time.js";

/** How long one call asks the server to wait: shorter than the 15 s after which common proxies end a call. */
const STEP_MS = 10_000;

/** For whom to wait, and how long. */
export interface WaitOptions extends Omit<CallOptions, "requestId"> {
  /** The app of the run. Default: that of the client. */
  readonly app?: string | undefined;
  /** How long to wait at most, in milliseconds. Default: for ever. */
  readonly timeoutMs?: number | undefined;
}

/** What became of a run while it was waited for. */
export interface Waited {
  /** The run as it is now, with its result if it has ended. */
  readonly run: Run;
  /** Whether it has ended. False only where a time was given, and has passed. */
  readonly finished: boolean;
}

/** Waits. Fails only where a single `waitRun` fails for good. */
export async function wait(core: Core, runId: string, options: WaitOptions): Promise<Waited> {
  const { app = "", timeoutMs, ...call } = options;
  const until = timeoutMs === undefined ? Number.POSITIVE_INFINITY : steadyMs() + span("timeoutMs", timeoutMs, 0);
  for (;;) {
    const timeout = toDuration(Math.max(Math.min(until - steadyMs(), STEP_MS), 0));
    const answer = await core.call(RunService.method.waitRun, { app, runId, timeout }, call);
    if (answer.finished || steadyMs() >= until) {
      return { run: answer.run ?? create(RunSchema, { runId }), finished: answer.finished };
    }
  }
}
