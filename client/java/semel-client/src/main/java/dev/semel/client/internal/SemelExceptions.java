// How failures of any kind become the one exception of this client.
package dev.semel.client.internal;

import dev.semel.client.SemelException;
import io.grpc.Status;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;

/** How failures of any kind become the one exception of this client. */
public final class SemelExceptions {
    private SemelExceptions() {}

    /** What a future failed with. */
    public static SemelException of(Throwable error) {
        Throwable cause = error;
        while ((cause instanceof CompletionException || cause instanceof ExecutionException)
                && cause.getCause() != null) {
            cause = cause.getCause();
        }
        if (cause instanceof SemelException known) {
            return known;
        }
        return SemelException.builder(SemelException.Kind.TRANSPORT, Status.Code.UNKNOWN, "the call failed: " + cause)
                .cause(cause)
                .build();
    }

    /** A caller's mistake. */
    public static SemelException usage(String message) {
        return SemelException.builder(SemelException.Kind.USAGE, Status.Code.INVALID_ARGUMENT, message)
                .build();
    }

    /** That a caller gave up. */
    public static SemelException cancelled(String message, String requestId, int attempts) {
        return SemelException.builder(SemelException.Kind.CANCELLED, Status.Code.CANCELLED, message)
                .call(requestId, attempts)
                .build();
    }

    /** The same failure, as that of another logical call which could not go on without the failed one. */
    public static SemelException ofCall(Throwable failure, String requestId) {
        SemelException error = of(failure);
        return SemelException.builder(error.kind(), error.code(), error.getMessage())
                .reason(error.reason(), error.metadata())
                .mayRetry(error.mayRetry())
                .call(requestId, error.attempts())
                .violations(error.violations())
                .retryAfter(error.retryAfter().orElse(null))
                .header(error.header().orElse(null))
                .cause(failure)
                .build();
    }
}
