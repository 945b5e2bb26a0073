// Since when, and how often, the stream is not to be had. Pure but for the steady clock.
package dev.semel.client.internal.submit;

import dev.semel.client.internal.Times;
import java.time.Duration;

/**
 * For how long runs do without a stream that broke in a way that calls do not: something on the way may have hiccuped, or may
 * never let a stream live. So long for the first time, and twice as long for each further one, up to a bound.
 */
final class Off {
    private static final Duration FIRST = Duration.ofMillis(250);
    private static final Duration MAX = Duration.ofSeconds(30);
    /** For a server that does not know the method. */
    private static final Duration UNKNOWN = Duration.ofMinutes(5);

    private long until = System.nanoTime();
    private int times;

    void begin() {
        until = Times.after(span());
        times++;
    }

    void beginUnknown() {
        until = Times.after(UNKNOWN);
    }

    /** What went wrong before counts no longer: a stream has served. */
    void forgive() {
        times = 0;
    }

    boolean isOff() {
        return until - System.nanoTime() > 0;
    }

    long until() {
        return until;
    }

    Duration span() {
        return Times.min(FIRST.multipliedBy(1L << Math.min(times, 16)), MAX);
    }
}
