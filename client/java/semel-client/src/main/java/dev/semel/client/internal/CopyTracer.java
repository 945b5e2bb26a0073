// What became of the copies of a call that gRPC itself sends. They are one attempt to this client, which sees the end
// of the last
// one only; whether an earlier one may have taken effect is told here.
package dev.semel.client.internal;

import io.grpc.ClientStreamTracer;
import io.grpc.Metadata;
import io.grpc.Status;

/** Watches the copies of one attempt. */
final class CopyTracer extends ClientStreamTracer.Factory {
    private boolean open;
    private boolean openByLast;
    private long sentAt = System.nanoTime();

    @Override
    public synchronized ClientStreamTracer newClientStreamTracer(ClientStreamTracer.StreamInfo info, Metadata headers) {
        // A copy is sent transparently when the one before it was not processed for certain.
        open |= openByLast && !info.isTransparentRetry();
        openByLast = false;
        sentAt = System.nanoTime();
        return new Copy();
    }

    /** Whether a copy before the last one may have taken effect. */
    synchronized boolean leavesOpen() {
        return open;
    }

    /** When the last copy was sent, on the steady clock. */
    synchronized long sentAt() {
        return sentAt;
    }

    private synchronized void ended(Refusal refusal) {
        openByLast = !refusal.nothingHappened();
    }

    private final class Copy extends ClientStreamTracer {
        private Metadata trailers = new Metadata();
        private boolean heard;

        @Override
        public void inboundHeaders() {
            heard = true;
        }

        @Override
        public void inboundTrailers(Metadata received) {
            trailers = received;
        }

        @Override
        public void streamClosed(Status status) {
            if (!status.isOk()) {
                ended(Refusal.ofCall(status, trailers, heard));
            }
        }
    }
}
