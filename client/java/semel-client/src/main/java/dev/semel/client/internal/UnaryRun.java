// Makes a logical call by unary attempts: signs, sends, waits, and again, without holding a thread. It owns what is
// under way
// at the moment, and how a caller who gives up ends it.
package dev.semel.client.internal;

import com.google.protobuf.Message;
import dev.semel.client.Answer;
import io.grpc.Context;
import io.grpc.Status;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicReference;

/** A logical call under way. */
final class UnaryRun<Q extends Message, R extends Message> {
    private final Core core;
    private final LogicalCall<Q, R> call;
    private final Context context = Context.current();
    private final CompletableFuture<Answer<R>> result = new CompletableFuture<>();
    /** Ends what is under way: an attempt, or a wait. */
    private final AtomicReference<Runnable> stop = new AtomicReference<>(() -> {});

    UnaryRun(Core core, LogicalCall<Q, R> call) {
        this.core = core;
        this.call = call;
    }

    CompletableFuture<Answer<R>> start() {
        if (context.getDeadline() != null) {
            call.shorten(Duration.ofNanos(Math.max(0, context.getDeadline().timeRemaining(TimeUnit.NANOSECONDS))));
        }
        Context.CancellationListener onCancel = this::onContext;
        AutoCloseable onClose = () -> giveUp("the client was closed");
        context.addListener(onCancel, Runnable::run);
        core.adopt(onClose);
        // Also when the caller cancels the future itself.
        result.whenComplete((answer, error) -> {
            context.removeListener(onCancel);
            core.release(onClose);
            stop.get().run();
        });
        sign();
        return result;
    }

    private void onContext(Context cancelled) {
        if (cancelled.cancellationCause() instanceof TimeoutException) {
            fail(Refusal.local(
                    Status.Code.DEADLINE_EXCEEDED, "the deadline of the caller has passed", Refusal.Origin.NO_ANSWER));
        } else {
            giveUp("the caller gave up");
        }
    }

    private void giveUp(String why) {
        result.completeExceptionally(SemelExceptions.cancelled(why, call.requestId(), call.attempts()));
    }

    private void fail(Refusal refusal) {
        result.completeExceptionally(call.giveUp(refusal));
    }

    private void sign() {
        if (call.isUnsigned()) {
            attempt(Signature.NONE);
        } else {
            await(core.auth().sign());
        }
    }

    /** Goes on when there is a signature. The renewal is shared, so it is not ended with this call. */
    private void await(CompletableFuture<Signature> signature) {
        Duration left = call.left();
        signature.orTimeout(left.toNanos(), TimeUnit.NANOSECONDS).whenComplete((fresh, error) -> {
            if (error instanceof TimeoutException) {
                fail(Refusal.local(Status.Code.DEADLINE_EXCEEDED, "no token came in time", Refusal.Origin.NOT_SENT));
            } else if (error != null) {
                result.completeExceptionally(SemelExceptions.ofCall(error, call.requestId()));
            } else {
                attempt(fresh);
            }
        });
    }

    private void attempt(Signature signature) {
        if (result.isDone()) {
            return;
        }
        context.run(() -> {
            var attempt = core.transport()
                    .attempt(
                            call.method(),
                            call.request(),
                            signature,
                            call.attemptTimeout(),
                            (answer, refusal, leavesOpen) -> {
                                if (refusal == null) {
                                    result.complete(call.succeed(answer));
                                } else {
                                    if (leavesOpen) {
                                        call.leaveOpen();
                                    }
                                    refused(signature, refusal);
                                }
                            });
            // First known, then sent: its end may come at once.
            stopWith(attempt::cancel);
            attempt.start();
        });
    }

    private void refused(Signature signature, Refusal refusal) {
        if (result.isDone()) {
            return;
        }
        Retry.Decision decision = call.decide(refusal);
        switch (decision.action()) {
            case GIVE_UP -> fail(refusal);
            case AGAIN -> again(decision.delay(), refusal);
            case REFRESH -> await(core.auth().refresh(signature.generation()));
            case MINT_ANEW -> {
                call.mintAnew();
                attempt(signature);
            }
        }
    }

    private void again(Duration delay, Refusal refusal) {
        Duration wait = call.pause(delay);
        if (wait.compareTo(call.left()) >= 0) {
            fail(refusal);
            return;
        }
        Future<?> timer = core.threads().after(wait, () -> {
            Transport.hurry(core.transport().channel());
            sign();
        });
        stopWith(() -> timer.cancel(false));
    }

    private void stopWith(Runnable how) {
        stop.set(how);
        if (result.isDone()) {
            how.run();
        }
    }
}
