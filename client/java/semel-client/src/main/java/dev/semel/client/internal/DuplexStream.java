// One open stream of gRPC, both ways. It turns what happens on it into events for the loop that owns it, and decides
// nothing.
package dev.semel.client.internal;

import io.grpc.ClientCall;
import io.grpc.Context;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import java.util.function.Consumer;

/**
 * One open stream.
 *
 * @param <Q> the messages up
 * @param <R> the messages down
 */
public final class DuplexStream<Q, R> extends ClientCall.Listener<R> {
    /**
     * What happens on a stream: a message came, after which {@link #more} is to be called when it is dealt with; or it has ended;
     * or neither, then there is room to send again.
     *
     * @param stream which
     * @param message what came, or null
     * @param ended how it ended, or null
     * @param <Q> the messages up
     * @param <R> the messages down
     */
    public record Event<Q, R>(DuplexStream<Q, R> stream, R message, Refusal ended) {}

    /** Messages that may wait to be dealt with. */
    private static final int AHEAD = 4;

    private final Consumer<Event<Q, R>> events;
    private final ClientCall<Q, R> call;
    private boolean heard;

    /** Begins a stream; what happens on it goes to {@code events}, one at a time. */
    public DuplexStream(
            Transport transport, MethodDescriptor<Q, R> method, Signature signature, Consumer<Event<Q, R>> events) {
        this.events = events;
        this.call = transport.channel().newCall(method, Transport.options(signature.credentials()));
        Context.ROOT.run(() -> call.start(this, new Metadata()));
        call.request(AHEAD);
    }

    /** Whether the connection takes a message now. */
    public boolean isReady() {
        return call.isReady();
    }

    /** Sends a message. */
    public void send(Q message) {
        call.sendMessage(message);
    }

    /** A message was dealt with. */
    public void more() {
        call.request(1);
    }

    /** Nothing more will be sent. */
    public void halfClose() {
        call.halfClose();
    }

    /** Ends it. */
    public void cancel(String why) {
        call.cancel(why, null);
    }

    @Override
    public void onHeaders(Metadata headers) {
        heard = true;
    }

    @Override
    public void onMessage(R message) {
        events.accept(new Event<>(this, message, null));
    }

    @Override
    public void onReady() {
        events.accept(new Event<>(this, null, null));
    }

    @Override
    public void onClose(Status status, Metadata trailers) {
        Refusal refusal = status.isOk()
                ? Refusal.local(
                        Status.Code.UNAVAILABLE, "the stream ended before the answer came", Refusal.Origin.NO_ANSWER)
                : Refusal.ofCall(status, trailers, heard);
        events.accept(new Event<>(this, null, refusal));
    }
}
