// Request ids: UUIDv7 made from a given time, by a library. This file never reads a clock, so that the corrected clock
// of
// the client is the only source of that time.
package dev.semel.client.internal;

import com.fasterxml.uuid.impl.TimeBasedEpochRandomGenerator;
import java.security.SecureRandom;
import java.util.Random;
import java.util.UUID;

/** Mints request ids. */
public final class RequestIds {
    private final TimeBasedEpochRandomGenerator generator;

    /** Ids whose random bits come from a secure source. */
    public RequestIds() {
        this(new SecureRandom());
    }

    /**
     * Ids whose random bits come from this source.
     *
     * @param random the source
     */
    public RequestIds(Random random) {
        generator = new TimeBasedEpochRandomGenerator(random);
    }

    /**
     * Mints an id.
     *
     * @param unixMs the time that it bears
     */
    public UUID mint(long unixMs) {
        return generator.construct(unixMs);
    }
}
