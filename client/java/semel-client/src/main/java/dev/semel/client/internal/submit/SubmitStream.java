// One open SubmitRuns stream of gRPC. It turns what happens on it into events for the loop that owns it, and decides nothing.
package dev.semel.client.internal.submit;

import dev.semel.client.internal.Refusal;
import dev.semel.client.internal.Signature;
import dev.semel.client.internal.Transport;
import dev.semel.v1.JobServiceGrpc;
import dev.semel.v1.SubmitRunsRequest;
import dev.semel.v1.SubmitRunsResponse;
import io.grpc.ClientCall;
import io.grpc.Context;
import io.grpc.Metadata;
import io.grpc.Status;
import java.util.function.Consumer;

/** One open stream. */
final class SubmitStream extends ClientCall.Listener<SubmitRunsResponse> {
    /** What happens on a stream. */
    sealed interface Event permits Heard, Writable, Ended {
        SubmitStream stream();
    }

    /** A message came; {@link #more} is to be called when it is dealt with. */
    record Heard(SubmitStream stream, SubmitRunsResponse message) implements Event {}

    /** There is room to send again. */
    record Writable(SubmitStream stream) implements Event {}

    /** It has ended. */
    record Ended(SubmitStream stream, Refusal refusal) implements Event {}

    /** Messages that may wait to be dealt with. */
    private static final int AHEAD = 4;

    private final Consumer<Event> events;
    private final ClientCall<SubmitRunsRequest, SubmitRunsResponse> call;
    private boolean heard;

    SubmitStream(Transport transport, Signature signature, Consumer<Event> events) {
        this.events = events;
        this.call = transport.channel()
                .newCall(JobServiceGrpc.getSubmitRunsMethod(), Transport.options(signature.credentials()));
        Context.ROOT.run(() -> call.start(this, new Metadata()));
        call.request(AHEAD);
    }

    boolean isReady() {
        return call.isReady();
    }

    void send(SubmitRunsRequest message) {
        call.sendMessage(message);
    }

    void more() {
        call.request(1);
    }

    void halfClose() {
        call.halfClose();
    }

    void cancel(String why) {
        call.cancel(why, null);
    }

    @Override
    public void onHeaders(Metadata headers) {
        heard = true;
    }

    @Override
    public void onMessage(SubmitRunsResponse message) {
        events.accept(new Heard(this, message));
    }

    @Override
    public void onReady() {
        events.accept(new Writable(this));
    }

    @Override
    public void onClose(Status status, Metadata trailers) {
        Refusal refusal = status.isOk()
                ? Refusal.local(
                        Status.Code.UNAVAILABLE,
                        "the stream ended before the answer came",
                        Refusal.Origin.NO_ANSWER)
                : Refusal.ofCall(status, trailers, heard);
        events.accept(new Ended(this, refusal));
    }
}
