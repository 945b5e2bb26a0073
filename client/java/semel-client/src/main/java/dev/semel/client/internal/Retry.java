// Whether a refused call is sent again, and how: the table of client/README.md. Pure: what happened comes in, a
// decision goes
// out. Nothing here waits, sends, or knows a clock.
package dev.semel.client.internal;

import dev.semel.client.RetryPolicy;
import io.grpc.Status;
import java.time.Duration;

/** The table of what is sent again. */
public final class Retry {
    /** How many attempts may end with a fault before the call is given up: with the third. */
    public static final int FAULTS_MAX = 3;

    private Retry() {}

    /** What kind of failure a refusal is. */
    public enum Kind {
        /** It may pass: send again under the same id, after the asked delay. */
        PASSING,
        /** Somebody's fault, which may or may not pass: send again under the same id, but not for long. */
        FAULT,
        /** The credentials: fetch fresh ones, then send again under the same id. */
        CREDENTIALS,
        /** The id's time: from the future, or older than the window. It was not executed now. */
        ID,
        /** Sending it again is of no use, or wrong. */
        FINAL
    }

    /**
     * A failure's kind.
     *
     * @param kind which
     * @param delay for PASSING, how long to wait at least
     */
    public record Class(Kind kind, Duration delay) {
        static Class of(Kind kind) {
            return new Class(kind, Duration.ZERO);
        }

        /** Whether the request may be sent again as it stands. */
        public boolean isHopeful() {
            return kind == Kind.PASSING || kind == Kind.FAULT;
        }
    }

    /** What to do about a refused attempt. */
    public enum Action {
        /** Send it again under the same id, after the wait and the back-off. */
        AGAIN,
        /** Fetch fresh credentials, then send it again under the same id. */
        REFRESH,
        /** Mint one fresh id by the clock that was just learnt, and send it again. */
        MINT_ANEW,
        /** Hand the refusal to the caller. */
        GIVE_UP
    }

    /**
     * What to do.
     *
     * @param action which
     * @param delay for AGAIN, how long to wait at least
     */
    public record Decision(Action action, Duration delay) {
        static Decision of(Action action) {
            return new Decision(action, Duration.ZERO);
        }
    }

    /**
     * What is known of a logical call when one more attempt was refused.
     *
     * @param attempts how often it was sent, this attempt included, under whatever id
     * @param faults how many of these ended with a fault
     * @param canRefresh whether this client can fetch fresh credentials by itself
     * @param refreshed whether it has done so for this call
     * @param idGiven whether the caller gave the id, who then is the only one to replace it
     * @param mintedAnew whether a fresh id was minted already in place of the first one
     * @param outcomeOpen whether some earlier attempt under the present id may have taken effect
     */
    public record Progress(
            int attempts,
            int faults,
            boolean canRefresh,
            boolean refreshed,
            boolean idGiven,
            boolean mintedAnew,
            boolean outcomeOpen) {}

    /** Judges a refusal. */
    public static Class classify(Refusal refusal) {
        Duration delay = refusal.retryDelay();
        if (refusal.pushback() != null) {
            Duration after = refusal.pushback().after();
            if (after == null) {
                return Class.of(Kind.FINAL);
            }
            delay = delay == null || delay.compareTo(after) < 0 ? after : delay;
        }
        return refusal.reason().isEmpty() ? byCode(refusal, delay) : byReason(refusal, delay);
    }

    private static Class byReason(Refusal refusal, Duration delay) {
        return switch (refusal.reason()) {
            case "CREDENTIALS_MISSING",
                    "CREDENTIALS_MALFORMED",
                    "CREDENTIALS_INVALID",
                    "CREDENTIALS_EXPIRED",
                    "CREDENTIALS_REVOKED" -> Class.of(Kind.CREDENTIALS);
            case "REQUEST_ID_IN_FUTURE", "REQUEST_ID_EXPIRED" -> Class.of(Kind.ID);
            case "AUTH_UNAVAILABLE", "DRAINING", "NO_OWNER", "OUTCOME_UNKNOWN", "OVERLOADED" -> passing(delay);
            // A reason that this client does not know yet: its code still says what kind it is.
            default -> ofCode(refusal.code(), delay);
        };
    }

    private static Class byCode(Refusal refusal, Duration delay) {
        return switch (refusal.origin()) {
            case NOT_SENT, NO_ANSWER -> passing(delay);
            // An answer that no Semel server gave is a fault as well: the next attempt may reach one.
            case SERVER, OTHER ->
                refusal.code() == Status.Code.OK ? Class.of(Kind.FAULT) : ofCode(refusal.code(), delay);
        };
    }

    private static Class ofCode(Status.Code code, Duration delay) {
        return switch (code) {
            case UNAVAILABLE, DEADLINE_EXCEEDED, CANCELLED -> passing(delay);
            case RESOURCE_EXHAUSTED -> delay == null ? Class.of(Kind.FINAL) : passing(delay);
            case INTERNAL, UNKNOWN -> Class.of(Kind.FAULT);
            default -> Class.of(Kind.FINAL);
        };
    }

    private static Class passing(Duration delay) {
        return new Class(Kind.PASSING, delay == null ? Duration.ZERO : delay);
    }

    /** Decides what to do about a refused attempt. */
    public static Decision decide(Refusal refusal, Progress progress, RetryPolicy policy) {
        if (progress.attempts() >= policy.attemptsMax()) {
            return Decision.of(Action.GIVE_UP);
        }
        Class judged = classify(refusal);
        boolean goesOn = switch (judged.kind()) {
            case PASSING -> true;
            case FAULT -> progress.faults() < FAULTS_MAX;
            case CREDENTIALS -> progress.canRefresh() && !progress.refreshed();
            case ID -> mayMintAnew(refusal, progress);
            case FINAL -> false;
        };
        if (!goesOn) {
            return Decision.of(Action.GIVE_UP);
        }
        return switch (judged.kind()) {
            case CREDENTIALS -> Decision.of(Action.REFRESH);
            case ID -> Decision.of(Action.MINT_ANEW);
            default -> new Decision(Action.AGAIN, judged.delay());
        };
    }

    /**
     * A fresh id makes a new call, so it may be minted only where the present one surely took no effect: this client made
     * it, no earlier attempt's outcome is open, and the server said by its clock why it refused. An id that was sent before,
     * got no answer, and now is refused as expired may well have been executed.
     */
    private static boolean mayMintAnew(Refusal refusal, Progress progress) {
        boolean clockKnown = refusal.header() != null && refusal.header().hasServerTime();
        return clockKnown && !progress.idGiven() && !progress.mintedAnew() && !progress.outcomeOpen();
    }

    /**
     * The wait before a retry: anything up to a bound that doubles with each retry ("full jitter"), so that callers who
     * failed together do not come back together.
     *
     * @param retry its number, from 1 on
     * @param unit a random number from 0 to 1
     */
    public static Duration backoff(RetryPolicy policy, int retry, double unit) {
        double first = policy.backoffFirst().toNanos();
        double bound = Math.min(
                first * Math.pow(2, Math.max(0, retry - 1)), policy.backoffMax().toNanos());
        return Duration.ofNanos((long) (bound * Math.min(1, Math.max(0, unit))));
    }
}
