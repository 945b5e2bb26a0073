// What a refused call says. This file reads a gRPC status, or its like in a stream, into one value; whether to send the
// call
// again is decided in Retry.
package dev.semel.client.internal;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import dev.semel.client.SemelException;
import dev.semel.v1.ResponseHeader;
import io.grpc.Metadata;
import io.grpc.Status;
import java.net.ConnectException;
import java.net.UnknownHostException;
import java.time.Duration;
import java.util.List;
import java.util.Map;

/**
 * A refusal, decoded.
 *
 * @param code the gRPC status code; OK for an answer that no Semel server gave
 * @param message the message for people
 * @param info the reason and what it adds, or null
 * @param header the header, or null; only kept when it says what became of the credentials
 * @param retryDelay after how long the server wishes to be asked again, or null
 * @param badRequest what is wrong with the fields of the request, or null
 * @param pushback what gRPC's own push-back says, or null
 * @param origin who spoke
 */
public record Refusal(
        Status.Code code,
        String message,
        ErrorInfo info,
        ResponseHeader header,
        Duration retryDelay,
        BadRequest badRequest,
        Pushback pushback,
        Origin origin) {
    /** The list of reasons of a Semel server. */
    public static final String DOMAIN = "semel.v1";

    private static final Metadata.Key<byte[]> DETAILS =
            Metadata.Key.of("grpc-status-details-bin", Metadata.BINARY_BYTE_MARSHALLER);
    private static final Metadata.Key<String> PUSHBACK =
            Metadata.Key.of("grpc-retry-pushback-ms", Metadata.ASCII_STRING_MARSHALLER);

    /** Who spoke. */
    public enum Origin {
        /** A Semel server. */
        SERVER,
        /** Somebody on the way: a proxy, or a server that is no Semel. */
        OTHER,
        /** Nobody: the connection could not be made, so nothing was sent. */
        NOT_SENT,
        /** Nobody: the connection was lost, or no answer came in time. */
        NO_ANSWER
    }

    /**
     * gRPC's push-back.
     *
     * @param after send again after this; null means not to send again
     */
    public record Pushback(Duration after) {}

    /** A refusal that nobody sent. */
    public static Refusal local(Status.Code code, String message, Origin origin) {
        return new Refusal(code, message, null, null, null, null, null, origin);
    }

    /** Reads the refusal of an item in a stream, for instance {@code Ack.refused}. */
    public static Refusal ofStatus(com.google.rpc.Status status) {
        return read(
                Status.fromCodeValue(status.getCode()).getCode(), status.getMessage(), status.getDetailsList(), null);
    }

    /**
     * Reads how a call ended.
     *
     * @param heard whether headers had come before
     */
    public static Refusal ofCall(Status status, Metadata trailers, boolean heard) {
        String message = status.getDescription() == null ? "" : status.getDescription();
        Refusal refusal = read(status.getCode(), message, details(trailers), pushback(trailers));
        // What came over the wire has at least a content type among its trailers.
        boolean fromTheWire = heard || !trailers.keys().isEmpty();
        if (refusal.origin == Origin.SERVER || fromTheWire && !isLocal(status)) {
            return refusal;
        }
        Origin origin = causedByConnecting(status.getCause()) ? Origin.NOT_SENT : Origin.NO_ANSWER;
        return local(status.getCode(), explain(status, message), origin);
    }

    private static Refusal read(Status.Code code, String message, List<Any> details, Pushback pushback) {
        ErrorInfo info = null;
        ResponseHeader header = null;
        Duration retryDelay = null;
        BadRequest badRequest = null;
        for (Any detail : details) {
            if (detail.is(ErrorInfo.class) && info == null) {
                info = unpack(detail, ErrorInfo.class);
            } else if (detail.is(ResponseHeader.class) && header == null) {
                ResponseHeader found = unpack(detail, ResponseHeader.class);
                header = Wire.spoke(found) ? found : null;
            } else if (detail.is(RetryInfo.class)) {
                RetryInfo retry = unpack(detail, RetryInfo.class);
                retryDelay = retry != null && retry.hasRetryDelay() ? Times.of(retry.getRetryDelay()) : retryDelay;
            } else if (detail.is(BadRequest.class) && badRequest == null) {
                badRequest = unpack(detail, BadRequest.class);
            }
        }
        Origin origin = header == null ? Origin.OTHER : Origin.SERVER;
        return new Refusal(code, message, info, header, retryDelay, badRequest, pushback, origin);
    }

    private static List<Any> details(Metadata trailers) {
        byte[] bytes = trailers.get(DETAILS);
        if (bytes == null) {
            return List.of();
        }
        try {
            return com.google.rpc.Status.parseFrom(bytes).getDetailsList();
        } catch (InvalidProtocolBufferException unreadable) {
            return List.of();
        }
    }

    private static Pushback pushback(Metadata trailers) {
        String text = trailers.get(PUSHBACK);
        if (text == null) {
            return null;
        }
        try {
            long ms = Long.parseLong(text);
            return new Pushback(ms < 0 ? null : Duration.ofMillis(ms));
        } catch (NumberFormatException noNumber) {
            return new Pushback(null);
        }
    }

    private static <M extends Message> M unpack(Any detail, Class<M> type) {
        try {
            return detail.unpack(type);
        } catch (InvalidProtocolBufferException unreadable) {
            return null;
        }
    }

    /** A status with a cause was made by this side's own transport. */
    /**
     * Whether grpc-java made the status up: for a cause of its own, or because the stream was reset, which may come after
     * headers and has no other mark than its description.
     */
    private static boolean isLocal(Status status) {
        String description = status.getDescription();
        return status.getCause() != null || description != null && description.startsWith("RST_STREAM closed stream");
    }

    private static boolean causedByConnecting(Throwable cause) {
        for (Throwable at = cause; at != null; at = at.getCause()) {
            if (at instanceof ConnectException || at instanceof UnknownHostException) {
                return true;
            }
        }
        return false;
    }

    private static String explain(Status status, String message) {
        if (status.getCode() == Status.Code.DEADLINE_EXCEEDED) {
            return "no answer came within the request timeout";
        }
        Throwable cause = status.getCause();
        return cause == null ? message : message + ": " + cause.getMessage();
    }

    /** The reason; empty if no Semel server gave one. */
    public String reason() {
        boolean ours =
                origin == Origin.SERVER && info != null && info.getDomain().equals(DOMAIN);
        return ours ? info.getReason() : "";
    }

    /** The same with another message. */
    Refusal withMessage(String other) {
        return new Refusal(code, other, info, header, retryDelay, badRequest, pushback, origin);
    }

    /**
     * Whether it is certain that the call took no effect: a Semel server said no, or nothing was sent. A time-out, a lost
     * connection and a proxy's word leave it open.
     */
    public boolean nothingHappened() {
        return switch (origin) {
            case NOT_SENT -> true;
            case NO_ANSWER, OTHER -> false;
            case SERVER ->
                switch (code) {
                    case DEADLINE_EXCEEDED, CANCELLED, INTERNAL, UNKNOWN -> false;
                    default -> true;
                };
        };
    }

    /** The exception for a caller whose call ended with this. */
    public SemelException toException(String requestId, int attempts) {
        SemelException.Kind kind = switch (origin) {
            case SERVER -> SemelException.Kind.REFUSED;
            case OTHER -> SemelException.Kind.NOT_SEMEL;
            case NOT_SENT, NO_ANSWER -> SemelException.Kind.TRANSPORT;
        };
        List<SemelException.Violation> violations = badRequest == null
                ? List.of()
                : badRequest.getFieldViolationsList().stream()
                        .map(violation ->
                                new SemelException.Violation(violation.getField(), violation.getDescription()))
                        .toList();
        Map<String, String> metadata = info == null ? Map.of() : info.getMetadataMap();
        return SemelException.builder(kind, code, message)
                .reason(reason(), metadata)
                .mayRetry(Retry.classify(this).isHopeful())
                .call(requestId, attempts)
                .violations(violations)
                .retryAfter(retryDelay)
                .header(header)
                .build();
    }
}
