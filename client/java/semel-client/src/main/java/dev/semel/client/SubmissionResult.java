// What became of one run of many. Plain data.
package dev.semel.client;

import dev.semel.v1.RunJobResponse;
import java.util.Optional;

/** What became of one run that was given to {@link SemelClient#submitMany}: it was taken, or it was not. */
public final class SubmissionResult {
    private final String requestId;
    private final RunJobResponse response;
    private final SemelException error;

    private SubmissionResult(String requestId, RunJobResponse response, SemelException error) {
        this.requestId = requestId;
        this.response = response;
        this.error = error;
    }

    /**
     * A run that was taken.
     *
     * @param response the answer
     * @return the result
     */
    public static SubmissionResult taken(RunJobResponse response) {
        return new SubmissionResult(response.getHeader().getRequestId(), response, null);
    }

    /**
     * A run that was not taken, or of which that is not known.
     *
     * @param error why
     * @return the result
     */
    public static SubmissionResult failed(SemelException error) {
        return new SubmissionResult(error.requestId(), null, error);
    }

    /**
     * The id of this run's call.
     *
     * @return the id
     */
    public String requestId() {
        return requestId;
    }

    /**
     * The answer, as {@code RunJob} would give it.
     *
     * @return the answer, if the run was taken
     */
    public Optional<RunJobResponse> response() {
        return Optional.ofNullable(response);
    }

    /**
     * Why the run was not taken.
     *
     * @return the error, if it was not
     */
    public Optional<SemelException> error() {
        return Optional.ofNullable(error);
    }

    /**
     * The answer, or the error thrown.
     *
     * @return the answer
     * @throws SemelException if the run was not taken
     */
    public RunJobResponse orThrow() {
        if (error != null) {
            throw error;
        }
        return response;
    }

    @Override
    public String toString() {
        return error == null ? "taken: " + response.getRunId() : "failed: " + error;
    }
}
