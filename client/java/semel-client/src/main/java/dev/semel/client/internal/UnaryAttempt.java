// One attempt of a unary call on the wire. It owns how the end of a gRPC call is read: an answer, or a refusal.
package dev.semel.client.internal;

import com.google.protobuf.Message;
import dev.semel.v1.ResponseHeader;
import io.grpc.ClientCall;
import io.grpc.Metadata;
import io.grpc.Status;

/** One attempt of a unary call. */
final class UnaryAttempt<Q extends Message, R extends Message> extends ClientCall.Listener<R> {
    /** Who waits for the end of an attempt. */
    interface Then<R> {
        /**
         * It has ended.
         *
         * @param answer the answer, or null
         * @param refusal the refusal, or null
         * @param leavesOpen whether a copy that gRPC had sent before the last one may have taken effect
         */
        void ended(R answer, Refusal refusal, boolean leavesOpen);
    }

    private final ClientCall<Q, R> call;
    private final ServerClock clock;
    private final Q request;
    private final Then<R> then;
    private final CopyTracer copies;
    private volatile boolean cancelled;
    private boolean heard;
    private R answer;

    UnaryAttempt(ClientCall<Q, R> call, CopyTracer copies, ServerClock clock, Q request, Then<R> then) {
        this.copies = copies;
        this.call = call;
        this.clock = clock;
        this.request = request;
        this.then = then;
    }

    void start() {
        if (cancelled) {
            then.ended(null, Refusal.local(Status.Code.CANCELLED, "it was not sent", Refusal.Origin.NOT_SENT), false);
            return;
        }
        call.start(this, new Metadata());
        call.request(2);
        try {
            call.sendMessage(request);
            call.halfClose();
        } catch (RuntimeException unsendable) {
            call.cancel("the request could not be sent", unsendable);
        }
    }

    void cancel() {
        cancelled = true;
        call.cancel("the caller gave up", null);
    }

    @Override
    public void onHeaders(Metadata headers) {
        heard = true;
    }

    @Override
    public void onMessage(R message) {
        answer = message;
    }

    @Override
    public void onClose(Status status, Metadata trailers) {
        if (!status.isOk()) {
            Refusal refusal = Refusal.ofCall(status, trailers, heard);
            if (refusal.header() != null) {
                learn(refusal.header());
            }
            then.ended(null, refusal, copies.leavesOpen());
            return;
        }
        Refusal refusal = check(answer);
        then.ended(refusal == null ? answer : null, refusal, copies.leavesOpen());
    }

    /**
     * An answer counts only if a Semel server gave it, and gave it to this request: an OK without a header may come from
     * anything on the way, and an answer to another request from a cache.
     */
    private Refusal check(R answer) {
        ResponseHeader header = answer == null ? null : Wire.header(answer);
        String message;
        if (!Wire.spoke(header)) {
            message = "the answer says nothing of the credentials; check the address and what stands in between";
        } else if (header.getRequestId()
                .equalsIgnoreCase(Wire.requestHeader(request).getRequestId())) {
            learn(header);
            return null;
        } else {
            message = "the answer is one to request \"" + header.getRequestId() + "\"; look for a proxy that caches";
        }
        return Refusal.local(Status.Code.OK, message, Refusal.Origin.OTHER);
    }

    private void learn(ResponseHeader header) {
        clock.learn(header, System.nanoTime() - copies.sentAt());
    }
}
