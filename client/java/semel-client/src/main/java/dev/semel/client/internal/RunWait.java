// Waiting for the end of a run, over as many WaitRun calls as it takes.
package dev.semel.client.internal;

import dev.semel.client.CallSettings;
import dev.semel.v1.Run;
import dev.semel.v1.RunServiceGrpc;
import dev.semel.v1.WaitRunRequest;
import dev.semel.v1.WaitRunResponse;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicReference;

/** Waits for the end of a run. */
public final class RunWait {
    /** How long one call asks the server to wait: shorter than the 15 s after which common proxies end a call. */
    private static final Duration STEP = Duration.ofSeconds(10);

    private RunWait() {}

    /** Waits however long it takes. */
    public static Run forEver(Core core, String runId) {
        return atMost(core, runId, Times.MAX).orElseThrow();
    }

    /** Waits for a while at most. */
    public static Optional<Run> atMost(Core core, String runId, Duration timeout) {
        CallsBy calls = new CallsBy(core, CallSettings.none());
        long deadline = Times.after(timeout);
        while (true) {
            Duration step = Times.min(STEP, Times.until(deadline));
            WaitRunResponse answer = calls.waitRun(request(runId, step));
            if (answer.getFinished()) {
                return Optional.of(answer.getRun());
            }
            if (Times.until(deadline).isZero()) {
                return Optional.empty();
            }
        }
    }

    /** Waits however long it takes, without holding a thread. */
    public static CompletableFuture<Run> async(Core core, String runId) {
        CompletableFuture<Run> result = new CompletableFuture<>();
        AtomicReference<CompletableFuture<?>> underWay = new AtomicReference<>();
        result.whenComplete((run, error) -> underWay.get().cancel(true));
        ask(core, runId, result, underWay);
        return result;
    }

    private static void ask(
            Core core, String runId, CompletableFuture<Run> result, AtomicReference<CompletableFuture<?>> underWay) {
        var calls = new CallsBy(core, CallSettings.none());
        var call = calls.callAsync(RunServiceGrpc.getWaitRunMethod(), request(runId, STEP));
        underWay.set(call);
        if (result.isDone()) {
            call.cancel(true);
        }
        call.whenComplete((answer, error) -> {
            if (error != null) {
                result.completeExceptionally(SemelExceptions.of(error));
            } else if (answer.getFinished()) {
                result.complete(answer.getRun());
            } else {
                ask(core, runId, result, underWay);
            }
        });
    }

    private static WaitRunRequest request(String runId, Duration step) {
        return WaitRunRequest.newBuilder()
                .setRunId(runId)
                .setTimeout(Times.toProto(step))
                .build();
    }
}
