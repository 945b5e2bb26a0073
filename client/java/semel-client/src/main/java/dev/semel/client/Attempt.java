// One attempt, as its processor sees it.
package dev.semel.client;

import dev.semel.v1.LogStream;
import dev.semel.v1.Payload;
import dev.semel.v1.TraceContext;
import java.time.Duration;
import java.time.Instant;
import java.util.Map;
import java.util.Optional;

/** One attempt, as its {@link Processor} sees it. */
public interface Attempt {
    /**
     * The run.
     *
     * @return its id
     */
    String runId();

    /**
     * The number of the attempt, from 1 on. It is also the fencing token: it only grows, so whatever this processor changes
     * should refuse a smaller one than it has seen.
     *
     * @return the number
     */
    long number();

    /**
     * Run and attempt in one word, {@code RUN/NUMBER}: the key under which to make effects idempotent per attempt.
     *
     * @return the key
     */
    default String attemptId() {
        return runId() + "/" + number();
    }

    /**
     * How many attempts the run may have.
     *
     * @return the number
     */
    int maxAttempts();

    /**
     * The app.
     *
     * @return its name
     */
    String app();

    /**
     * The job.
     *
     * @return its name
     */
    String job();

    /**
     * The name under which this processor was asked for.
     *
     * @return the name
     */
    String processor();

    /**
     * The input.
     *
     * @return the payload; empty if the run has none
     */
    Payload payload();

    /**
     * The labels of the run.
     *
     * @return keys and values
     */
    Map<String, String> labels();

    /**
     * The trigger of the job that made the run.
     *
     * @return its name; empty if none did
     */
    String trigger();

    /**
     * The time that the run was made for, by the schedule of its trigger: the same however late it runs, and over all attempts.
     *
     * @return the time, if a trigger made the run
     */
    Optional<Instant> scheduledTime();

    /**
     * The span of this attempt in the trace of the run: let that of the work be its child.
     *
     * @return its place; empty if the run is in no trace
     */
    Optional<TraceContext> traceContext();

    /**
     * When the attempt counts as timed out, by the server's clock.
     *
     * @return the time, if it ever does
     */
    Optional<Instant> deadline();

    /**
     * How long the attempt may still take, as far as this client knows the server's clock.
     *
     * @return the time left, if it is bounded
     */
    Optional<Duration> timeLeft();

    /**
     * Whether the processor is to stop: the run was cancelled or timed out, the worker is shutting down, or the lease is lost
     * and another worker may have the run by now. Its thread is interrupted at the same moment.
     *
     * @return whether it is
     */
    boolean isCancelled();

    /**
     * Says how far the attempt is. Volatile: only the last one counts, and only now and then is one sent.
     *
     * @param fraction from 0 to 1
     * @param message what it is at, for people; cut at 255 characters
     */
    void progress(double fraction, String message);

    /**
     * Writes to the log of the run. Waits while too much of it is not acknowledged yet. What is written after the attempt was
     * lost goes nowhere.
     *
     * @param stream standard output or standard error
     * @param bytes what
     * @throws InterruptedException if the processor is to stop
     */
    void log(LogStream stream, byte[] bytes) throws InterruptedException;
}
