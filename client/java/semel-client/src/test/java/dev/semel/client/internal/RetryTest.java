package dev.semel.client.internal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.Timestamp;
import com.google.rpc.ErrorInfo;
import dev.semel.client.RetryPolicy;
import dev.semel.client.internal.Refusal.Origin;
import dev.semel.client.internal.Retry.Action;
import dev.semel.client.internal.Retry.Progress;
import dev.semel.v1.AuthResult;
import dev.semel.v1.AuthStatus;
import dev.semel.v1.ResponseHeader;
import io.grpc.Status.Code;
import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The table of client/README.md, row by row. */
class RetryTest {
    private static final Duration DELAY = Duration.ofMillis(700);
    private static final Progress FIRST = new Progress(1, 0, true, false, false, false, false);

    private static Refusal refused(Code code, String reason, Duration delay) {
        ResponseHeader header = ResponseHeader.newBuilder()
                .setAuth(AuthResult.newBuilder().setStatus(AuthStatus.AUTH_STATUS_PASSED))
                .setServerTime(Timestamp.getDefaultInstance())
                .build();
        ErrorInfo info = ErrorInfo.newBuilder()
                .setReason(reason)
                .setDomain(Refusal.DOMAIN)
                .build();
        return new Refusal(code, "", info, header, delay, null, null, Origin.SERVER);
    }

    private static void check(Refusal refusal, Progress progress, Action expected) {
        assertEquals(
                expected,
                Retry.decide(refusal, progress, RetryPolicy.defaults()).action(),
                () -> refusal + " " + progress);
        assertEquals(
                Action.GIVE_UP,
                Retry.decide(refusal, progress, RetryPolicy.none()).action(),
                "without retries nothing is sent again");
    }

    @ParameterizedTest
    @CsvSource({
        "UNAUTHENTICATED, CREDENTIALS_MISSING, false, REFRESH",
        "UNAUTHENTICATED, CREDENTIALS_MALFORMED, false, REFRESH",
        "UNAUTHENTICATED, CREDENTIALS_INVALID, false, REFRESH",
        "UNAUTHENTICATED, CREDENTIALS_EXPIRED, false, REFRESH",
        "UNAUTHENTICATED, CREDENTIALS_REVOKED, false, REFRESH",
        "UNAVAILABLE, AUTH_UNAVAILABLE, true, AGAIN",
        "UNAVAILABLE, AUTH_UNAVAILABLE, false, AGAIN",
        "PERMISSION_DENIED, FORBIDDEN, false, GIVE_UP",
        "RESOURCE_EXHAUSTED, AUTH_THROTTLED, true, AGAIN",
        "RESOURCE_EXHAUSTED, AUTH_THROTTLED, false, GIVE_UP",
        "INVALID_ARGUMENT, REQUEST_ID_MISSING, false, GIVE_UP",
        "INVALID_ARGUMENT, REQUEST_ID_MALFORMED, false, GIVE_UP",
        "INVALID_ARGUMENT, REQUEST_ID_IN_FUTURE, false, MINT_ANEW",
        "FAILED_PRECONDITION, REQUEST_ID_EXPIRED, false, MINT_ANEW",
        "FAILED_PRECONDITION, REQUEST_ID_REUSED, false, GIVE_UP",
        "RESOURCE_EXHAUSTED, OVERLOADED, true, AGAIN",
        "RESOURCE_EXHAUSTED, OVERLOADED, false, AGAIN",
        "RESOURCE_EXHAUSTED, QUOTA_EXCEEDED, true, AGAIN",
        "RESOURCE_EXHAUSTED, QUOTA_EXCEEDED, false, GIVE_UP",
        "UNAVAILABLE, DRAINING, false, AGAIN",
        "UNAVAILABLE, NO_OWNER, false, AGAIN",
        "DEADLINE_EXCEEDED, OUTCOME_UNKNOWN, false, AGAIN",
        "FAILED_PRECONDITION, LEASE_STALE, false, GIVE_UP",
        "OUT_OF_RANGE, RESUME_COMPACTED, false, GIVE_UP",
        "INVALID_ARGUMENT, INVALID, false, GIVE_UP",
        "NOT_FOUND, NOT_FOUND, false, GIVE_UP",
        "ABORTED, ETAG_MISMATCH, false, GIVE_UP",
        "INTERNAL, INTERNAL, false, AGAIN",
        "UNAVAILABLE, A_REASON_OF_A_LATER_VERSION, false, AGAIN",
        "CANCELLED, A_REASON_OF_A_LATER_VERSION, false, AGAIN",
        "FAILED_PRECONDITION, A_REASON_OF_A_LATER_VERSION, false, GIVE_UP",
    })
    void whatASemelServerRefuses(Code code, String reason, boolean withDelay, Action expected) {
        Refusal refusal = refused(code, reason, withDelay ? DELAY : null);
        check(refusal, FIRST, expected);
        if (expected == Action.AGAIN && withDelay) {
            assertEquals(
                    DELAY, Retry.decide(refusal, FIRST, RetryPolicy.defaults()).delay());
        }
    }

    @ParameterizedTest
    @CsvSource({
        "UNAVAILABLE, AGAIN",
        "CANCELLED, AGAIN",
        "DEADLINE_EXCEEDED, AGAIN",
        "INTERNAL, AGAIN",
        "UNKNOWN, AGAIN",
        "OK, AGAIN",
        "UNAUTHENTICATED, GIVE_UP",
        "PERMISSION_DENIED, GIVE_UP",
        "RESOURCE_EXHAUSTED, GIVE_UP",
        "UNIMPLEMENTED, GIVE_UP",
        "INVALID_ARGUMENT, GIVE_UP",
    })
    void whatSomebodyElseSays(Code code, Action expected) {
        check(Refusal.local(code, "", Origin.OTHER), FIRST, expected);
    }

    @Test
    void nobodysAnswerIsTriedAgainWhateverItsCode() {
        Progress faulty = new Progress(9, 9, true, false, false, false, false);
        for (Origin origin : new Origin[] {Origin.NOT_SENT, Origin.NO_ANSWER}) {
            check(Refusal.local(Code.UNKNOWN, "", origin), faulty, Action.AGAIN);
        }
    }

    @Test
    void aReasonWithoutOurHeaderIsSomebodysWord() {
        Refusal ours = refused(Code.PERMISSION_DENIED, "CREDENTIALS_EXPIRED", null);
        Refusal theirs = new Refusal(ours.code(), "", ours.info(), null, null, null, null, Origin.OTHER);
        check(theirs, FIRST, Action.GIVE_UP);
        assertEquals("", theirs.reason());
    }

    @Test
    void credentialsAreRenewedOnceAndOnlyWhereTheyCanBe() {
        Refusal refusal = refused(Code.UNAUTHENTICATED, "CREDENTIALS_EXPIRED", null);
        check(refusal, new Progress(2, 0, true, true, false, false, false), Action.GIVE_UP);
        check(refusal, new Progress(1, 0, false, false, false, false, false), Action.GIVE_UP);
    }

    @Test
    void aFreshIdIsMintedOnlyWhereTheFormerOneSurelyTookNoEffect() {
        Refusal refusal = refused(Code.FAILED_PRECONDITION, "REQUEST_ID_EXPIRED", null);
        check(refusal, new Progress(2, 0, true, true, false, false, false), Action.MINT_ANEW);
        check(refusal, new Progress(1, 0, true, false, true, false, false), Action.GIVE_UP);
        check(refusal, new Progress(2, 0, true, false, false, true, false), Action.GIVE_UP);
        check(refusal, new Progress(2, 0, true, false, false, false, true), Action.GIVE_UP);
        ResponseHeader timeless = refusal.header().toBuilder().clearServerTime().build();
        Refusal without = new Refusal(refusal.code(), "", refusal.info(), timeless, null, null, null, Origin.SERVER);
        check(without, FIRST, Action.GIVE_UP);
    }

    @Test
    void faultsAreBoundedAndSoAreAttempts() {
        Refusal fault = Refusal.local(Code.INTERNAL, "", Origin.OTHER);
        check(fault, new Progress(2, 2, true, false, false, false, false), Action.AGAIN);
        check(fault, new Progress(3, 3, true, false, false, false, false), Action.GIVE_UP);
        Refusal passing = Refusal.local(Code.UNAVAILABLE, "", Origin.OTHER);
        check(passing, new Progress(63, 0, true, false, false, false, false), Action.AGAIN);
        check(passing, new Progress(64, 0, true, false, false, false, false), Action.GIVE_UP);
    }

    @Test
    void pushBackRulesOverWhatTheStatusSays() {
        Refusal passing = refused(Code.UNAVAILABLE, "DRAINING", DELAY);
        Refusal never = with(passing, new Refusal.Pushback(null));
        check(never, FIRST, Action.GIVE_UP);
        Refusal longer = with(passing, new Refusal.Pushback(DELAY.multipliedBy(2)));
        assertEquals(
                DELAY.multipliedBy(2),
                Retry.decide(longer, FIRST, RetryPolicy.defaults()).delay());
    }

    private static Refusal with(Refusal refusal, Refusal.Pushback pushback) {
        return new Refusal(
                refusal.code(),
                "",
                refusal.info(),
                refusal.header(),
                refusal.retryDelay(),
                null,
                pushback,
                refusal.origin());
    }

    @Test
    void theBackOffDoublesUpToItsBoundAndJittersOverAllOfIt() {
        RetryPolicy policy = RetryPolicy.defaults();
        assertEquals(Duration.ofMillis(50), Retry.backoff(policy, 1, 1));
        assertEquals(Duration.ofMillis(100), Retry.backoff(policy, 2, 1));
        assertEquals(Duration.ofMillis(800), Retry.backoff(policy, 5, 1));
        assertEquals(Duration.ofSeconds(5), Retry.backoff(policy, Integer.MAX_VALUE, 1));
        assertEquals(Duration.ZERO, Retry.backoff(policy, 5, 0));
        assertTrue(Retry.backoff(policy, 5, 0.5).compareTo(Duration.ofMillis(400)) == 0);
    }
}
