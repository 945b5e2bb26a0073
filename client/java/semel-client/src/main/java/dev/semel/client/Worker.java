// A worker as a program holds it.
package dev.semel.client;

/**
 * Takes runs over one stream, gives them to processors, and reports how they ended. Made with {@link SemelClient#worker}.
 *
 * <p>It reconnects by itself, for ever. Everything that it reports bears a request id that is kept until the server has
 * acknowledged it. A processor is told at once when it is to stop, also when the lease must be presumed lost because the server was
 * not heard of for too long. What nobody can promise: that an attempt's own effects happen once. Hand
 * {@link Attempt#attemptId} to what the processor changes.
 */
public interface Worker extends AutoCloseable {
    /**
     * The id of this worker: minted when it was built, kept over reconnects.
     *
     * @return a UUID
     */
    String id();

    /**
     * Works until {@link #stop} is called, then drains: no new work is taken, what runs may end within the drain timeout, the
     * rest is cancelled and given back. A thread that is interrupted in it begins the drain, and stays interrupted. Once only.
     *
     * @return what it did
     * @throws SemelException if a server refuses the worker for good, for instance because the credentials do not allow it to work
     */
    WorkerSummary run();

    /** Begins the drain; returns at once. */
    void stop();

    /** Begins the drain and waits until {@link #run} has ended. */
    @Override
    void close();
}
