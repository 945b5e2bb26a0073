// How often and how fast a call is sent again. Plain numbers; what is sent again is decided in internal.Retry.
package dev.semel.client;

import java.time.Duration;
import java.util.Objects;

/**
 * How often and how fast a call is sent again. Every retry keeps the request id.
 *
 * @param attemptsMax how often a logical call is sent at most, the first time included; 1 switches retries off, those of
 *     gRPC itself too
 * @param backoffFirst the longest wait before the second attempt; it doubles with each attempt
 * @param backoffMax the longest wait before any attempt, unless the server asks for a longer one
 */
public record RetryPolicy(int attemptsMax, Duration backoffFirst, Duration backoffMax) {
    private static final RetryPolicy DEFAULT = new RetryPolicy(64, Duration.ofMillis(50), Duration.ofSeconds(5));

    /**
     * Checks the numbers.
     *
     * @param attemptsMax how often a logical call is sent at most
     * @param backoffFirst the longest wait before the second attempt
     * @param backoffMax the longest wait before any attempt
     */
    public RetryPolicy {
        Objects.requireNonNull(backoffFirst, "backoffFirst");
        Objects.requireNonNull(backoffMax, "backoffMax");
        if (attemptsMax < 1) {
            throw SemelException.usage("attemptsMax must be 1 or more");
        }
        if (backoffFirst.isNegative() || backoffMax.isNegative()) {
            throw SemelException.usage("a back-off must not be negative");
        }
    }

    /**
     * 64 attempts, waits of up to 50 ms doubling to 5 s: the overall timeout is meant to be the bound.
     *
     * @return the default
     */
    public static RetryPolicy defaults() {
        return DEFAULT;
    }

    /**
     * Every call is sent once, whatever becomes of it: nothing is retried, renewed or minted anew.
     *
     * @return a policy of one attempt
     */
    public static RetryPolicy none() {
        return DEFAULT.withAttemptsMax(1);
    }

    /**
     * The same with another bound.
     *
     * @param attemptsMax the bound, 1 or more
     * @return the policy
     */
    public RetryPolicy withAttemptsMax(int attemptsMax) {
        return new RetryPolicy(attemptsMax, backoffFirst, backoffMax);
    }

    /**
     * The same with other waits.
     *
     * @param first the longest wait before the second attempt
     * @param max the longest wait before any attempt
     * @return the policy
     */
    public RetryPolicy withBackoff(Duration first, Duration max) {
        return new RetryPolicy(attemptsMax, first, max);
    }
}
