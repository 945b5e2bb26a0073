// Brings runs to the server: over a stream where that is to be had, else by calls of their own, always under the same
// ids. All
// of its state is owned by one thread; streams, calls and the source of the runs speak to it by events.
package dev.semel.client.internal.submit;

import dev.semel.client.internal.Core;
import dev.semel.client.internal.DuplexStream;
import dev.semel.client.internal.Refusal;
import dev.semel.client.internal.Retry;
import dev.semel.client.internal.SemelExceptions;
import dev.semel.client.internal.Signature;
import dev.semel.client.internal.Times;
import dev.semel.client.internal.Transport;
import dev.semel.v1.JobServiceGrpc;
import dev.semel.v1.RunJobResponse;
import dev.semel.v1.SubmitRunsRequest;
import dev.semel.v1.SubmitRunsResponse;
import io.grpc.Status;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.Deque;
import java.util.List;
import java.util.PriorityQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;

/** Brings runs to the server. */
final class Loop implements Session.Results {
    private static final System.Logger LOG = System.getLogger(Loop.class.getName());
    /** Runs without an answer, beyond which nothing more is sent. */
    static final int OUTSTANDING_MAX = 4096;
    /** Calls of their own at a time. */
    private static final int CALLS_MAX = 64;
    /** How long the stream may take to open at most. */
    private static final Duration OPEN_TIMEOUT = Duration.ofSeconds(5);
    /** How often it is looked whether something is due, without any event. */
    private static final Duration LOOK = Duration.ofMillis(200);

    private static final Duration RENEW_AGAIN = Duration.ofSeconds(2);

    private record Delayed(long due, Item item) {}

    private final Core core;
    /** Tasks for the thread of this loop. Bounded by what is outstanding. */
    private final BlockingQueue<Runnable> events = new LinkedBlockingQueue<>();

    private final Deque<Item> waiting = new ArrayDeque<>();
    private final PriorityQueue<Delayed> delayed = new PriorityQueue<>(Comparator.comparingLong(Delayed::due));
    private final Off off = new Off();
    /** The present stream; null if there is none. */
    private Session session;
    /** Whether credentials are being got, for a stream or for runs that were refused for them. */
    private boolean signing;
    /** Runs that wait for fresh credentials. */
    private final List<Item> unsigned = new ArrayList<>();

    /** Of the credentials of the last stream. */
    private long formerGeneration;

    private int calls;
    private int failures;
    private long openFrom = System.nanoTime();
    private boolean sourceEnded;
    private volatile boolean closed;

    Loop(Core core) {
        this.core = core;
    }

    /** A further run; to be called by the thread that reads the source. */
    void offer(Item item) {
        post(() -> waiting.add(item));
    }

    /** There are no further runs. */
    void endOfSource() {
        post(() -> sourceEnded = true);
    }

    /** Ends the loop, whatever is under way. */
    void close() {
        closed = true;
        post(() -> {});
    }

    private void post(Runnable event) {
        events.add(event);
    }

    /** Runs until all runs are answered, or it is closed. */
    void run() {
        List<Runnable> batch = new ArrayList<>();
        try {
            while (!closed && !isDone()) {
                Runnable first = events.poll(untilDue().toNanos(), TimeUnit.NANOSECONDS);
                if (first != null) {
                    batch.add(first);
                    events.drainTo(batch);
                    batch.forEach(Runnable::run);
                    batch.clear();
                }
                advance();
            }
        } catch (InterruptedException ended) {
            Thread.currentThread().interrupt();
        } finally {
            if (session != null && isDone()) {
                session.stream().halfClose();
            } else if (session != null) {
                session.stream().cancel("the caller gave up");
            }
        }
    }

    private boolean isDone() {
        boolean nothing = waiting.isEmpty() && delayed.isEmpty() && unsigned.isEmpty() && calls == 0;
        return sourceEnded
                && nothing
                && (session == null || session.outstanding().isEmpty());
    }

    private Duration untilDue() {
        long now = System.nanoTime();
        long due = now + LOOK.toNanos();
        if (!delayed.isEmpty()) {
            due = Math.min(due, delayed.peek().due);
        }
        if (!waiting.isEmpty() && session == null) {
            due = Math.min(due, Math.max(openFrom, off.until()));
        }
        return Duration.ofNanos(Math.max(0, due - now));
    }

    private void advance() {
        long now = System.nanoTime();
        while (!delayed.isEmpty() && delayed.peek().due - now <= 0) {
            waiting.add(delayed.remove().item);
        }
        if (session != null) {
            look(now);
        }
        if (waiting.isEmpty()) {
            return;
        }
        if (session != null) {
            sendAll();
        } else if (off.isOff()) {
            while (calls < CALLS_MAX && !waiting.isEmpty()) {
                call(waiting.remove());
            }
        } else if (openFrom - now <= 0) {
            open();
        }
    }

    /** Looks after the stream. */
    private void look(long now) {
        Duration stall = core.settings().requestTimeout();
        Duration patience = session.isOpen() ? stall : Times.min(stall, OPEN_TIMEOUT);
        if (session.stillFor().compareTo(patience) > 0) {
            broken(session.isOpen() ? "nothing comes back" : "it did not open in time");
        } else if (session.renewAt() != null && session.renewAt() - now <= 0) {
            session.renewAt(null);
            renew();
        }
    }

    private void sendAll() {
        while (session.canSend() && !waiting.isEmpty() && session.outstanding().size() < OUTSTANDING_MAX) {
            Signature present = core.auth().sign().getNow(null);
            session.send(waiting, present);
        }
    }

    private void open() {
        if (signing) {
            return;
        }
        signing = true;
        core.auth()
                .sign()
                .whenComplete((signature, error) -> post(() -> {
                    signing = false;
                    if (error != null) {
                        failWaiting(error);
                    } else {
                        Transport.hurry(core.transport().channel());
                        var stream = new DuplexStream<>(
                                core.transport(),
                                JobServiceGrpc.getSubmitRunsMethod(),
                                signature,
                                event -> post(() -> on(event)));
                        session = new Session(core, signature, stream);
                    }
                }));
    }

    private void on(DuplexStream.Event<SubmitRunsRequest, SubmitRunsResponse> event) {
        if (session == null || event.stream() != session.stream()) {
            return; // Of a stream that was given up.
        }
        if (event.message() != null) {
            String wrong = session.hear(event.message(), this);
            if (wrong != null) {
                broken(wrong);
            } else {
                event.stream().more();
            }
        } else if (event.ended() != null) {
            ended(event.ended());
        }
    }

    @Override
    public void answered(Item item, RunJobResponse answer) {
        failures = 0;
        off.forgive();
        item.succeed(answer);
    }

    @Override
    public void refused(Item item, Refusal refusal) {
        Retry.Decision decision = item.call.decide(refusal);
        switch (decision.action()) {
            case GIVE_UP -> item.fail(item.call.giveUp(refusal));
            case AGAIN -> {
                Duration wait = item.call.pause(decision.delay());
                if (wait.compareTo(item.call.left()) >= 0) {
                    item.fail(item.call.giveUp(refusal));
                } else {
                    delayed.add(new Delayed(Times.after(wait), item));
                }
            }
            case REFRESH -> {
                unsigned.add(item);
                renew();
            }
            case MINT_ANEW -> {
                item.call.mintAnew();
                waiting.add(item);
            }
        }
    }

    /** Gets fresh credentials in place of those of the stream; whoever waits for them goes on then. */
    private void renew() {
        if (signing) {
            return;
        }
        signing = true;
        long generation =
                session == null ? formerGeneration : session.signature().generation();
        core.auth()
                .refresh(generation)
                .whenComplete((fresh, error) -> post(() -> {
                    signing = false;
                    if (error == null) {
                        waiting.addAll(unsigned);
                    } else {
                        unsigned.forEach(item -> item.fail(SemelExceptions.ofCall(error, item.call.requestId())));
                    }
                    unsigned.clear();
                    if (session != null && error == null) {
                        session.reauthenticate(fresh);
                    } else if (session != null) {
                        session.renewAt(Times.after(RENEW_AGAIN));
                    }
                }));
    }

    /** The other side ended the stream, or it was lost. */
    private void ended(Refusal refusal) {
        Session former = session;
        session = null;
        formerGeneration = former.signature().generation();
        if (refusal.header() != null) {
            core.clock().learn(refusal.header(), 0);
        }
        Deque<Item> open = former.outstanding();
        if (former.isLeaving()) {
            // It said so, and whatever has no answer was not taken or is under the same id.
            open.forEach(item -> item.call.leaveOpen());
            again(open);
            failures++;
            openFrom = Times.after(former.comeBackAfter().plus(backoff()));
            return;
        }
        LOG.log(System.Logger.Level.DEBUG, () -> "the stream for runs has ended: " + refusal.message());
        Retry.Class judged = Retry.classify(refusal);
        boolean spokenFor = refusal.origin() == Refusal.Origin.SERVER || refusal.origin() == Refusal.Origin.NOT_SENT;
        if (judged.kind() == Retry.Kind.CREDENTIALS) {
            refuseAll(open, former, refusal);
        } else if (judged.isHopeful() && (former.hasServed() || spokenFor)) {
            failures++;
            openFrom = Times.after(judged.delay().plus(backoff()));
            refuseAllAtOnce(open, former, refusal);
        } else {
            doWithout(open, refusal.code() == Status.Code.UNIMPLEMENTED);
        }
    }

    /** What comes over the stream is no answer of a Semel server, or nothing comes at all. */
    private void broken(String why) {
        LOG.log(System.Logger.Level.WARNING, "the stream for runs is broken (" + why + "); runs go on one by one");
        Session former = session;
        session = null;
        former.stream().cancel(why);
        doWithout(former.outstanding(), false);
    }

    /** A refusal of the stream is one of each run that it stood for. */
    private void refuseAll(Deque<Item> open, Session former, Refusal refusal) {
        for (Item item : affected(open, former)) {
            refused(item, refusal);
        }
    }

    /** The same where all come back together, when the stream does. */
    private void refuseAllAtOnce(Deque<Item> open, Session former, Refusal refusal) {
        Deque<Item> hopeful = new ArrayDeque<>();
        for (Item item : affected(open, former)) {
            Retry.Decision decision = item.call.decide(refusal);
            boolean goesOn = decision.action() == Retry.Action.AGAIN
                    && Times.until(openFrom).compareTo(item.call.left()) < 0;
            if (goesOn) {
                hopeful.add(item);
            } else {
                item.fail(item.call.giveUp(refusal));
            }
        }
        again(hopeful);
    }

    /** The runs that a stream stood for: those that were sent, or if it never opened, those for which it was to be. */
    private List<Item> affected(Deque<Item> open, Session former) {
        List<Item> affected = new ArrayList<>(open);
        if (!former.isOpen()) {
            affected.addAll(waiting);
            waiting.clear();
            affected.forEach(item -> item.call.begin());
        }
        return affected;
    }

    /** Runs go by calls of their own for a while. */
    private void doWithout(Deque<Item> open, boolean unknown) {
        if (unknown) {
            off.beginUnknown();
        } else {
            off.begin();
        }
        open.forEach(item -> {
            item.call.leaveOpen();
            call(item);
        });
    }

    private void call(Item item) {
        calls++;
        item.call
                .run()
                .whenComplete((answer, error) -> post(() -> {
                    calls--;
                    item.settle(answer, error == null ? null : SemelExceptions.of(error));
                }));
    }

    private void again(Deque<Item> items) {
        while (!items.isEmpty()) {
            waiting.addFirst(items.removeLast());
        }
    }

    private void failWaiting(Throwable error) {
        for (Item item : waiting) {
            item.fail(SemelExceptions.ofCall(error, item.call.requestId()));
        }
        waiting.clear();
    }

    private Duration backoff() {
        double unit = ThreadLocalRandom.current().nextDouble();
        return Retry.backoff(core.settings().retryPolicy(), failures, unit);
    }
}
