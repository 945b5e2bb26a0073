// Processors: starting them, telling them to stop, and what is made of their end. Nothing here speaks to the server;
// what is to be
// said is put into the attempt's queue.
package dev.semel.client.internal.worker;

import dev.semel.client.Processor;
import dev.semel.client.WorkerSummary;
import dev.semel.client.internal.Core;
import dev.semel.v1.Assignment;
import dev.semel.v1.AttemptProgress;
import dev.semel.v1.AttemptRef;
import dev.semel.v1.Payload;
import dev.semel.v1.Report;
import dev.semel.v1.WorkRequest;
import java.time.Duration;
import java.util.Collection;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;

/** The attempts that a worker holds. All of it runs on the worker's thread, but for the processors. */
final class Attempts {
    private static final System.Logger LOG = System.getLogger(Attempts.class.getName());
    /** How old a piece of a log may become before it is sent. */
    private static final Duration LOG_AGE = Duration.ofMillis(200);
    /** How often the progress of an attempt is sent at most. */
    private static final Duration PROGRESS_INTERVAL = Duration.ofMillis(200);

    private final Core core;
    private final WorkerSettings settings;
    private final Consumer<Runnable> post;
    private final Timers timers;
    private final Map<Held.Key, Held> held = new LinkedHashMap<>();
    private Outbox outbox;
    /** Attempts whose threads still work, of those that are held and of those that are over. */
    private final Set<Held> threads = new HashSet<>();
    /** Of these, those that the server does not count any more. */
    private final Set<Held> ghosts = new HashSet<>();

    private long started;
    private long succeeded;
    private long failed;
    private long cancelled;
    private long released;
    private long stale;

    Attempts(Core core, WorkerSettings settings, Consumer<Runnable> post, Timers timers) {
        this.core = core;
        this.settings = settings;
        this.post = post;
        this.timers = timers;
    }

    void outbox(Outbox outbox) {
        this.outbox = outbox;
    }

    Collection<Held> all() {
        return List.copyOf(held.values());
    }

    boolean isEmpty() {
        return held.isEmpty();
    }

    /** What the server is told after a reconnect. */
    List<AttemptRef> refs() {
        return held.values().stream()
                .filter(attempt -> attempt.stop != Held.Stop.OVER)
                .map(attempt -> AttemptRef.newBuilder()
                        .setRunId(attempt.key.runId())
                        .setAttempt(attempt.key.attempt())
                        .build())
                .toList();
    }

    /** Slots that the server may fill: fewer than there are while processors still work whose attempts it does not count. */
    int slots() {
        return Math.max(0, settings.slots() - ghosts.size());
    }

    void assigned(Assignment assignment, boolean serving) {
        Held.Key key = new Held.Key(assignment.getRunId(), assignment.getAttempt());
        if (held.containsKey(key)) {
            return; // At work on it already.
        }
        supersede(key);
        Held attempt = new Held(key, new AttemptRun(assignment, core.clock(), words(key)));
        held.put(key, attempt);
        Processor processor = settings.processors().get(assignment.getProcessor());
        if (!serving) {
            report(attempt, Held.released("the worker is shutting down"));
        } else if (processor == null) {
            String name = assignment.getProcessor();
            report(attempt, Held.failed(new AssertionError("this worker has no processor \"" + name + "\"")));
        } else if (threads.size() >= settings.slots()) {
            report(attempt, Held.released("no slot is free"));
        } else {
            start(attempt, processor);
        }
    }

    /**
     * An earlier attempt of the same run is over: the server would not hand out a later one otherwise. One whose last word is under
     * way waits for the answer all the same: it may be the very report that ended it.
     */
    private void supersede(Held.Key key) {
        for (Held other : all()) {
            boolean earlier = other.key.runId().equals(key.runId()) && other.key.attempt() < key.attempt();
            if (earlier && (other.running || !other.inFlight)) {
                over(other);
            }
        }
    }

    private AttemptRun.Words words(Held.Key key) {
        return new AttemptRun.Words() {
            @Override
            public void log(LogBuffer.Wake wake) {
                post.accept(() -> {
                    if (wake == LogBuffer.Wake.NOW) {
                        flushLog(key);
                    } else {
                        timers.set(System.nanoTime() + LOG_AGE.toNanos(), () -> flushLog(key));
                    }
                });
            }

            @Override
            public void progress() {
                post.accept(() -> sendProgress(key));
            }
        };
    }

    private void start(Held attempt, Processor processor) {
        attempt.running = true;
        threads.add(attempt);
        started++;
        core.threads().execute(() -> {
            attempt.run.enter();
            Payload result = null;
            Throwable error = null;
            try {
                result = processor.process(attempt.run);
            } catch (Throwable failure) {
                error = failure;
            }
            attempt.run.leave();
            Payload given = error == null && result == null ? Payload.getDefaultInstance() : result;
            Throwable why = error;
            post.accept(() -> ended(attempt, given, why));
        });
    }

    /** A processor's thread has ended. */
    private void ended(Held attempt, Payload result, Throwable error) {
        threads.remove(attempt);
        ghosts.remove(attempt);
        if (!attempt.running) {
            return; // It was reported without it.
        }
        attempt.running = false;
        if (attempt.stop != Held.Stop.OVER) {
            report(attempt, Held.outcome(attempt.stop, result, error));
        } else {
            forget(attempt);
        }
    }

    /** Puts the rest of the log and then the report into the queue. */
    private void report(Held attempt, Report.Builder outcome) {
        attempt.gatherLog();
        attempt.report(outcome);
        outbox.ready(attempt);
    }

    private void flushLog(Held.Key key) {
        Held attempt = held.get(key);
        if (attempt != null && attempt.stop != Held.Stop.OVER && attempt.running) {
            attempt.gatherLog();
            outbox.ready(attempt);
        }
    }

    private void sendProgress(Held.Key key) {
        Held attempt = held.get(key);
        if (attempt == null || attempt.stop == Held.Stop.OVER) {
            return;
        }
        long now = System.nanoTime();
        if (attempt.progressFrom - now > 0) {
            timers.set(attempt.progressFrom, () -> sendProgress(key));
            return;
        }
        AttemptRun.Progress progress = attempt.run.takeProgress();
        if (progress != null) {
            attempt.progressFrom = now + PROGRESS_INTERVAL.toNanos();
            outbox.control(WorkRequest.newBuilder()
                    .setProgress(AttemptProgress.newBuilder()
                            .setRunId(key.runId())
                            .setAttempt(key.attempt())
                            .setFraction(progress.fraction())
                            .setMessage(progress.message())));
        }
    }

    /** Somebody cancelled the run. */
    void cancel(String runId, long number) {
        Held attempt = held.get(new Held.Key(runId, number));
        if (attempt != null) {
            stop(attempt, Held.Stop.CANCELLED);
        }
    }

    void stopAll(Held.Stop why) {
        all().forEach(attempt -> stop(attempt, why));
    }

    /** Tells a processor to stop. */
    private void stop(Held attempt, Held.Stop why) {
        if (!attempt.running || why.compareTo(attempt.stop) <= 0) {
            return;
        }
        if (attempt.stop == Held.Stop.NO) {
            timers.set(System.nanoTime() + settings.cancelTimeout().toNanos(), () -> abandon(attempt));
        }
        if (why == Held.Stop.LEASE_LOST) {
            // Nobody may ever acknowledge its log: a processor that waits for that would not stop.
            attempt.gatherLog();
            attempt.run.log.close();
        }
        attempt.stop = why;
        attempt.run.cancel();
    }

    /** A processor that was told to stop has had its time. Its thread cannot be ended; it is reported without it. */
    private void abandon(Held attempt) {
        if (!attempt.running || held.get(attempt.key) != attempt) {
            return;
        }
        LOG.log(System.Logger.Level.WARNING, "a processor did not stop when told to: " + attempt.run);
        attempt.running = false;
        if (attempt.stop == Held.Stop.OVER) {
            forget(attempt);
        } else {
            attempt.run.log.close();
            report(attempt, Held.outcome(attempt.stop, null, null));
        }
    }

    void over(String runId, long number) {
        Held attempt = held.get(new Held.Key(runId, number));
        if (attempt != null) {
            over(attempt);
        }
    }

    /** An attempt is over for the server: its processor is to stop, and there is nothing more to be said about it. */
    void over(Held attempt) {
        stop(attempt, Held.Stop.OVER);
        attempt.stop = Held.Stop.OVER;
        attempt.clearQueue();
        leaveBehind(attempt);
        if (!attempt.running) {
            forget(attempt);
        }
    }

    /** The server does not count an attempt any more; its thread may still work. */
    private void leaveBehind(Held attempt) {
        if (threads.contains(attempt)) {
            ghosts.add(attempt);
        }
    }

    private void forget(Held attempt) {
        held.remove(attempt.key, attempt);
        stale++;
    }

    /** The server has acknowledged a report. */
    void reported(Held attempt, Report report) {
        held.remove(attempt.key, attempt);
        leaveBehind(attempt);
        switch (report.getOutcomeCase()) {
            case SUCCEEDED -> succeeded++;
            case FAILED -> failed++;
            case CANCELLED -> cancelled++;
            case RELEASED -> released++;
            case OUTCOME_NOT_SET -> throw new IllegalStateException("a report without an outcome was sent");
        }
    }

    WorkerSummary summary() {
        return new WorkerSummary(started, succeeded, failed, cancelled, released, stale, held.size());
    }
}
