// One stream as the loop sees it: what is outstanding on it, in order, and what its messages mean. It knows how a
// stream ends,
// and nothing of what follows from it.
package dev.semel.client.internal.submit;

import dev.semel.client.internal.Core;
import dev.semel.client.internal.DuplexStream;
import dev.semel.client.internal.Refusal;
import dev.semel.client.internal.Signature;
import dev.semel.client.internal.Times;
import dev.semel.client.internal.Wire;
import dev.semel.v1.AuthStatus;
import dev.semel.v1.Reauthenticate;
import dev.semel.v1.RequestHeader;
import dev.semel.v1.ResponseHeader;
import dev.semel.v1.RunJobRequest;
import dev.semel.v1.RunJobResponse;
import dev.semel.v1.SubmitResult;
import dev.semel.v1.SubmitRunsRequest;
import dev.semel.v1.SubmitRunsResponse;
import dev.semel.v1.SubmittedRun;
import io.grpc.Status;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;

/** One stream, from its opening to its end. */
final class Session {
    /** Runs of one message. */
    private static final int MESSAGE_ITEMS_MAX = 100;
    /** Bytes of one message, unless a single run has more. */
    private static final int MESSAGE_BYTES_MAX = 1 << 20;

    /** Who learns what became of a run. */
    interface Results {
        void answered(Item item, RunJobResponse answer);

        void refused(Item item, Refusal refusal);
    }

    private final Core core;
    private final DuplexStream<SubmitRunsRequest, SubmitRunsResponse> stream;
    private final Deque<Item> outstanding = new ArrayDeque<>();
    private Signature signature;
    /** When fresh credentials are to be sent on it, on the steady clock; null for never. */
    private Long renewAt;
    /** When there was last something new to wait for, or something came. */
    private long movedAt = System.nanoTime();

    private boolean open;
    private boolean served;
    private boolean saidWho;
    private boolean leaving;
    private Duration comeBackAfter = Duration.ZERO;

    Session(Core core, Signature signature, DuplexStream<SubmitRunsRequest, SubmitRunsResponse> stream) {
        this.core = core;
        this.stream = stream;
        this.signature = signature;
        this.renewAt = signature.renewAt();
    }

    DuplexStream<SubmitRunsRequest, SubmitRunsResponse> stream() {
        return stream;
    }

    Signature signature() {
        return signature;
    }

    Deque<Item> outstanding() {
        return outstanding;
    }

    Long renewAt() {
        return renewAt;
    }

    void renewAt(Long moment) {
        renewAt = moment;
    }

    /** Whether any run was answered over it. */
    boolean hasServed() {
        return served;
    }

    /** Whether the server has said its first word. */
    boolean isOpen() {
        return open;
    }

    /** Whether the server is about to stop, and how long it wishes to be left alone. */
    boolean isLeaving() {
        return leaving;
    }

    Duration comeBackAfter() {
        return comeBackAfter;
    }

    /** For how long nothing has come that is waited for. */
    Duration stillFor() {
        boolean waits = !open || !outstanding.isEmpty();
        return waits ? Duration.ofNanos(System.nanoTime() - movedAt) : Duration.ZERO;
    }

    boolean canSend() {
        return open && !leaving && stream.isReady();
    }

    /** Sends the next message of what waits. */
    void send(Deque<Item> waiting, Signature fresh) {
        SubmitRunsRequest.Builder message = SubmitRunsRequest.newBuilder();
        if (outstanding.isEmpty()) {
            movedAt = System.nanoTime();
        }
        int bytes = 0;
        while (!waiting.isEmpty() && message.getRunsCount() < MESSAGE_ITEMS_MAX) {
            RunJobRequest run = waiting.peek().call.item();
            bytes += run.getSerializedSize();
            if (bytes > MESSAGE_BYTES_MAX && message.getRunsCount() > 0) {
                break;
            }
            Item item = waiting.remove();
            item.call.begin();
            outstanding.add(item);
            message.addRuns(run);
        }
        if (!saidWho) {
            saidWho = true;
            message.setHeader(RequestHeader.newBuilder().setClient(core.clientInfo()));
        }
        reauthenticate(message, fresh);
        stream.send(message.build());
    }

    /** Sends fresh credentials alone. */
    void reauthenticate(Signature fresh) {
        SubmitRunsRequest.Builder message = SubmitRunsRequest.newBuilder();
        if (reauthenticate(message, fresh)) {
            stream.send(message.build());
        }
    }

    private boolean reauthenticate(SubmitRunsRequest.Builder message, Signature fresh) {
        if (fresh == null || fresh.generation() <= signature.generation()) {
            return false;
        }
        signature = fresh;
        renewAt = fresh.renewAt();
        message.setReauthenticate(Reauthenticate.newBuilder().setToken(fresh.token()));
        return true;
    }

    /** What the server says. Gives back what is wrong with it; null if nothing is. */
    String hear(SubmitRunsResponse message, Results results) {
        movedAt = System.nanoTime();
        if (!Wire.spoke(message.getHeader())) {
            return "a message says nothing of the credentials";
        }
        core.clock().learn(message.getHeader(), 0);
        open = true;
        if (message.hasAuthNotice()
                && message.getAuthNotice().getAuth().getStatus() == AuthStatus.AUTH_STATUS_EXPIRING) {
            hurry();
        }
        if (message.hasGoingAway()) {
            leaving = true;
            comeBackAfter = Times.of(message.getGoingAway().getReconnectAfter());
        }
        for (SubmitResult result : message.getResultsList()) {
            Item first = outstanding.peek();
            if (first == null || !first.call.requestId().equalsIgnoreCase(result.getRequestId())) {
                return "the answers come in another order than the runs went";
            }
            outstanding.remove();
            served = true;
            settle(first, result, message.getHeader(), results);
        }
        return null;
    }

    /**
     * The server says that the credentials end soon. Those that live shorter than its warning time are renewed in their own
     * time, or it would be done in a circle.
     */
    private void hurry() {
        long now = System.nanoTime();
        boolean fresh = signature.renewAt() != null && signature.renewAt() - now > 0;
        renewAt = core.auth().canRefresh() ? fresh ? signature.renewAt() : Long.valueOf(now) : null;
    }

    private void settle(Item item, SubmitResult result, ResponseHeader header, Results results) {
        switch (result.getOutcomeCase()) {
            case RUN -> results.answered(item, answer(result, header));
            case REFUSED -> {
                Refusal refusal = Refusal.ofStatus(result.getRefused());
                if (refusal.header() != null) {
                    core.clock().learn(refusal.header(), 0);
                }
                results.refused(item, refusal);
            }
            case OUTCOME_NOT_SET ->
                results.refused(
                        item,
                        Refusal.local(
                                Status.Code.OK,
                                "the answer says neither yes nor no; the server may be newer than this client",
                                Refusal.Origin.OTHER));
        }
    }

    /** The answer as RunJob would give it. */
    private static RunJobResponse answer(SubmitResult result, ResponseHeader header) {
        SubmittedRun run = result.getRun();
        ResponseHeader.Builder own = header.toBuilder()
                .setRequestId(result.getRequestId())
                .setDisposition(run.getDisposition())
                .setArrivals(run.getArrivals())
                .setRevision(run.getRevision());
        if (run.hasExecuteTime()) {
            own.setExecuteTime(run.getExecuteTime());
        }
        if (run.hasSafeRetryUntil()) {
            own.setSafeRetryUntil(run.getSafeRetryUntil());
        }
        RunJobResponse.Builder answer = RunJobResponse.newBuilder()
                .setHeader(own)
                .setRunId(run.getRunId())
                .setState(run.getState())
                .setExisting(run.getExisting());
        if (run.hasCreateTime()) {
            answer.setCreateTime(run.getCreateTime());
        }
        return answer.build();
    }
}
