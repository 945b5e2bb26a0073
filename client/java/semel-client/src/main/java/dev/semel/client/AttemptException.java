// How a processor says more of its failure than that it failed.
package dev.semel.client;

import java.time.Duration;
import java.util.Optional;

/** That an attempt failed, and what is to follow. Any other exception fails an attempt as well. */
public final class AttemptException extends Exception {
    private static final long serialVersionUID = 1L;

    /** See {@link #isPermanent()}. */
    private final boolean permanent;

    /** See {@link #retryAfter()}. */
    private final Duration retryAfter;

    private AttemptException(String message, boolean permanent, Duration retryAfter, Throwable cause) {
        super(message, cause);
        this.permanent = permanent;
        this.retryAfter = retryAfter;
    }

    /**
     * Trying again is of no use: the run fails now.
     *
     * @param message why, for people
     * @return the exception
     */
    public static AttemptException permanent(String message) {
        return new AttemptException(message, true, null, null);
    }

    /**
     * If there is another attempt, it starts after a while, instead of what the retry policy says.
     *
     * @param message why, for people
     * @param wait how long
     * @return the exception
     */
    public static AttemptException retryAfter(String message, Duration wait) {
        return new AttemptException(message, false, wait, null);
    }

    /**
     * Whether trying again is of no use.
     *
     * @return whether the run is to fail now
     */
    public boolean isPermanent() {
        return permanent;
    }

    /**
     * The wait before the next attempt.
     *
     * @return the wait, if one was asked for
     */
    public Optional<Duration> retryAfter() {
        return Optional.ofNullable(retryAfter);
    }
}
