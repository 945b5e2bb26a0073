// What is sent, in which order, and what is made of its acknowledgement. A message that changes something keeps its
// request id until
// it is acknowledged, over any number of streams.
package dev.semel.client.internal.worker;

import dev.semel.client.internal.Core;
import dev.semel.client.internal.Refusal;
import dev.semel.client.internal.Retry;
import dev.semel.v1.Ack;
import dev.semel.v1.Log;
import dev.semel.v1.RequestHeader;
import dev.semel.v1.WorkRequest;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.ThreadLocalRandom;

/** What a worker sends. All of it runs on the worker's thread. */
final class Outbox {
    private static final System.Logger LOG = System.getLogger(Outbox.class.getName());
    /** After how long without an acknowledgement a message is sent again on the same stream. */
    private static final Duration ACK_TIMEOUT = Duration.ofSeconds(30);
    /** How many messages that are not sent again may wait to be sent; past that, progress is left out. */
    private static final int CONTROL_MAX = 1024;

    private final Core core;
    private final Link link;
    private final Timers timers;
    private final Attempts attempts;
    /** What is sent before all else, and is not sent again. */
    private final Deque<WorkRequest> control = new ArrayDeque<>();
    /** The attempts that may have something to send. */
    private final Deque<Held> ready = new ArrayDeque<>();
    /** What waits for which acknowledgement on the present stream. */
    private final Map<String, Held> acks = new HashMap<>();

    Outbox(Core core, Link link, Timers timers, Attempts attempts) {
        this.core = core;
        this.link = link;
        this.timers = timers;
        this.attempts = attempts;
    }

    /** Puts a message in front that is of use only on the present stream. */
    void control(WorkRequest.Builder message) {
        boolean room = control.size() < CONTROL_MAX || !message.hasProgress();
        if (link.isUp() && room) {
            control.add(message.setHeader(RequestHeader.getDefaultInstance()).build());
        }
    }

    /** An attempt may have something to send. */
    void ready(Held held) {
        ready.add(held);
    }

    /** A stream is open: everything that has no acknowledgement is to be sent. */
    void opened() {
        ready.clear();
        ready.addAll(attempts.all());
    }

    /** There is no stream any more: what was under way on it is sent again. */
    void lost() {
        control.clear();
        acks.clear();
        attempts.all().forEach(held -> held.inFlight = false);
    }

    /** Sends as much as the stream takes. */
    void pump() {
        while (link.canSend()) {
            WorkRequest message = control.isEmpty() ? next() : control.remove();
            if (message == null) {
                return;
            }
            link.send(message);
        }
    }

    private WorkRequest next() {
        while (!ready.isEmpty()) {
            Held held = ready.remove();
            Held.Outgoing head = held.queue.peek();
            if (held.inFlight || head == null) {
                continue;
            }
            if (head.notBefore != null && head.notBefore - System.nanoTime() > 0) {
                timers.set(head.notBefore, () -> ready(held));
                continue;
            }
            if (head.requestId == null) {
                head.requestId = core.mint().toString();
            }
            head.sends++;
            head.sentAt = System.nanoTime();
            held.inFlight = true;
            acks.put(head.requestId, held);
            return message(held, head);
        }
        return null;
    }

    private static WorkRequest message(Held held, Held.Outgoing outgoing) {
        WorkRequest.Builder message =
                WorkRequest.newBuilder().setHeader(RequestHeader.newBuilder().setRequestId(outgoing.requestId));
        if (outgoing.report != null) {
            return message.setReport(outgoing.report).build();
        }
        return message.setLog(Log.newBuilder()
                        .setRunId(held.key.runId())
                        .setAttempt(held.key.attempt())
                        .setStream(outgoing.chunk.stream())
                        .setData(outgoing.chunk.data()))
                .build();
    }

    /** Sends again what should have been acknowledged long ago. */
    void resendOverdue(long now) {
        for (Held held : attempts.all()) {
            Held.Outgoing head = held.queue.peek();
            if (held.inFlight && head != null && now - head.sentAt > ACK_TIMEOUT.toNanos()) {
                held.inFlight = false;
                ready(held);
            }
        }
    }

    void acknowledged(String requestId, Ack ack) {
        Held held = acks.remove(requestId);
        if (held == null || !held.inFlight || held.queue.isEmpty()) {
            return; // Nothing waits for it any more.
        }
        held.inFlight = false;
        if (ack.hasRefused()) {
            refused(held, held.queue.peek(), Refusal.ofStatus(ack.getRefused()));
            return;
        }
        Held.Outgoing head = held.queue.remove();
        if (head.report != null) {
            attempts.reported(held, head.report);
        } else {
            held.run.log.release(head.chunk);
            ready(held);
        }
    }

    private void refused(Held held, Held.Outgoing head, Refusal refusal) {
        if (refusal.header() != null) {
            core.clock().learn(refusal.header(), 0);
        }
        if (refusal.reason().equals("LEASE_STALE")) {
            attempts.over(held);
            return;
        }
        Retry.Class judged = Retry.classify(refusal);
        boolean first = head.sends == 1;
        switch (judged.kind()) {
            case ID -> {
                if (first) {
                    // Never executed, and never sent before: a fresh id by the clock that was just learnt makes no
                    // second call.
                    head.requestId = null;
                    head.sends = 0;
                    ready(held);
                } else if (refusal.reason().equals("REQUEST_ID_EXPIRED")) {
                    refusedForGood(held, refusal);
                } else {
                    later(held, head, Duration.ZERO);
                }
            }
            case PASSING, FAULT, CREDENTIALS -> later(held, head, judged.delay());
            case FINAL -> refusedForGood(held, refusal);
        }
    }

    private void later(Held held, Held.Outgoing head, Duration delay) {
        head.refusals++;
        double unit = ThreadLocalRandom.current().nextDouble();
        Duration wait = delay.plus(Retry.backoff(Link.PACE, head.refusals, unit));
        head.notBefore = System.nanoTime() + wait.toNanos();
        ready(held);
    }

    /**
     * The server will never take this message. A piece of a log is left out. A report must not be: the server would wait for it
     * for as long as this worker lives, so a failure that says what happened takes its place, once.
     */
    private void refusedForGood(Held held, Refusal refusal) {
        LOG.log(System.Logger.Level.WARNING, "refused for good: " + refusal.reason() + ": " + refusal.message());
        Held.Outgoing head = held.queue.remove();
        if (head.report == null) {
            held.run.log.release(head.chunk);
            ready(held);
        } else if (head.standIn) {
            attempts.over(held);
        } else {
            held.standIn("the server refused the report: " + refusal.message());
            ready(held);
        }
    }
}
