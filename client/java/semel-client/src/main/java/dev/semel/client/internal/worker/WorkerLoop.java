// A running worker: its one loop, on the thread that runs it. Messages, processors, timers and the stop all come to
// this loop, one
// at a time. What each of them does stands in Attempts (processors), Outbox (what is sent) and Link (the stream).
package dev.semel.client.internal.worker;

import dev.semel.client.SemelException;
import dev.semel.client.Worker;
import dev.semel.client.WorkerSummary;
import dev.semel.client.internal.Core;
import dev.semel.client.internal.Refusal;
import dev.semel.client.internal.SemelExceptions;
import dev.semel.client.internal.Signature;
import dev.semel.client.internal.Times;
import dev.semel.v1.AuthNotice;
import dev.semel.v1.AuthStatus;
import dev.semel.v1.CancelAttempt;
import dev.semel.v1.Credit;
import dev.semel.v1.Drain;
import dev.semel.v1.Heartbeat;
import dev.semel.v1.Hello;
import dev.semel.v1.Opened;
import dev.semel.v1.Reauthenticate;
import dev.semel.v1.WorkRequest;
import dev.semel.v1.WorkResponse;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;

/** A worker. */
public final class WorkerLoop implements Worker, Link.Events {
    private static final System.Logger LOG = System.getLogger(WorkerLoop.class.getName());
    /** How often a worker with nothing to do looks around all the same. */
    private static final Duration LOOK = Duration.ofSeconds(1);
    /** How long a worker that has stopped its processors waits for the last acknowledgements. */
    private static final Duration FLUSH_TIMEOUT = Duration.ofSeconds(10);

    private static final Duration RENEW_AGAIN = Duration.ofSeconds(2);

    /** How far a worker is with its own end. */
    private enum Phase {
        SERVING,
        /** It takes no new work; what runs may end until the end of the phase. */
        DRAINING,
        /** Everything was told to stop; reports may be acknowledged until the end of the phase. */
        FLUSHING
    }

    private final Core core;
    private final WorkerSettings settings;
    /** Tasks for this loop. Bounded by what processors and the stream have under way. */
    private final BlockingQueue<Runnable> events = new LinkedBlockingQueue<>();

    private final Timers timers = new Timers();
    private final Lease lease = new Lease();
    private final Link link;
    private final Attempts attempts;
    private final Outbox outbox;
    private final AtomicBoolean begun = new AtomicBoolean();
    private final CountDownLatch ended = new CountDownLatch(1);
    private volatile boolean stopping;
    private Phase phase = Phase.SERVING;
    private long phaseEnd;
    /**
     * How many answers to heartbeats are to come until the server is known to have read {@code Drain}. The stream keeps its order, so
     * whatever the server assigned before it read that stands before the answer to a heartbeat that was sent after it.
     */
    private int drainUnread;
    /** How many slots the server was told of last. */
    private int credit;

    private boolean openedOnce;
    private boolean renewing;
    private Long renewAt;
    private SemelException refusedForGood;

    /** A worker that does not run yet. */
    public WorkerLoop(Core core, WorkerSettings settings) {
        this.core = core;
        this.settings = settings;
        link = new Link(core, events::add, this);
        attempts = new Attempts(core, settings, events::add, timers);
        outbox = new Outbox(core, link, timers, attempts);
        attempts.outbox(outbox);
    }

    @Override
    public String id() {
        return settings.workerId();
    }

    @Override
    public void stop() {
        stopping = true;
        events.add(() -> {});
    }

    @Override
    public void close() {
        stop();
        try {
            if (begun.get()) {
                ended.await();
            }
        } catch (InterruptedException gaveUp) {
            Thread.currentThread().interrupt();
        }
    }

    @Override
    public WorkerSummary run() {
        if (begun.getAndSet(true)) {
            throw SemelExceptions.usage("a worker runs once; build another one");
        }
        boolean interrupted = false;
        AutoCloseable onClose = () -> events.add(() -> {});
        core.adopt(onClose);
        try {
            while (!isDone() && !core.isClosed() && refusedForGood == null) {
                try {
                    turn();
                } catch (InterruptedException wishedToStop) {
                    interrupted = true;
                    stopping = true;
                }
            }
        } finally {
            core.release(onClose);
            attempts.stopAll(Held.Stop.OVER);
            link.halfClose();
            ended.countDown();
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
        if (refusedForGood != null) {
            throw refusedForGood;
        }
        return attempts.summary();
    }

    /** Waits for what happens, and does all that is due. */
    private void turn() throws InterruptedException {
        advance(System.nanoTime());
        if (isDone()) {
            return;
        }
        Runnable first = events.poll(Times.until(nextWake()).toNanos(), TimeUnit.NANOSECONDS);
        if (first == null) {
            return;
        }
        List<Runnable> batch = new ArrayList<>();
        batch.add(first);
        events.drainTo(batch);
        batch.forEach(Runnable::run);
    }

    private long nextWake() {
        long next = timers.next(Times.after(LOOK));
        next = link.next(next);
        next = link.isUp() ? Math.min(next, lease.nextOnStream()) : next;
        next = phase == Phase.SERVING ? next : Math.min(next, phaseEnd);
        return renewAt == null ? next : Math.min(next, renewAt);
    }

    private void advance(long now) {
        if (lease.justLost(now)) {
            LOG.log(System.Logger.Level.WARNING, "the leases must be presumed lost, stopping what runs");
            attempts.stopAll(Held.Stop.LEASE_LOST);
        }
        timers.run(now);
        if (stopping && phase == Phase.SERVING) {
            phase = Phase.DRAINING;
            phaseEnd = Times.after(settings.drainTimeout());
            sendDrain(now);
        }
        if (phase == Phase.DRAINING && phaseEnd - now <= 0) {
            attempts.stopAll(Held.Stop.DRAINING);
            phase = Phase.FLUSHING;
            phaseEnd = Times.after(settings.cancelTimeout().plus(FLUSH_TIMEOUT));
        }
        link.advance(now);
        if (link.isUp()) {
            tend(now);
        }
        outbox.pump();
    }

    /** Looks after the open stream. */
    private void tend(long now) {
        if (lease.isSilent(now)) {
            LOG.log(System.Logger.Level.WARNING, "the server has gone silent, reconnecting");
            lose(Duration.ZERO);
            return;
        }
        if (lease.heartbeatIsDue(now)) {
            outbox.resendOverdue(now);
            lease.sent(now);
            outbox.control(WorkRequest.newBuilder().setHeartbeat(Heartbeat.getDefaultInstance()));
        }
        if (renewAt != null && renewAt - now <= 0) {
            renew();
        }
        int wanted = attempts.slots();
        if (phase == Phase.SERVING && wanted != credit) {
            credit = wanted;
            outbox.control(
                    WorkRequest.newBuilder().setCredit(Credit.newBuilder().setSlots(wanted)));
        }
    }

    private boolean isDone() {
        return switch (phase) {
            case SERVING -> false;
            // While dialling the server may have read `Hello` and given work.
            case DRAINING -> attempts.isEmpty() && !link.isDialing() && (!link.isUp() || drainUnread == 0);
            case FLUSHING -> attempts.isEmpty() || phaseEnd - System.nanoTime() <= 0;
        };
    }

    /** Tells the server that no more work is wanted, with a heartbeat behind it whose answer shows that it was read. */
    private void sendDrain(long now) {
        if (link.isUp()) {
            outbox.control(WorkRequest.newBuilder().setDrain(Drain.getDefaultInstance()));
            drainUnread = lease.sent(now);
            outbox.control(WorkRequest.newBuilder().setHeartbeat(Heartbeat.getDefaultInstance()));
        }
    }

    @Override
    public Hello hello() {
        credit = phase == Phase.SERVING ? attempts.slots() : 0;
        return Hello.newBuilder()
                .setApp(settings.app())
                .setWorkerId(settings.workerId())
                .setWorkerName(settings.name())
                .addAllProcessors(settings.processors().keySet())
                .setSlots(credit)
                .addAllHeld(attempts.refs())
                .build();
    }

    @Override
    public void opened(WorkResponse first, long helloAt) {
        openedOnce = true;
        Opened opened = first.getOpened();
        long now = System.nanoTime();
        lease.opened(opened, helloAt, now);
        renewing = false;
        renewAt = link.signature().renewAt();
        opened.getStaleList().forEach(stale -> attempts.over(stale.getRunId(), stale.getAttempt()));
        outbox.opened();
        if (phase != Phase.SERVING) {
            sendDrain(now);
        }
        settings.onConnected().run();
    }

    /**
     * A worker waits for a server that is not there; it gives up when a Semel server refuses it for good, or when at its very first
     * try something answers that will never be one.
     */
    @Override
    public void notOpened(SemelException error) {
        boolean lasting = !error.mayRetry() && error.kind() != SemelException.Kind.TRANSPORT;
        if (lasting && (error.kind() == SemelException.Kind.REFUSED || !openedOnce)) {
            refusedForGood = error;
            return;
        }
        LOG.log(System.Logger.Level.WARNING, "cannot open the stream yet: " + error);
        lose(error.retryAfter().orElse(Duration.ZERO));
    }

    @Override
    public void lost(Refusal refusal) {
        LOG.log(System.Logger.Level.INFO, "the stream has ended, reconnecting: " + refusal.message());
        lose(Duration.ZERO);
    }

    private void lose(Duration atLeast) {
        link.lose(atLeast);
        outbox.lost();
        lease.closed();
        renewAt = null;
    }

    @Override
    public void message(WorkResponse message) {
        lease.heard(System.nanoTime());
        link.worked();
        core.clock().learn(message.getHeader(), 0);
        switch (message.getKindCase()) {
            case ASSIGNMENT -> attempts.assigned(message.getAssignment(), phase == Phase.SERVING);
            case ACK -> outbox.acknowledged(message.getHeader().getRequestId(), message.getAck());
            case CANCEL_ATTEMPT -> cancel(message.getCancelAttempt());
            case AUTH_NOTICE -> notice(message.getAuthNotice());
            case GOING_AWAY -> lose(Times.of(message.getGoingAway().getReconnectAfter()));
            case HEARTBEAT_ACK -> {
                lease.answered();
                drainUnread = Math.max(0, drainUnread - 1);
            }
            // Messages that this worker does not know yet, or does not expect.
            case OPENED, KIND_NOT_SET -> LOG.log(System.Logger.Level.DEBUG, "a message that is not known here");
        }
    }

    private void cancel(CancelAttempt cancel) {
        switch (cancel.getReason()) {
            case REASON_TIMED_OUT, REASON_LEASE_STALE -> attempts.over(cancel.getRunId(), cancel.getAttempt());
            default -> attempts.cancel(cancel.getRunId(), cancel.getAttempt());
        }
    }

    /** Tokens that live shorter than the server's warning time are renewed in their own time, or it would be done in a circle. */
    private void notice(AuthNotice notice) {
        if (notice.getAuth().getStatus() != AuthStatus.AUTH_STATUS_EXPIRING) {
            LOG.log(System.Logger.Level.WARNING, "the credentials of the stream are refused");
        } else if (!core.auth().canRefresh()) {
            LOG.log(System.Logger.Level.WARNING, "the credentials end soon and cannot be renewed");
        } else {
            long now = System.nanoTime();
            Long due = link.signature().renewAt();
            renewAt = due != null && due - now > 0 ? due : Long.valueOf(now);
        }
    }

    private void renew() {
        renewAt = null;
        if (renewing || !core.auth().canRefresh()) {
            return;
        }
        renewing = true;
        Signature former = link.signature();
        core.auth()
                .refresh(former.generation())
                .whenComplete((fresh, error) -> events.add(() -> {
                    renewing = false;
                    if (!link.isUp() || link.signature() != former) {
                        return;
                    }
                    if (error != null) {
                        renewAt = Times.after(RENEW_AGAIN);
                        return;
                    }
                    link.signature(fresh);
                    renewAt = fresh.renewAt();
                    outbox.control(WorkRequest.newBuilder()
                            .setReauthenticate(Reauthenticate.newBuilder().setToken(fresh.token())));
                }));
    }
}
