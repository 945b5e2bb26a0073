// A watch as a program holds it.
package dev.semel.client;

import java.util.Iterator;

/**
 * What happens, as it happens; made by {@link SemelClient#watch}, to be used by one thread, and closed by any.
 *
 * <p>It reconnects, renews its credentials and resumes by itself, tells no event twice and leaves none out. A program that is
 * slower than what happens loses nothing and holds up nobody: a watch has a connection of its own, and the server waits.
 *
 * <p>{@link #hasNext} and {@link #next} wait. They throw a {@link SemelException} where something binds: credentials that were
 * taken back or cannot be renewed, a watch that is not allowed, a token that is not taken, events that are no longer kept; or
 * where no stream came about at all within the overall timeout. After that, and after a close, there is nothing further. A
 * thread that is interrupted while it waits gets an exception of kind {@code CANCELLED}; the watch goes on with the next call.
 */
public interface Watch extends Iterator<WatchItem>, Iterable<WatchItem>, AutoCloseable {
    @Override
    default Iterator<WatchItem> iterator() {
        return this;
    }

    /** Ends the watch, and a call of {@link #hasNext} that waits, with false. */
    @Override
    void close();
}
