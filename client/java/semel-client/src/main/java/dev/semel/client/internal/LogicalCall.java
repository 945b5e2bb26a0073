// The one way of a logical call: its header is filled once, then it is attempted until it has an answer, a refusal that
// binds,
// or no time left. It owns what is known of the call over its attempts; what a refusal means is decided in Retry, and
// nothing
// here knows what any method does.
package dev.semel.client.internal;

import com.google.protobuf.Message;
import dev.semel.client.Answer;
import dev.semel.client.CallSettings;
import dev.semel.client.RetryPolicy;
import dev.semel.client.SemelException;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ThreadLocalRandom;

/** A logical call: what is sent, and what is known of it over its attempts. Used by one thread at a time. */
public final class LogicalCall<Q extends Message, R extends Message> {
    private final Core core;
    private final MethodDescriptor<Q, R> method;
    private final RetryPolicy policy;
    private final Duration requestTimeout;
    private final Duration overallTimeout;
    private final boolean idGiven;
    private final boolean unsigned;
    private Q request;
    private String requestId;
    private Long deadline;
    private int attempts;
    private int faults;
    private boolean refreshed;
    private boolean mintedAnew;
    private boolean outcomeOpen;
    /**
     * What an attempt before was refused with: the last attempt of all may be cut short by the end of the time, and its
     * time-out says little of what went wrong.
     */
    private Refusal told;

    private LogicalCall(Core core, MethodDescriptor<Q, R> method, Q request, CallSettings settings) {
        this.core = core;
        this.method = method;
        Duration wait = Wire.serverWait(request);
        Settings client = core.settings();
        policy = settings.retryPolicy().orElse(client.retryPolicy());
        requestTimeout =
                settings.requestTimeout().orElse(client.requestTimeout()).plus(wait);
        overallTimeout =
                settings.overallTimeout().orElse(client.overallTimeout()).plus(wait);
        Q filled = core.auth().fill(request);
        unsigned = Wire.holdsCredentials(filled);
        String inHeader = Wire.requestHeader(filled).getRequestId();
        String given = settings.requestId().orElse(inHeader);
        if (!inHeader.isEmpty() && !inHeader.equalsIgnoreCase(given)) {
            throw SemelExceptions.usage(
                    "the request bears the id " + inHeader + ", the call was to be made under " + given);
        }
        idGiven = !given.isEmpty();
        this.requestId = idGiven ? given : core.mint().toString();
        this.request = Wire.complete(filled, client.app(), requestId);
    }

    /** A call that is ready to be made as the client has it. */
    static <Q extends Message, R extends Message> LogicalCall<Q, R> of(
            Core core, MethodDescriptor<Q, R> method, Q request) {
        return of(core, method, request, CallSettings.none());
    }

    /** A call that is ready to be made; its time runs from the first attempt on. */
    public static <Q extends Message, R extends Message> LogicalCall<Q, R> of(
            Core core, MethodDescriptor<Q, R> method, Q request, CallSettings settings) {
        return new LogicalCall<>(core, method, request, settings);
    }

    /** Attempts the call, from where it stands, by calls of its own until it has ended. */
    public CompletableFuture<Answer<R>> run() {
        begin();
        return new UnaryRun<>(core, this).start();
    }

    /** The time of the call runs from now on, unless it does already. */
    public void begin() {
        if (deadline == null) {
            deadline = Times.after(overallTimeout);
        }
    }

    /** The call may not take longer than this. */
    void shorten(Duration left) {
        long moment = Times.after(left);
        deadline = moment - deadline < 0 ? moment : deadline;
    }

    /** How long the next attempt may take. */
    public Duration attemptTimeout() {
        return Times.min(requestTimeout, left());
    }

    /** How much time is left for the call. */
    public Duration left() {
        return Times.until(deadline);
    }

    /** Decides what to do about a refused attempt, and remembers it. */
    public Retry.Decision decide(Refusal refusal) {
        attempts++;
        if (Retry.classify(refusal).kind() == Retry.Kind.FAULT) {
            faults++;
        }
        boolean canRefresh = core.auth().canRefresh() && !unsigned;
        var progress = new Retry.Progress(attempts, faults, canRefresh, refreshed, idGiven, mintedAnew, outcomeOpen);
        Retry.Decision decision = Retry.decide(refusal, progress, policy);
        if (refusal.code() != Status.Code.DEADLINE_EXCEEDED || !refusal.reason().isEmpty()) {
            told = refusal;
        }
        outcomeOpen |= !refusal.nothingHappened();
        refreshed |= decision.action() == Retry.Action.REFRESH;
        return decision;
    }

    /** An attempt that is not judged by itself, for another one followed it at once, may have taken effect. */
    public void leaveOpen() {
        outcomeOpen = true;
    }

    /** How long to wait before the next attempt; longer than {@link #left} means that there is none. */
    public Duration pause(Duration atLeast) {
        return atLeast.plus(
                Retry.backoff(policy, attempts, ThreadLocalRandom.current().nextDouble()));
    }

    /** A fresh id by the clock that was just learnt: the former one was refused for its time, and never executed. */
    public void mintAnew() {
        requestId = core.mint().toString();
        request = Wire.complete(request, "", requestId);
        mintedAnew = true;
    }

    /** The error for the caller. */
    public SemelException giveUp(Refusal refusal) {
        boolean silent = refusal.origin() == Refusal.Origin.NO_ANSWER && told != null && told != refusal;
        if (!silent) {
            return refusal.toException(requestId, attempts);
        }
        String before = told.reason().isEmpty() ? told.code() + " (" + told.message() + ")" : told.reason();
        String message = refusal.message() + "; an attempt before ended with " + before;
        return refusal.withMessage(message).toException(requestId, attempts);
    }

    /** The answer came. */
    public Answer<R> succeed(R response) {
        return new Answer<>(response, requestId, attempts + 1);
    }

    MethodDescriptor<Q, R> method() {
        return method;
    }

    /** The request as it goes by a call of its own: complete, and with who sends it. */
    Q request() {
        return Wire.from(request, core.clientInfo());
    }

    /** The request as it goes over a stream, which says once who sends. */
    public Q item() {
        return request;
    }

    /** Its id. */
    public String requestId() {
        return requestId;
    }

    /** How often it was sent and refused. */
    public int attempts() {
        return attempts;
    }

    boolean isUnsigned() {
        return unsigned;
    }
}
