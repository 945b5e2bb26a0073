// The one exception of this client. It owns what a caller can learn from a failed call and decides nothing.
package dev.semel.client;

import dev.semel.v1.AuthStatus;
import dev.semel.v1.ResponseHeader;
import io.grpc.Status;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;

/**
 * Why a call failed, after everything that may be tried was tried.
 *
 * <p>With its {@link #requestId()} the same call can be made again, or be looked up by {@code GetRequest}.
 */
public final class SemelException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    /** Who is behind a failure. */
    public enum Kind {
        /** A Semel server refused the call: see the reason. */
        REFUSED,
        /**
         * Somebody answered, but no Semel server: a proxy, a wrong address, a lost header. What became of the call is not
         * known; sending it again under the same id is safe.
         */
        NOT_SEMEL,
        /**
         * Nobody answered: no connection, a lost one, or a time-out. What became of the call is not known; sending it
         * again under the same id is safe.
         */
        TRANSPORT,
        /** The call was not sent, for the way it was made is wrong. */
        USAGE,
        /** The caller gave up: it was interrupted, its gRPC context was cancelled, or the client was closed. */
        CANCELLED
    }

    /**
     * What is wrong with one field of a request.
     *
     * @param field its path, for instance {@code spec.processor}
     * @param description what is wrong with it
     */
    public record Violation(String field, String description) {}

    /** See {@link #kind()}. */
    private final Kind kind;

    /** See {@link #code()}. */
    private final Status.Code code;

    /** See {@link #reason()}. */
    private final String reason;

    /** See {@link #mayRetry()}. */
    private final boolean mayRetry;

    /** See {@link #requestId()}. */
    private final String requestId;

    /** See {@link #attempts()}. */
    private final int attempts;

    // What an exception loses when it is serialized, for its parts cannot be.
    private final transient List<Violation> violations;
    private final transient Map<String, String> metadata;
    /** See {@link #retryAfter()}. */
    private final Duration retryAfter;

    private final transient ResponseHeader header;

    private SemelException(Builder from) {
        super(from.message, from.cause);
        kind = from.kind;
        code = from.code;
        reason = from.reason;
        mayRetry = from.mayRetry;
        requestId = from.requestId;
        attempts = from.attempts;
        violations = List.copyOf(from.violations);
        metadata = Map.copyOf(from.metadata);
        retryAfter = from.retryAfter;
        header = from.header;
    }

    /**
     * Begins an exception; for the client itself and for tests of programs that use it.
     *
     * @param kind who is behind it
     * @param code the gRPC code
     * @param message the message for people
     * @return a builder
     */
    public static Builder builder(Kind kind, Status.Code code, String message) {
        return new Builder(kind, code, message);
    }

    static SemelException usage(String message) {
        return builder(Kind.USAGE, Status.Code.INVALID_ARGUMENT, message).build();
    }

    /**
     * Who is behind it.
     *
     * @return the kind
     */
    public Kind kind() {
        return kind;
    }

    /**
     * The gRPC status code. {@code OK} means that an answer came which no Semel server gave.
     *
     * @return the code
     */
    public Status.Code code() {
        return code;
    }

    /**
     * The reason that the server gave, for instance {@code REQUEST_ID_REUSED}.
     *
     * @return the reason; empty if no Semel server gave one
     */
    public String reason() {
        return reason;
    }

    /**
     * What became of the credentials. Unspecified means that no Semel server spoke: it is no verdict.
     *
     * @return the status
     */
    public AuthStatus authStatus() {
        return header == null
                ? AuthStatus.AUTH_STATUS_UNSPECIFIED
                : header.getAuth().getStatus();
    }

    /**
     * Whether the same request may be sent again as it stands, under the same id, with some hope. False where something
     * has to be mended first: the credentials, the id, a field.
     *
     * @return whether it may
     */
    public boolean mayRetry() {
        return mayRetry;
    }

    /**
     * The id of the logical call.
     *
     * @return the id; empty if there was none yet
     */
    public String requestId() {
        return requestId;
    }

    /**
     * How often this client sent the call.
     *
     * @return the number, 0 if it was not sent
     */
    public int attempts() {
        return attempts;
    }

    /**
     * What is wrong with the request, all at once.
     *
     * @return each field with what is wrong with it
     */
    public List<Violation> violations() {
        return violations == null ? List.of() : violations;
    }

    /**
     * What the reason adds, for instance {@code field} of {@code REQUEST_ID_REUSED}.
     *
     * @return names and values
     */
    public Map<String, String> metadata() {
        return metadata == null ? Map.of() : metadata;
    }

    /**
     * After how long the server wishes to be asked again.
     *
     * @return the wait, if it said so
     */
    public Optional<Duration> retryAfter() {
        return Optional.ofNullable(retryAfter);
    }

    /**
     * The header of the refusal.
     *
     * @return the header, if a Semel server spoke
     */
    public Optional<ResponseHeader> header() {
        return Optional.ofNullable(header);
    }

    /**
     * The oldest revision that the server keeps, where the reason is {@code RESUME_COMPACTED}.
     *
     * @return the revision, if the server gave it
     */
    public OptionalLong oldestRevision() {
        try {
            String text = metadata().get("oldest_revision");
            return text == null ? OptionalLong.empty() : OptionalLong.of(Long.parseLong(text));
        } catch (NumberFormatException notANumber) {
            return OptionalLong.empty();
        }
    }

    @Override
    public String toString() {
        StringBuilder text =
                new StringBuilder("SemelException: ").append(kind).append(' ').append(code);
        if (!reason.isEmpty()) {
            text.append(' ').append(reason);
        }
        text.append(": ").append(getMessage());
        if (!requestId.isEmpty()) {
            text.append(" (request ")
                    .append(requestId)
                    .append(", attempts: ")
                    .append(attempts)
                    .append(')');
        }
        return text.toString();
    }

    /** Puts an exception together. */
    public static final class Builder {
        private final Kind kind;
        private final Status.Code code;
        private final String message;
        private String reason = "";
        private boolean mayRetry;
        private String requestId = "";
        private int attempts;
        private List<Violation> violations = List.of();
        private Map<String, String> metadata = Map.of();
        private Duration retryAfter;
        private ResponseHeader header;
        private Throwable cause;

        private Builder(Kind kind, Status.Code code, String message) {
            this.kind = kind;
            this.code = code;
            this.message = message;
        }

        /**
         * Sets the reason and what it adds.
         *
         * @param reason for instance {@code REQUEST_ID_REUSED}
         * @param metadata names and values
         * @return this
         */
        public Builder reason(String reason, Map<String, String> metadata) {
            this.reason = reason;
            this.metadata = metadata;
            return this;
        }

        /**
         * Sets whether it may be sent again as it stands.
         *
         * @param mayRetry whether it may
         * @return this
         */
        public Builder mayRetry(boolean mayRetry) {
            this.mayRetry = mayRetry;
            return this;
        }

        /**
         * Sets which call it was, and how often it was sent.
         *
         * @param requestId the id
         * @param attempts the number
         * @return this
         */
        public Builder call(String requestId, int attempts) {
            this.requestId = requestId;
            this.attempts = attempts;
            return this;
        }

        /**
         * Sets what is wrong with the request.
         *
         * @param violations each field with what is wrong with it
         * @return this
         */
        public Builder violations(List<Violation> violations) {
            this.violations = violations;
            return this;
        }

        /**
         * Sets the wait that the server asks for.
         *
         * @param retryAfter the wait, or null
         * @return this
         */
        public Builder retryAfter(Duration retryAfter) {
            this.retryAfter = retryAfter;
            return this;
        }

        /**
         * Sets the header of the refusal.
         *
         * @param header the header, or null
         * @return this
         */
        public Builder header(ResponseHeader header) {
            this.header = header;
            return this;
        }

        /**
         * Sets the cause.
         *
         * @param cause the cause, or null
         * @return this
         */
        public Builder cause(Throwable cause) {
            this.cause = cause;
            return this;
        }

        /**
         * Makes the exception.
         *
         * @return the exception
         */
        public SemelException build() {
            return new SemelException(this);
        }
    }
}
