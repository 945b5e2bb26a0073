// What a processor and the worker share of an attempt. It decides nothing: cancelling, sending and reporting are the
// worker's.
package dev.semel.client.internal.worker;

import dev.semel.client.Attempt;
import dev.semel.client.internal.ServerClock;
import dev.semel.client.internal.Times;
import dev.semel.v1.Assignment;
import dev.semel.v1.LogStream;
import dev.semel.v1.Payload;
import dev.semel.v1.TraceContext;
import java.time.Duration;
import java.time.Instant;
import java.util.Map;
import java.util.Optional;

/** One attempt, while its processor runs. */
final class AttemptRun implements Attempt {
    /** What a processor says to the worker. */
    interface Words {
        void log(LogBuffer.Wake wake);

        void progress();
    }

    /** How far it is. */
    record Progress(double fraction, String message) {}

    private static final int MESSAGE_CHARACTERS_MAX = 255;

    final LogBuffer log = new LogBuffer();
    private final Assignment assignment;
    private final ServerClock clock;
    private final Words words;
    private volatile boolean cancelled;
    private Progress progress;
    private Thread thread;
    private boolean left;

    AttemptRun(Assignment assignment, ServerClock clock, Words words) {
        this.assignment = assignment;
        this.clock = clock;
        this.words = words;
    }

    /** The present thread runs it from now on, or would have to stop at once. */
    synchronized void enter() {
        thread = Thread.currentThread();
        if (cancelled) {
            thread.interrupt();
        }
    }

    /** The thread is used for something else from now on. */
    synchronized void leave() {
        left = true;
        thread = null;
        Thread.interrupted();
    }

    /** Tells the processor to stop. */
    synchronized void cancel() {
        cancelled = true;
        if (thread != null && !left) {
            thread.interrupt();
        }
    }

    /** Takes the progress that was set last; null if it was taken already. */
    synchronized Progress takeProgress() {
        Progress taken = progress;
        progress = null;
        return taken;
    }

    @Override
    public String runId() {
        return assignment.getRunId();
    }

    @Override
    public long number() {
        return assignment.getAttempt();
    }

    @Override
    public int maxAttempts() {
        return assignment.getMaxAttempts();
    }

    @Override
    public String app() {
        return assignment.getApp();
    }

    @Override
    public String job() {
        return assignment.getJob();
    }

    @Override
    public String processor() {
        return assignment.getProcessor();
    }

    @Override
    public Payload payload() {
        return assignment.getPayload();
    }

    @Override
    public Map<String, String> labels() {
        return assignment.getLabelsMap();
    }

    @Override
    public String trigger() {
        return assignment.getTrigger();
    }

    @Override
    public Optional<Instant> scheduledTime() {
        return assignment.hasScheduledTime() ? Optional.of(Times.of(assignment.getScheduledTime())) : Optional.empty();
    }

    @Override
    public Optional<TraceContext> traceContext() {
        return assignment.hasTraceContext() ? Optional.of(assignment.getTraceContext()) : Optional.empty();
    }

    @Override
    public Optional<Instant> deadline() {
        return assignment.hasAttemptDeadline()
                ? Optional.of(Times.of(assignment.getAttemptDeadline()))
                : Optional.empty();
    }

    @Override
    public Optional<Duration> timeLeft() {
        return deadline().map(end -> {
            Duration left = Duration.between(Instant.ofEpochMilli(clock.millis()), end);
            return left.isNegative() ? Duration.ZERO : left;
        });
    }

    @Override
    public boolean isCancelled() {
        return cancelled;
    }

    @Override
    public void progress(double fraction, String message) {
        boolean news;
        synchronized (this) {
            news = progress == null;
            progress = new Progress(Math.min(1, Math.max(0, fraction)), cut(message, MESSAGE_CHARACTERS_MAX));
        }
        if (news) {
            words.progress();
        }
    }

    @Override
    public void log(LogStream stream, byte[] bytes) throws InterruptedException {
        for (int from = 0; from < bytes.length; from += LogBuffer.CHUNK_BYTES) {
            int count = Math.min(LogBuffer.CHUNK_BYTES, bytes.length - from);
            if (!log.reserve(count)) {
                return;
            }
            LogBuffer.Wake wake = log.write(stream, bytes, from, count);
            if (wake != LogBuffer.Wake.NO) {
                words.log(wake);
            }
        }
    }

    @Override
    public String toString() {
        return "Attempt[" + attemptId() + ", job=" + job() + "]";
    }

    /** Cuts a text to so many characters. */
    static String cut(String text, int charactersMax) {
        return text.codePointCount(0, text.length()) <= charactersMax
                ? text
                : text.substring(0, text.offsetByCodePoints(0, charactersMax));
    }
}
