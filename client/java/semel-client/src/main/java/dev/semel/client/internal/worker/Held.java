// An attempt that this worker holds: whether its processor runs, why it is to stop, and what is still to be sent about
// it. Plain
// state; what drives it stands in Attempts and Outbox.
package dev.semel.client.internal.worker;

import dev.semel.client.AttemptException;
import dev.semel.client.internal.Times;
import dev.semel.client.internal.Transport;
import dev.semel.v1.Payload;
import dev.semel.v1.Report;
import java.util.ArrayDeque;
import java.util.Deque;

/** An attempt that this worker holds. */
final class Held {
    /** What the server takes of an error text. */
    private static final int ERROR_CHARACTERS_MAX = 4096;
    /** A result must fit into a message together with what is around it; the server's own limit is lower still. */
    private static final int RESULT_BYTES_MAX = Transport.MESSAGE_BYTES_MAX - 64 * 1024;

    /** Names an attempt. */
    record Key(String runId, long attempt) {}

    /** Why a processor was told to stop, the stronger one later: it takes the place of a weaker one. */
    enum Stop {
        /** It was not. */
        NO,
        /** The server was not heard of for as long as the lease lasts. */
        LEASE_LOST,
        /** The worker shuts down. */
        DRAINING,
        /** Somebody cancelled the run: say so when it has stopped. */
        CANCELLED,
        /** The attempt is over for the server: say nothing. */
        OVER
    }

    /** A message that changes something, and so is sent until it is acknowledged. One of chunk and report is there. */
    static final class Outgoing {
        final LogBuffer.Chunk chunk;
        final Report report;
        /** Whether it stands in for a report that the server would not take. */
        final boolean standIn;
        /** Minted when it is sent for the first time. */
        String requestId;

        int sends;
        int refusals;
        long sentAt;
        Long notBefore;

        private Outgoing(LogBuffer.Chunk chunk, Report report, boolean standIn) {
            this.chunk = chunk;
            this.report = report;
            this.standIn = standIn;
        }
    }

    final Key key;
    final AttemptRun run;
    final Deque<Outgoing> queue = new ArrayDeque<>();
    /** Whether its processor runs and its end is waited for. */
    boolean running;

    Stop stop = Stop.NO;
    boolean inFlight;
    /** When progress may be sent again. */
    long progressFrom = System.nanoTime();

    Held(Key key, AttemptRun run) {
        this.key = key;
        this.run = run;
    }

    /** Moves the log that has gathered into the queue. */
    void gatherLog() {
        run.log.take().forEach(chunk -> queue.add(new Outgoing(chunk, null, false)));
    }

    /** Forgets what is still to be sent. */
    void clearQueue() {
        run.log.close();
        queue.clear();
        inFlight = false;
    }

    void report(Report.Builder outcome) {
        queue.add(new Outgoing(null, name(outcome), false));
    }

    void standIn(String error) {
        queue.addFirst(new Outgoing(null, name(failed(AttemptException.permanent(error))), true));
    }

    private Report name(Report.Builder outcome) {
        return outcome.setRunId(key.runId).setAttempt(key.attempt).build();
    }

    /** What is reported of an attempt whose processor has ended: with a result, an error, or neither, when nobody waits longer. */
    static Report.Builder outcome(Stop stop, Payload result, Throwable error) {
        if (result != null) {
            return succeeded(result);
        }
        return switch (stop) {
            case CANCELLED, OVER -> Report.newBuilder().setCancelled(Report.Cancelled.getDefaultInstance());
            case DRAINING -> released("the worker shut down");
            case LEASE_LOST -> released("the worker lost touch with the server");
            case NO -> failed(error);
        };
    }

    static Report.Builder released(String reason) {
        return Report.newBuilder().setReleased(Report.Released.newBuilder().setReason(reason));
    }

    static Report.Builder failed(Throwable error) {
        Report.Failed.Builder failed =
                Report.Failed.newBuilder().setError(AttemptRun.cut(text(error), ERROR_CHARACTERS_MAX));
        if (error instanceof AttemptException said) {
            failed.setPermanent(said.isPermanent());
            said.retryAfter().ifPresent(wait -> failed.setRetryAfter(Times.toProto(wait)));
        }
        return Report.newBuilder().setFailed(failed);
    }

    /** The text of an exception that says one, else its kind; and what caused it. */
    private static String text(Throwable error) {
        StringBuilder text = new StringBuilder();
        for (Throwable at = error; at != null && text.length() < ERROR_CHARACTERS_MAX; at = at.getCause()) {
            String message = at.getMessage() == null ? at.getClass().getName() : at.getMessage();
            text.append(text.length() == 0 ? "" : ": ").append(message);
        }
        return text.toString();
    }

    private static Report.Builder succeeded(Payload result) {
        if (result.getSerializedSize() > RESULT_BYTES_MAX) {
            return failed(AttemptException.permanent("the result of " + result.getSerializedSize()
                    + " bytes is larger than a message can be; give back a reference to it"));
        }
        return Report.newBuilder().setSucceeded(Report.Succeeded.newBuilder().setResult(result));
    }
}
