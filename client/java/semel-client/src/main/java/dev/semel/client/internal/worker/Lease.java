// What a worker knows of its leases, by the steady clock alone. It judges; telling processors to stop is the loop's.
package dev.semel.client.internal.worker;

import dev.semel.client.internal.Times;
import dev.semel.v1.Opened;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;

/**
 * The leases of a worker, which all end together. They are good for their duration from the moment at which a heartbeat was
 * <em>sent</em> that the server answered: that the server read it later can only make them longer. So a worker that was stopped for
 * a while, and first finds old answers when it goes on, knows by itself that it must not. Moments are given in nanoseconds.
 */
final class Lease {
    /** What is assumed if the server does not say. */
    private static final Duration HEARTBEAT_UNSTATED = Duration.ofSeconds(5);

    private static final Duration LEASE_UNSTATED = Duration.ofSeconds(30);
    /** A stream on which so many heartbeats found no answer is of no use, whatever else comes over it. */
    static final int UNANSWERED_MAX = 64;

    private final Deque<Long> unanswered = new ArrayDeque<>();
    private long duration = LEASE_UNSTATED.toNanos();
    private long interval = HEARTBEAT_UNSTATED.toNanos();
    /** Until when they are good; null before the first stream. */
    private Long until;
    /** Whether they are presumed lost, and that was acted upon. */
    private boolean lost;

    private long nextHeartbeat;
    private long lastWord;

    /** A stream was opened, with a {@code Hello} that was sent at {@code helloAt}. */
    void opened(Opened opened, long helloAt, long now) {
        duration = stated(opened.hasLeaseDuration(), Times.of(opened.getLeaseDuration()), LEASE_UNSTATED);
        interval = stated(opened.hasHeartbeatInterval(), Times.of(opened.getHeartbeatInterval()), HEARTBEAT_UNSTATED);
        unanswered.clear();
        nextHeartbeat = now + interval;
        lastWord = now;
        renew(helloAt);
    }

    private static long stated(boolean there, Duration given, Duration otherwise) {
        return (there && !given.isZero() ? given : otherwise).toNanos();
    }

    /** The stream was lost: what was not answered on it never will be. */
    void closed() {
        unanswered.clear();
    }

    void heard(long now) {
        lastWord = now;
    }

    /** A heartbeat is sent. Gives back how many answers are to come until this one is answered. */
    int sent(long now) {
        nextHeartbeat = now + interval;
        unanswered.add(now);
        return unanswered.size();
    }

    /** The oldest heartbeat was answered. */
    void answered() {
        Long sentAt = unanswered.poll();
        if (sentAt != null) {
            renew(sentAt);
        }
    }

    private void renew(long from) {
        long good = from + duration;
        if (until == null || good - until > 0) {
            until = good;
            lost = false;
        }
    }

    boolean heartbeatIsDue(long now) {
        return nextHeartbeat - now <= 0;
    }

    /** Whether the stream is dead: nothing came for the length of a lease, or too many heartbeats have no answer. */
    boolean isSilent(long now) {
        return now - lastWord > duration || unanswered.size() > UNANSWERED_MAX;
    }

    /** Whether the leases have to be presumed lost; said once. */
    boolean justLost(long now) {
        boolean just = !lost && until != null && until - now < 0;
        lost |= just;
        return just;
    }

    /** When to look at the stream again. */
    long nextOnStream() {
        long silence = lastWord + duration + 1_000_000;
        return nextHeartbeat - silence < 0 ? nextHeartbeat : silence;
    }
}
