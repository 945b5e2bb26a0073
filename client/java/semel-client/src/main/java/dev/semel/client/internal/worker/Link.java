// The stream to a server: making it and losing it. It owns when to try again; what the messages mean is decided
// elsewhere.
package dev.semel.client.internal.worker;

import dev.semel.client.RetryPolicy;
import dev.semel.client.SemelException;
import dev.semel.client.internal.Core;
import dev.semel.client.internal.DuplexStream;
import dev.semel.client.internal.Refusal;
import dev.semel.client.internal.Retry;
import dev.semel.client.internal.SemelExceptions;
import dev.semel.client.internal.Signature;
import dev.semel.client.internal.Times;
import dev.semel.client.internal.Transport;
import dev.semel.client.internal.Wire;
import dev.semel.v1.Hello;
import dev.semel.v1.RequestHeader;
import dev.semel.v1.WorkRequest;
import dev.semel.v1.WorkResponse;
import dev.semel.v1.WorkerServiceGrpc;
import io.grpc.Status;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ThreadLocalRandom;
import java.util.function.Consumer;

/** The stream of a worker. All of it runs on the worker's thread. */
final class Link {
    /** How a worker comes back: more slowly than a single call, for there may be thousands of them. */
    static final RetryPolicy PACE = RetryPolicy.defaults().withBackoff(Duration.ofMillis(200), Duration.ofSeconds(10));
    /** How long opening a stream may take, a fresh token included. */
    private static final Duration OPEN_TIMEOUT = Duration.ofSeconds(10);

    /** What happens to a link. */
    interface Events {
        Hello hello();

        void opened(WorkResponse first, long helloAt);

        void notOpened(SemelException error);

        void message(WorkResponse message);

        void lost(Refusal refusal);
    }

    private final Core core;
    private final Consumer<Runnable> post;
    private final Events events;
    private DuplexStream<WorkRequest, WorkResponse> stream;
    private Signature signature;
    private boolean dialing;
    private boolean up;
    private boolean renewed;
    private long helloAt;
    private long dialFrom = System.nanoTime();
    private long dialUntil;
    /** How often in a row the stream could not be made, or was lost before anything came over it. */
    private int failures;

    Link(Core core, Consumer<Runnable> post, Events events) {
        this.core = core;
        this.post = post;
        this.events = events;
    }

    boolean isUp() {
        return up;
    }

    boolean isDialing() {
        return dialing;
    }

    Signature signature() {
        return signature;
    }

    void signature(Signature fresh) {
        signature = fresh;
    }

    boolean canSend() {
        return up && stream.isReady();
    }

    void send(WorkRequest message) {
        stream.send(message);
    }

    void halfClose() {
        if (up) {
            stream.halfClose();
        }
    }

    void worked() {
        failures = 0;
    }

    /** When there is something to do about it. */
    long next(long otherwise) {
        return up ? otherwise : Math.min(otherwise, dialing ? dialUntil : dialFrom);
    }

    void advance(long now) {
        if (!up && !dialing && dialFrom - now <= 0) {
            dialing = true;
            renewed = false;
            dialUntil = now + OPEN_TIMEOUT.toNanos();
            sign(core.auth().sign());
        } else if (dialing && dialUntil - now <= 0) {
            failed(Refusal.local(
                    Status.Code.DEADLINE_EXCEEDED, "the stream did not open in time", Refusal.Origin.NO_ANSWER));
        }
    }

    private void sign(CompletableFuture<Signature> signing) {
        long of = dialUntil;
        signing.whenComplete((fresh, error) -> post.accept(() -> {
            if (!dialing || dialUntil != of) {
                return; // Of a try that was given up.
            }
            if (error == null) {
                signature = fresh;
                sayHello();
            } else {
                giveUp(SemelExceptions.of(error));
            }
        }));
    }

    private void sayHello() {
        Transport.hurry(core.transport().channel());
        stream = new DuplexStream<>(
                core.transport(), WorkerServiceGrpc.getWorkMethod(), signature, event -> post.accept(() -> on(event)));
        helloAt = System.nanoTime();
        stream.send(WorkRequest.newBuilder()
                .setHeader(RequestHeader.newBuilder().setClient(core.clientInfo()))
                .setHello(events.hello())
                .build());
    }

    private void on(DuplexStream.Event<WorkRequest, WorkResponse> event) {
        if (event.stream() != stream) {
            return; // Of a stream that was given up.
        }
        if (event.message() != null) {
            event.stream().more();
            if (up) {
                events.message(event.message());
            } else {
                first(event.message());
            }
        } else if (event.ended() != null && up) {
            events.lost(event.ended());
        } else if (event.ended() != null) {
            failed(event.ended());
        }
    }

    /** The first message has to be `Opened`, with a header that shows that a Semel server wrote it. */
    private void first(WorkResponse message) {
        if (!message.hasOpened() || !Wire.spoke(message.getHeader())) {
            String why = "the stream does not begin as that of a Semel server; check the address";
            failed(Refusal.local(Status.Code.OK, why, Refusal.Origin.OTHER));
            return;
        }
        core.clock().learn(message.getHeader(), 0);
        dialing = false;
        up = true;
        events.opened(message, helloAt);
    }

    /** Credentials that are refused are renewed once. */
    private void failed(Refusal refusal) {
        drop();
        if (refusal.header() != null) {
            core.clock().learn(refusal.header(), 0);
        }
        boolean credentials = Retry.classify(refusal).kind() == Retry.Kind.CREDENTIALS;
        if (credentials && core.auth().canRefresh() && !renewed) {
            renewed = true;
            sign(core.auth().refresh(signature.generation()));
        } else {
            giveUp(refusal.toException("", 1));
        }
    }

    private void giveUp(SemelException error) {
        dialing = false;
        events.notOpened(error);
    }

    /** There is no stream any more, and another one is made after a while. */
    void lose(Duration atLeast) {
        drop();
        dialing = false;
        failures++;
        double unit = ThreadLocalRandom.current().nextDouble();
        dialFrom = Times.after(atLeast.plus(Retry.backoff(PACE, failures, unit)));
    }

    void drop() {
        if (stream != null) {
            stream.cancel("the worker goes on without this stream");
        }
        stream = null;
        up = false;
    }
}
