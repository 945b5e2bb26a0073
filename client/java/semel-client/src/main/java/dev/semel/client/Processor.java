// What does the work. This file owns the interface that users implement.
package dev.semel.client;

import dev.semel.v1.Payload;

/** What a worker can do, under a name. Called by any number of threads at a time, up to the worker's slots. */
@FunctionalInterface
public interface Processor {
    /**
     * Works on one attempt, on a thread of its own. When it is to stop, that thread is interrupted and
     * {@link Attempt#isCancelled} is true; it should end soon then, with whatever outcome: an attempt that was cancelled counts
     * as cancelled unless it gave a result.
     *
     * @param attempt the attempt
     * @return the result; null stands for an empty one
     * @throws Exception if it failed, with the text of the exception: the retry policy of the job says whether and when there
     *     is another attempt, unless it is an {@link AttemptException} that says more
     */
    Payload process(Attempt attempt) throws Exception;
}
