// One Watch stream of gRPC, on a connection of its own. It hands its messages over, a few ahead, and decides nothing.
package dev.semel.client.internal.watch;

import dev.semel.client.internal.Refusal;
import dev.semel.client.internal.Signature;
import dev.semel.client.internal.Transport;
import dev.semel.v1.WatchRequest;
import dev.semel.v1.WatchResponse;
import dev.semel.v1.WatchServiceGrpc;
import io.grpc.ClientCall;
import io.grpc.Context;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Status;
import java.time.Duration;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** One stream. */
final class WatchStream extends ClientCall.Listener<WatchResponse> {
    /** What came next: a message, the end, or neither in time. */
    record Next(WatchResponse message, Refusal ended) {}

    static final Next NOTHING = new Next(null, null);
    /** Messages that may lie ready; the server waits meanwhile. */
    private static final int AHEAD = 4;

    private final ClientCall<WatchRequest, WatchResponse> call;
    private final BlockingQueue<Next> arrived = new LinkedBlockingQueue<>();
    private boolean headers;
    private volatile long heardAt = System.nanoTime();

    WatchStream(ManagedChannel channel, Signature signature, WatchRequest request) {
        call = channel.newCall(WatchServiceGrpc.getWatchMethod(), Transport.options(signature.credentials()));
        Context.ROOT.run(() -> call.start(this, new Metadata()));
        call.request(AHEAD);
        call.sendMessage(request);
        call.halfClose();
    }

    /** Waits for what comes next. */
    Next next(Duration patience) throws InterruptedException {
        Next next = arrived.poll(patience.toNanos(), TimeUnit.NANOSECONDS);
        if (next == null) {
            return NOTHING;
        }
        if (next.message != null) {
            heardAt = System.nanoTime();
            call.request(1);
        }
        return next;
    }

    /** For how long nothing has come, though there was room. */
    Duration silentFor() {
        return Duration.ofNanos(System.nanoTime() - heardAt);
    }

    /** Wakes who waits. */
    void wake() {
        arrived.add(NOTHING);
    }

    void cancel() {
        call.cancel("the watch goes on without this stream", null);
    }

    @Override
    public void onHeaders(Metadata ignored) {
        headers = true;
    }

    @Override
    public void onMessage(WatchResponse message) {
        heardAt = System.nanoTime();
        arrived.add(new Next(message, null));
    }

    @Override
    public void onClose(Status status, Metadata trailers) {
        Refusal refusal = status.isOk()
                ? Refusal.local(
                        Status.Code.UNAVAILABLE, "the stream has ended without a word", Refusal.Origin.NO_ANSWER)
                : Refusal.ofCall(status, trailers, headers);
        arrived.add(new Next(null, refusal));
    }
}
