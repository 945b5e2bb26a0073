// What a caller may set for single calls. Plain data.
package dev.semel.client;

import java.time.Duration;
import java.util.Optional;
import java.util.UUID;

/** What a caller sets for single calls; what is left out comes from the client. See {@link SemelClient#with}. */
public final class CallSettings {
    private static final CallSettings NONE = new CallSettings(null, null, null, null);

    private final String requestId;
    private final Duration requestTimeout;
    private final Duration overallTimeout;
    private final RetryPolicy retryPolicy;

    private CallSettings(String requestId, Duration requestTimeout, Duration overallTimeout, RetryPolicy retryPolicy) {
        this.requestId = requestId;
        this.requestTimeout = requestTimeout;
        this.overallTimeout = overallTimeout;
        this.retryPolicy = retryPolicy;
    }

    /**
     * Nothing set: everything as the client has it.
     *
     * @return empty settings, to be refined with the methods that follow
     */
    public static CallSettings none() {
        return NONE;
    }

    /**
     * The id to use instead of a fresh one; it is never replaced. Use it for one logical call only.
     *
     * @param id a UUIDv7, for instance of {@link SemelClient#mintRequestId}
     * @return the settings
     */
    public CallSettings requestId(UUID id) {
        return requestId(id.toString());
    }

    /**
     * The id to use instead of a fresh one; it is never replaced. Use it for one logical call only.
     *
     * @param id a UUIDv7 in its 36 character form; the server judges it
     * @return the settings
     */
    public CallSettings requestId(String id) {
        return new CallSettings(id, requestTimeout, overallTimeout, retryPolicy);
    }

    /**
     * How long one attempt may take.
     *
     * @param timeout more than zero
     * @return the settings
     */
    public CallSettings requestTimeout(Duration timeout) {
        return new CallSettings(requestId, positive(timeout), overallTimeout, retryPolicy);
    }

    /**
     * How long the call may take over all its attempts and the waits between them.
     *
     * @param timeout more than zero
     * @return the settings
     */
    public CallSettings overallTimeout(Duration timeout) {
        return new CallSettings(requestId, requestTimeout, positive(timeout), retryPolicy);
    }

    /**
     * How it is sent again.
     *
     * @param policy the policy
     * @return the settings
     */
    public CallSettings retryPolicy(RetryPolicy policy) {
        return new CallSettings(requestId, requestTimeout, overallTimeout, policy);
    }

    /**
     * The id to use.
     *
     * @return the id, if one was given
     */
    public Optional<String> requestId() {
        return Optional.ofNullable(requestId);
    }

    /**
     * How long one attempt may take.
     *
     * @return the timeout, if one was given
     */
    public Optional<Duration> requestTimeout() {
        return Optional.ofNullable(requestTimeout);
    }

    /**
     * How long the call may take.
     *
     * @return the timeout, if one was given
     */
    public Optional<Duration> overallTimeout() {
        return Optional.ofNullable(overallTimeout);
    }

    /**
     * How it is sent again.
     *
     * @return the policy, if one was given
     */
    public Optional<RetryPolicy> retryPolicy() {
        return Optional.ofNullable(retryPolicy);
    }

    static Duration positive(Duration timeout) {
        if (timeout.isNegative() || timeout.isZero()) {
            throw SemelException.usage("a timeout must be more than zero");
        }
        return timeout;
    }
}
