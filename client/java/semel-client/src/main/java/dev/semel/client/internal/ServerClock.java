// The server's clock, as far as this client knows it. It owns the offset between the two clocks and is the only place
// that
// reads this machine's wall clock; it decides nothing.
package dev.semel.client.internal;

import dev.semel.v1.ResponseHeader;
import java.time.Clock;

/** How far the server's clock is ahead of this machine's, learnt from every header that arrives. */
public final class ServerClock {
    private final Clock local;
    private volatile long offsetMs;

    /**
     * A clock that knows nothing yet.
     *
     * @param local this machine's
     */
    public ServerClock(Clock local) {
        this.local = local;
    }

    /**
     * Learns from a header that has just arrived.
     *
     * @param header the header; without a time it teaches nothing
     * @param roundTripNanos how long ago the attempt was sent: the server is taken to have answered half-way; 0 for a
     *     message that came unasked
     */
    public void learn(ResponseHeader header, long roundTripNanos) {
        if (header.hasServerTime()) {
            long serverMs = Times.of(header.getServerTime()).toEpochMilli();
            offsetMs = serverMs - (local.millis() - roundTripNanos / 2_000_000);
        }
    }

    /** The server's time now in Unix milliseconds; this machine's own before anything was learnt. */
    public long millis() {
        return local.millis() + offsetMs;
    }
}
