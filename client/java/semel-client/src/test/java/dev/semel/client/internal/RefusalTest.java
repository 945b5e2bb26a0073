package dev.semel.client.internal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.Any;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import dev.semel.client.SemelException;
import dev.semel.client.internal.Refusal.Origin;
import dev.semel.v1.AuthResult;
import dev.semel.v1.AuthStatus;
import dev.semel.v1.ResponseHeader;
import io.grpc.Metadata;
import io.grpc.Status;
import java.net.ConnectException;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class RefusalTest {
    private static final Metadata.Key<byte[]> DETAILS =
            Metadata.Key.of("grpc-status-details-bin", Metadata.BINARY_BYTE_MARSHALLER);
    private static final Metadata.Key<String> PUSHBACK =
            Metadata.Key.of("grpc-retry-pushback-ms", Metadata.ASCII_STRING_MARSHALLER);

    private static Metadata trailers(com.google.protobuf.Message... details) {
        com.google.rpc.Status.Builder status = com.google.rpc.Status.newBuilder();
        for (com.google.protobuf.Message detail : details) {
            status.addDetails(Any.pack(detail));
        }
        Metadata trailers = new Metadata();
        trailers.put(DETAILS, status.build().toByteArray());
        return trailers;
    }

    private static ResponseHeader header(int status) {
        return ResponseHeader.newBuilder()
                .setAuth(AuthResult.newBuilder().setStatusValue(status))
                .build();
    }

    @Test
    void everythingThatAServerSaysIsRead() {
        ErrorInfo info = ErrorInfo.newBuilder()
                .setReason("INVALID")
                .setDomain("semel.v1")
                .putMetadata("what", "job")
                .build();
        RetryInfo retry = RetryInfo.newBuilder()
                .setRetryDelay(Times.toProto(Duration.ofMillis(1500)))
                .build();
        BadRequest bad = BadRequest.newBuilder()
                .addFieldViolations(
                        BadRequest.FieldViolation.newBuilder().setField("job").setDescription("is empty"))
                .build();
        Status status = Status.INVALID_ARGUMENT.withDescription("no");
        Refusal refusal = Refusal.ofCall(status, trailers(info, header(1), retry, bad), false);
        SemelException error = refusal.toException("id", 2);
        assertEquals(SemelException.Kind.REFUSED, error.kind());
        assertEquals("INVALID", error.reason());
        assertEquals(AuthStatus.AUTH_STATUS_PASSED, error.authStatus());
        assertEquals(Map.of("what", "job"), error.metadata());
        assertEquals(Duration.ofMillis(1500), error.retryAfter().orElseThrow());
        assertEquals(List.of(new SemelException.Violation("job", "is empty")), error.violations());
        assertEquals("id", error.requestId());
        assertEquals(2, error.attempts());
        assertFalse(error.mayRetry());
    }

    @Test
    void aHeaderThatSaysNothingOfTheCredentialsIsNoneOfAServers() {
        Refusal refusal = Refusal.ofCall(Status.PERMISSION_DENIED, trailers(header(0)), false);
        assertEquals(Origin.OTHER, refusal.origin());
        assertNull(refusal.header());
    }

    @Test
    void aVerdictOfALaterVersionCounts() {
        Refusal refusal = Refusal.ofCall(Status.UNAVAILABLE, trailers(header(999)), false);
        assertEquals(Origin.SERVER, refusal.origin());
        assertEquals(AuthStatus.UNRECOGNIZED, refusal.toException("", 1).authStatus());
    }

    @Test
    void whatTheOwnTransportSaysIsNobodysWord() {
        Status refused = Status.UNAVAILABLE.withCause(new RuntimeException(new ConnectException("refused")));
        assertEquals(
                Origin.NOT_SENT, Refusal.ofCall(refused, new Metadata(), false).origin());
        Status late = Status.DEADLINE_EXCEEDED.withDescription("after 10 s");
        assertEquals(
                Origin.NO_ANSWER, Refusal.ofCall(late, new Metadata(), false).origin());
        Metadata fromTheWire = new Metadata();
        fromTheWire.put(Metadata.Key.of("content-type", Metadata.ASCII_STRING_MARSHALLER), "application/grpc");
        assertEquals(
                Origin.OTHER,
                Refusal.ofCall(Status.UNAVAILABLE, fromTheWire, false).origin());
    }

    @Test
    void detailsThatCannotBeReadAreLeftOut() {
        Metadata trailers = new Metadata();
        trailers.put(DETAILS, new byte[] {(byte) 0xff, 1});
        assertEquals(
                Origin.OTHER, Refusal.ofCall(Status.INTERNAL, trailers, false).origin());
    }

    @Test
    void pushBackIsANumberOrANo() {
        for (String text : new String[] {"-1", "soon"}) {
            Metadata trailers = new Metadata();
            trailers.put(PUSHBACK, text);
            assertNull(Refusal.ofCall(Status.UNAVAILABLE, trailers, false)
                    .pushback()
                    .after());
        }
        Metadata trailers = new Metadata();
        trailers.put(PUSHBACK, "250");
        Refusal refusal = Refusal.ofCall(Status.UNAVAILABLE, trailers, false);
        assertEquals(Duration.ofMillis(250), refusal.pushback().after());
    }

    @Test
    void onlyAServersNoOrNothingSentIsCertain() {
        Metadata ours = trailers(header(1));
        assertTrue(Refusal.ofCall(Status.UNAVAILABLE, ours, false).nothingHappened());
        for (Status open : List.of(Status.DEADLINE_EXCEEDED, Status.CANCELLED, Status.INTERNAL, Status.UNKNOWN)) {
            assertFalse(Refusal.ofCall(open, ours, false).nothingHappened());
        }
        assertTrue(Refusal.local(Status.Code.UNAVAILABLE, "", Origin.NOT_SENT).nothingHappened());
        assertFalse(Refusal.local(Status.Code.UNAVAILABLE, "", Origin.OTHER).nothingHappened());
    }

    @Test
    void aResetIsNobodysWordEvenAfterHeaders() {
        Status reset = Status.RESOURCE_EXHAUSTED.withDescription(
                "RST_STREAM closed stream. HTTP/2 error code: ENHANCE_YOUR_CALM (Bandwidth exhausted)");
        assertEquals(
                Origin.NO_ANSWER, Refusal.ofCall(reset, new Metadata(), true).origin());
    }
}
