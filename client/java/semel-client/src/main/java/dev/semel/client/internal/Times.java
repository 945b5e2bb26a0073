// Between protobuf's times and Java's. Pure.
package dev.semel.client.internal;

import com.google.protobuf.Timestamp;
import java.time.Duration;
import java.time.Instant;

/** Between protobuf's times and Java's. */
public final class Times {
    /** What may take for ever is given a year, so that moments can be added up without care. */
    public static final Duration MAX = Duration.ofDays(365);

    private Times() {}

    /** A span of the wire; a negative one is none at all. */
    public static Duration of(com.google.protobuf.Duration span) {
        Duration duration;
        try {
            duration = Duration.ofSeconds(span.getSeconds(), span.getNanos());
        } catch (ArithmeticException tooLong) {
            return MAX;
        }
        if (duration.isNegative()) {
            return Duration.ZERO;
        }
        return min(duration, MAX);
    }

    /** A span for the wire. */
    public static com.google.protobuf.Duration toProto(Duration span) {
        return com.google.protobuf.Duration.newBuilder()
                .setSeconds(span.getSeconds())
                .setNanos(span.getNano())
                .build();
    }

    /** A moment of the wire. */
    public static Instant of(Timestamp time) {
        return Instant.ofEpochSecond(time.getSeconds(), time.getNanos());
    }

    /** The shorter one. */
    public static Duration min(Duration one, Duration other) {
        return one.compareTo(other) <= 0 ? one : other;
    }

    /** The moment on the steady clock that lies so far ahead. */
    public static long after(Duration span) {
        return System.nanoTime() + min(span, MAX).toNanos();
    }

    /** How long it is until a moment on the steady clock; zero if it has passed. */
    public static Duration until(long moment) {
        return Duration.ofNanos(Math.max(0, moment - System.nanoTime()));
    }
}
