// The results of many runs, as a program takes them.
package dev.semel.client;

import java.util.Iterator;
import java.util.Spliterator;
import java.util.Spliterators;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;

/**
 * The results of {@link SemelClient#submitMany}, in the order of the runs: for each its answer or its error; one that is
 * refused does not end the others.
 *
 * <p>Runs are taken from their source, on a thread of the client, up to 4096 ahead of the results that were taken: a program
 * that takes results slowly holds the source. To be used by one thread. To be closed, unless all results were taken.
 */
public interface Submissions extends Iterator<SubmissionResult>, Iterable<SubmissionResult>, AutoCloseable {
    /**
     * Waits until there is a further result, or it is certain that there is none.
     *
     * @return whether there is one
     * @throws RuntimeException what the source of the runs threw, after the results of all runs before that
     */
    @Override
    boolean hasNext();

    /**
     * The results that are still to come.
     *
     * @return this
     */
    @Override
    default Iterator<SubmissionResult> iterator() {
        return this;
    }

    /**
     * The results that are still to come, as a stream; closing it closes this.
     *
     * @return the stream
     */
    default Stream<SubmissionResult> stream() {
        var results = Spliterators.spliteratorUnknownSize(this, Spliterator.ORDERED | Spliterator.NONNULL);
        return StreamSupport.stream(results, false).onClose(this::close);
    }

    /** Ends what is under way. What became of runs without a result is found under their ids. */
    @Override
    void close();
}
