// Keeps a watch going over as many streams as it takes, on the thread of the program that asks for the next item. What
// a message
// means stands in Course, what follows from a failure in Reconnect.
package dev.semel.client.internal.watch;

import dev.semel.client.RetryPolicy;
import dev.semel.client.SemelException;
import dev.semel.client.Watch;
import dev.semel.client.WatchItem;
import dev.semel.client.WatchOptions;
import dev.semel.client.internal.Core;
import dev.semel.client.internal.Refusal;
import dev.semel.client.internal.Retry;
import dev.semel.client.internal.SemelExceptions;
import dev.semel.client.internal.Signature;
import dev.semel.client.internal.Times;
import dev.semel.client.internal.Transport;
import dev.semel.client.internal.Wire;
import dev.semel.v1.AuthNotice;
import dev.semel.v1.AuthStatus;
import dev.semel.v1.RequestHeader;
import dev.semel.v1.WatchOpened;
import dev.semel.v1.WatchRequest;
import dev.semel.v1.WatchResponse;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** A watch under way. */
public final class WatchRun implements Watch {
    private static final System.Logger LOG = System.getLogger(WatchRun.class.getName());
    /** How long a stream may take to open, a fresh token included. */
    private static final Duration OPEN_TIMEOUT = Duration.ofSeconds(10);
    /** A stream that says nothing for so many of its own intervals is dead, whatever the connection looks like. */
    private static final int SILENT_INTERVALS = 3;
    /** The interval of a server that does not tell it. */
    private static final Duration INTERVAL_UNSTATED = Duration.ofSeconds(30);

    private static final Duration RENEW_AGAIN = Duration.ofSeconds(2);
    /** How often it is looked whether something is due, without any message. */
    private static final Duration LOOK = Duration.ofSeconds(1);

    private final Core core;
    private final Course course;
    private final RetryPolicy pace;
    private final Deque<WatchItem> ready = new ArrayDeque<>();
    private final CountDownLatch closing = new CountDownLatch(1);
    private volatile ManagedChannel channel;
    private volatile WatchStream stream;
    private Signature signature;
    private String requestId = "";
    private Duration silence = INTERVAL_UNSTATED;
    private long openFrom = System.nanoTime();
    /** Until when the first stream has to be open; null once it was. */
    private Long patience;
    /** The generation of the credentials that were refused last; null if none were. */
    private Long refused;
    /** When fresh credentials are needed; null for never. */
    private Long renewAt;
    /** Getting them while the stream goes on: it cannot take them, so another one is opened when they are there. */
    private CompletableFuture<Signature> renewing;

    private int failures;
    private int faults;
    private boolean refreshed;
    private boolean ended;

    private WatchRun(Core core, WatchOptions options) {
        this.core = core;
        this.course = new Course(options);
        this.pace = Reconnect.pace(core.settings().retryPolicy());
    }

    /** A watch that opens its first stream when the first item is asked for. */
    public static WatchRun start(Core core, WatchOptions options) {
        WatchRun run = new WatchRun(core, options);
        core.adopt(run);
        return run;
    }

    @Override
    public boolean hasNext() {
        try {
            while (ready.isEmpty() && !ended) {
                if (isClosed()) {
                    end();
                } else if (stream != null) {
                    read();
                } else if (await(Times.until(openFrom))) {
                    open();
                }
            }
        } catch (InterruptedException gaveUp) {
            Thread.currentThread().interrupt();
            throw SemelExceptions.cancelled("the caller gave up", requestId, failures);
        }
        return !ready.isEmpty();
    }

    @Override
    public WatchItem next() {
        if (!hasNext()) {
            throw new NoSuchElementException();
        }
        return ready.remove();
    }

    private boolean isClosed() {
        return closing.getCount() == 0;
    }

    /** Waits; false if it was closed meanwhile. */
    private boolean await(Duration wait) throws InterruptedException {
        return !closing.await(wait.toNanos(), TimeUnit.NANOSECONDS);
    }

    private void open() throws InterruptedException {
        if (patience == null && failures == 0 && requestId.isEmpty()) {
            patience = Times.after(core.settings().overallTimeout());
        }
        long deadline = Times.after(OPEN_TIMEOUT);
        if (!sign(deadline)) {
            return;
        }
        requestId = core.mint().toString();
        if (channel == null) {
            channel = core.transport().newChannel();
        }
        Transport.hurry(channel);
        stream = new WatchStream(channel, signature, complete(course.request()));
        WatchStream.Next first = WatchStream.NOTHING;
        while (first == WatchStream.NOTHING
                && !isClosed()
                && Times.until(deadline).toNanos() > 0) {
            first = stream.next(Times.until(deadline));
        }
        if (first.ended() != null) {
            failed(first.ended());
        } else if (first.message() == null) {
            failed(noAnswer(Status.Code.DEADLINE_EXCEEDED, "the stream did not open in time"));
        } else {
            opened(first.message());
        }
    }

    /** Gets the credentials for a stream. False if there are none, and what follows from that is settled. */
    private boolean sign(long deadline) throws InterruptedException {
        var signing = refused == null ? core.auth().sign() : core.auth().refresh(refused);
        try {
            signature = signing.get(Times.until(deadline).toNanos(), TimeUnit.NANOSECONDS);
            return true;
        } catch (TimeoutException slow) {
            failed(noAnswer(Status.Code.DEADLINE_EXCEEDED, "no token came in time"));
        } catch (ExecutionException unsigned) {
            if (isClosed()) {
                return false;
            }
            failures++;
            SemelException error = SemelExceptions.ofCall(unsigned, requestId);
            boolean lasting = !error.mayRetry() && error.kind() != SemelException.Kind.TRANSPORT;
            Duration backoff = Retry.backoff(pace, failures, unit());
            Duration wait = error.retryAfter().orElse(Duration.ZERO).plus(backoff);
            if (lasting || pace.attemptsMax() <= 1) {
                throw endWith(error);
            }
            again(wait, error);
        }
        return false;
    }

    /** The first message has to say that the stream is open, with a header that shows that a Semel server wrote it. */
    private void opened(WatchResponse first) {
        if (!first.hasOpened() || !Wire.spoke(first.getHeader())) {
            String why = "the stream does not begin as that of a Semel server; check the address";
            failed(Refusal.local(Status.Code.OK, why, Refusal.Origin.OTHER));
            return;
        }
        core.clock().learn(first.getHeader(), 0);
        WatchOpened opened = first.getOpened();
        List<WatchItem> items = course.open(opened, first.getResumeToken());
        if (items == null) {
            failed(Refusal.local(Status.Code.OK, "the stream opens without a resume token", Refusal.Origin.OTHER));
            return;
        }
        patience = null;
        refused = null;
        refreshed = false;
        renewAt = signature.renewAt();
        renewing = null;
        Duration interval = Times.of(opened.getProgressInterval());
        silence = (interval.isZero() ? INTERVAL_UNSTATED : interval).multipliedBy(SILENT_INTERVALS);
        ready.addAll(items);
    }

    private WatchRequest complete(WatchRequest request) {
        WatchRequest.Builder complete = request.toBuilder()
                .setHeader(RequestHeader.newBuilder().setRequestId(requestId).setClient(core.clientInfo()));
        if (request.getApp().isEmpty() && request.getAppsCount() == 0) {
            complete.setApp(core.settings().app());
        }
        return complete.build();
    }

    /** Waits for the next message, and deals with it. */
    private void read() throws InterruptedException {
        Duration left = silence.minus(stream.silentFor());
        WatchStream.Next next = stream.next(Times.min(left.isNegative() ? Duration.ZERO : left, LOOK));
        if (next.message() != null) {
            take(next.message());
        } else if (next.ended() != null) {
            failed(next.ended());
        } else if (stream.silentFor().compareTo(silence) > 0) {
            failed(noAnswer(Status.Code.UNAVAILABLE, "the stream has gone silent"));
        }
        if (stream != null) {
            renew();
        }
    }

    private void take(WatchResponse message) {
        if (message.hasHeader()) {
            core.clock().learn(message.getHeader(), 0);
        }
        ready.addAll(course.take(message));
        switch (message.getKindCase()) {
            case SNAPSHOT, SNAPSHOT_END, EVENTS, PROGRESS -> {
                failures = 0;
                faults = 0;
            }
            case AUTH_NOTICE -> notice(message.getAuthNotice());
            case GOING_AWAY -> {
                failures++;
                letGo();
                Duration after = Times.of(message.getGoingAway().getReconnectAfter());
                openFrom = Times.after(after.plus(Retry.backoff(pace, failures, unit())));
            }
            case OPENED, KIND_NOT_SET -> LOG.log(System.Logger.Level.DEBUG, "a message that is not known here");
        }
    }

    /** What the server says of the credentials. Those that can be renewed are, and nobody has to know. */
    private void notice(AuthNotice notice) {
        if (notice.getAuth().getStatus() != AuthStatus.AUTH_STATUS_EXPIRING) {
            return; // They have ended: the status that follows says it.
        }
        if (!core.auth().canRefresh()) {
            var ends = notice.getAuth().hasExpireTime()
                    ? Optional.of(Times.of(notice.getAuth().getExpireTime()))
                    : Optional.<java.time.Instant>empty();
            ready.add(course.behindAll(new WatchItem.CredentialsExpiring(ends)));
            return;
        }
        // Those that live shorter than its warning time are renewed in their own time, or it would be done in a circle.
        long now = System.nanoTime();
        boolean fresh = signature.renewAt() != null && signature.renewAt() - now > 0;
        renewAt = fresh ? signature.renewAt() : Long.valueOf(now);
    }

    /** Gets fresh credentials when they are due, and goes on over another stream when they are there. */
    private void renew() {
        if (renewing == null && renewAt != null && renewAt - System.nanoTime() <= 0) {
            renewAt = null;
            renewing = core.auth().refresh(signature.generation());
        }
        if (renewing == null || !renewing.isDone()) {
            return;
        }
        if (renewing.isCompletedExceptionally()) {
            renewing = null;
            renewAt = Times.after(RENEW_AGAIN);
        } else if (course.isAtToken()) {
            renewing = null;
            letGo();
            openFrom = System.nanoTime();
        }
    }

    /** There is no stream any more. Prepares the next one, or ends the watch. */
    private void failed(Refusal refusal) {
        letGo();
        if (refusal.origin() == Refusal.Origin.NO_ANSWER) {
            // The connection may be dead without knowing it.
            dropChannel();
        }
        if (isClosed()) {
            return;
        }
        if (refusal.header() != null) {
            core.clock().learn(refusal.header(), 0);
        }
        failures++;
        if (Retry.classify(refusal).kind() == Retry.Kind.FAULT) {
            faults++;
        }
        var troubles = new Reconnect.Troubles(
                failures, faults, core.auth().canRefresh(), refreshed, course.bridges(), course.hasOwnToken());
        Reconnect.Next next = Reconnect.decide(refusal, troubles, pace, unit());
        SemelException error = refusal.toException(requestId, failures);
        LOG.log(System.Logger.Level.DEBUG, () -> "a watch has no stream: " + error);
        switch (next.action()) {
            case END -> throw endWith(error);
            case AGAIN -> again(next.delay(), error);
            case REFRESH -> {
                refused = signature.generation();
                refreshed = true;
                later(next.delay(), error);
            }
            case BRIDGE -> {
                course.bridge(error.oldestRevision());
                later(next.delay(), error);
            }
        }
    }

    private void again(Duration wait, SemelException error) {
        later(wait, error);
        ready.addAll(course.lose(error));
    }

    private void later(Duration wait, SemelException error) {
        openFrom = Times.after(wait);
        if (patience != null && openFrom - patience >= 0) {
            throw endWith(error);
        }
    }

    private SemelException endWith(SemelException error) {
        end();
        return error;
    }

    private void end() {
        ended = true;
        letGo();
        dropChannel();
        core.release(this);
    }

    private void letGo() {
        if (stream != null) {
            stream.cancel();
            stream = null;
        }
    }

    private void dropChannel() {
        if (channel != null) {
            channel.shutdownNow();
            channel = null;
        }
    }

    @Override
    public void close() {
        closing.countDown();
        core.release(this);
        WatchStream present = stream;
        if (present != null) {
            present.cancel();
            present.wake();
        }
        ManagedChannel connection = channel;
        if (connection != null) {
            connection.shutdownNow();
        }
    }

    private static Refusal noAnswer(Status.Code code, String message) {
        return Refusal.local(code, message, Refusal.Origin.NO_ANSWER);
    }

    private static double unit() {
        return ThreadLocalRandom.current().nextDouble();
    }
}
