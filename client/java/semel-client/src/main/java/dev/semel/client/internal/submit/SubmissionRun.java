// The results of many runs as the client gives them: it owns the order, the bound, and the thread that reads the
// source.
package dev.semel.client.internal.submit;

import dev.semel.client.CallSettings;
import dev.semel.client.SemelException;
import dev.semel.client.SubmissionResult;
import dev.semel.client.Submissions;
import dev.semel.client.internal.Core;
import dev.semel.client.internal.LogicalCall;
import dev.semel.client.internal.SemelExceptions;
import dev.semel.v1.JobServiceGrpc;
import dev.semel.v1.RunJobRequest;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.Semaphore;

/** The results of many runs. */
public final class SubmissionRun implements Submissions {
    private static final String CLOSED = "the submission was closed";

    private final Core core;
    private final Iterator<? extends RunJobRequest> source;
    private final Loop loop;
    /** What was taken from the source and given to nobody yet, in order. Bounded by the room. */
    private final BlockingQueue<Object> taken = new LinkedBlockingQueue<>();

    private final Semaphore room = new Semaphore(Loop.OUTSTANDING_MAX);
    private volatile Thread reader;
    private volatile boolean closed;
    /** What a result is waited for; null if nothing is. */
    private volatile Item awaited;

    private SubmissionResult next;
    private boolean ended;

    /** What the source ended with; null for an end without a fault. */
    private record End(RuntimeException fault) {}

    private SubmissionRun(Core core, Iterator<? extends RunJobRequest> source) {
        this.core = core;
        this.source = source;
        this.loop = new Loop(core);
    }

    /** Begins to submit. */
    public static SubmissionRun start(Core core, Iterator<? extends RunJobRequest> source) {
        SubmissionRun run = new SubmissionRun(core, source);
        core.adopt(run);
        core.threads().execute(run.loop::run);
        core.threads().execute(run::read);
        return run;
    }

    private void read() {
        reader = Thread.currentThread();
        RuntimeException fault = null;
        try {
            while (!closed && source.hasNext()) {
                room.acquire();
                RunJobRequest request = source.next();
                take(request);
            }
        } catch (InterruptedException ended) {
            fault = SemelExceptions.cancelled(CLOSED, "", 0);
        } catch (RuntimeException failed) {
            fault = failed;
        }
        reader = null;
        Thread.interrupted();
        taken.add(new End(fault));
        loop.endOfSource();
    }

    private void take(RunJobRequest request) {
        var call = LogicalCall.of(core, JobServiceGrpc.getRunJobMethod(), request, CallSettings.none());
        Item item = new Item(call);
        taken.add(item);
        loop.offer(item);
    }

    @Override
    public boolean hasNext() {
        if (next == null && !ended) {
            next = await();
        }
        return next != null;
    }

    @Override
    public SubmissionResult next() {
        if (!hasNext()) {
            throw new NoSuchElementException();
        }
        SubmissionResult given = next;
        next = null;
        room.release();
        return given;
    }

    private SubmissionResult await() {
        if (closed) {
            ended = true;
            throw cancelled(CLOSED);
        }
        try {
            Object head = taken.take();
            if (head instanceof Item item) {
                awaited = item;
                if (closed) {
                    cancel(item);
                }
                return item.result().get();
            }
            ended = true;
            core.release(this);
            if (closed) {
                throw cancelled(CLOSED); // Whatever the source makes of its interrupt.
            }
            if (((End) head).fault != null) {
                throw ((End) head).fault;
            }
            return null;
        } catch (InterruptedException gaveUp) {
            Thread.currentThread().interrupt();
            close();
            throw cancelled("the caller gave up");
        } catch (ExecutionException failed) {
            throw SemelExceptions.of(failed);
        }
    }

    private static SemelException cancelled(String why) {
        return SemelExceptions.cancelled(why, "", 0);
    }

    @Override
    public void close() {
        closed = true;
        core.release(this);
        loop.close();
        Item present = awaited;
        if (present != null) {
            cancel(present);
        }
        for (Object rest : taken) {
            if (rest instanceof Item item) {
                cancel(item);
            }
        }
        taken.add(new End(cancelled(CLOSED)));
        Thread reading = reader;
        if (reading != null) {
            reading.interrupt();
        }
    }

    /** Nobody brings it any further; has no effect where there is a result. */
    private static void cancel(Item item) {
        item.fail(SemelExceptions.cancelled(CLOSED, item.call.requestId(), item.call.attempts()));
    }
}
