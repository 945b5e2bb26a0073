package dev.semel.client.internal;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.google.protobuf.Any;
import dev.semel.v1.AuthResult;
import dev.semel.v1.AuthStatus;
import dev.semel.v1.ResponseHeader;
import io.grpc.ClientStreamTracer;
import io.grpc.ClientStreamTracer.StreamInfo;
import io.grpc.Metadata;
import io.grpc.Status;
import org.junit.jupiter.api.Test;

/** What gRPC's own copies of a call leave behind. */
class CopyTracerTest {
    private static final Metadata NOTHING = new Metadata();

    private static Metadata ofAServer() {
        ResponseHeader header = ResponseHeader.newBuilder()
                .setAuth(AuthResult.newBuilder().setStatus(AuthStatus.AUTH_STATUS_PASSED))
                .build();
        Metadata trailers = new Metadata();
        trailers.put(
                Metadata.Key.of("grpc-status-details-bin", Metadata.BINARY_BYTE_MARSHALLER),
                com.google.rpc.Status.newBuilder()
                        .addDetails(Any.pack(header))
                        .build()
                        .toByteArray());
        return trailers;
    }

    private static boolean leavesOpen(Metadata firstTrailers, boolean transparent) {
        CopyTracer copies = new CopyTracer();
        ClientStreamTracer first =
                copies.newClientStreamTracer(StreamInfo.newBuilder().build(), NOTHING);
        first.inboundTrailers(firstTrailers);
        first.streamClosed(Status.UNAVAILABLE);
        StreamInfo again =
                StreamInfo.newBuilder().setIsTransparentRetry(transparent).build();
        copies.newClientStreamTracer(again, NOTHING);
        return copies.leavesOpen();
    }

    @Test
    void onlyACopyThatMayHaveBeenExecutedLeavesItOpen() {
        assertEquals(true, leavesOpen(NOTHING, false), "a proxy's word says nothing");
        assertEquals(false, leavesOpen(ofAServer(), false), "a server said that it took no effect");
        assertEquals(false, leavesOpen(NOTHING, true), "it was not processed");
    }

    @Test
    void theLastCopyIsJudgedByWhoeverSeesItsEnd() {
        CopyTracer copies = new CopyTracer();
        copies.newClientStreamTracer(StreamInfo.newBuilder().build(), NOTHING).streamClosed(Status.UNAVAILABLE);
        assertEquals(false, copies.leavesOpen());
    }
}
