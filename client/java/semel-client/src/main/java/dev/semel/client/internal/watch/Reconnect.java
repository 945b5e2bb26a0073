// What follows when a stream of a watch could not be opened, or has ended. Pure: what happened comes in, a decision
// goes out.
package dev.semel.client.internal.watch;

import dev.semel.client.RetryPolicy;
import dev.semel.client.internal.Refusal;
import dev.semel.client.internal.Retry;
import java.time.Duration;

/** What follows when there is no stream. */
final class Reconnect {
    private Reconnect() {}

    /**
     * What is known of a watch whose stream failed once more.
     *
     * @param failures how many streams in a row told nothing, this one included
     * @param faults how many of them were somebody's fault
     * @param canRefresh whether the client can renew its credentials
     * @param refreshed whether those of the last stream had just been renewed because others were refused
     * @param bridges whether gaps are to be bridged by a snapshot
     * @param ownToken whether the token that was sent had been given to this very watch
     */
    record Troubles(
            int failures, int faults, boolean canRefresh, boolean refreshed, boolean bridges, boolean ownToken) {}

    enum Action {
        /** Another stream. */
        AGAIN,
        /** Another stream with fresh credentials. */
        REFRESH,
        /** Another stream from a snapshot. */
        BRIDGE,
        /** The watch ends with this refusal. */
        END
    }

    record Next(Action action, Duration delay) {}

    /** How a watch comes back: more slowly than a single call, for there may be thousands of them. */
    static RetryPolicy pace(RetryPolicy policy) {
        return policy.withBackoff(
                policy.backoffFirst().multipliedBy(4), policy.backoffMax().multipliedBy(2));
    }

    /**
     * Decides.
     *
     * @param pace of {@link #pace}
     * @param unit a random number from 0 to 1
     */
    static Next decide(Refusal refusal, Troubles troubles, RetryPolicy pace, double unit) {
        if (pace.attemptsMax() <= 1) {
            return new Next(Action.END, Duration.ZERO);
        }
        Duration backoff = Retry.backoff(pace, troubles.failures, unit);
        // What can be mended at once is; only who stands there again waits.
        Duration mended = troubles.failures > 1 ? backoff : Duration.ZERO;
        boolean compacted = refusal.reason().equals("RESUME_COMPACTED");
        if (troubles.bridges && (compacted || troubles.ownToken && isAboutToken(refusal))) {
            return new Next(Action.BRIDGE, mended);
        }
        Retry.Class judged = Retry.classify(refusal);
        return switch (judged.kind()) {
            case PASSING -> new Next(Action.AGAIN, judged.delay().plus(backoff));
            case FAULT ->
                troubles.faults < Retry.FAULTS_MAX
                        ? new Next(Action.AGAIN, backoff)
                        : new Next(Action.END, Duration.ZERO);
            case CREDENTIALS ->
                troubles.canRefresh && !troubles.refreshed
                        ? new Next(Action.REFRESH, mended)
                        : new Next(Action.END, Duration.ZERO);
            case ID, FINAL -> new Next(Action.END, Duration.ZERO);
        };
    }

    /** Whether the server does not take the token: the log is another one than when it was given. */
    private static boolean isAboutToken(Refusal refusal) {
        return refusal.reason().equals("INVALID")
                && refusal.badRequest() != null
                && refusal.badRequest().getFieldViolationsList().stream()
                        .anyMatch(violation -> violation.getField().equals("resume_token"));
    }
}
