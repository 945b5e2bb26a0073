// One run on its way. Plain state; what drives it stands in Loop.
package dev.semel.client.internal.submit;

import dev.semel.client.Answer;
import dev.semel.client.SemelException;
import dev.semel.client.SubmissionResult;
import dev.semel.client.internal.LogicalCall;
import dev.semel.v1.RunJobRequest;
import dev.semel.v1.RunJobResponse;
import java.util.concurrent.CompletableFuture;

/** One run on its way. */
final class Item {
    /** Its call, which knows what came of it so far. */
    final LogicalCall<RunJobRequest, RunJobResponse> call;

    private final CompletableFuture<SubmissionResult> result = new CompletableFuture<>();

    Item(LogicalCall<RunJobRequest, RunJobResponse> call) {
        this.call = call;
    }

    void succeed(RunJobResponse answer) {
        result.complete(SubmissionResult.taken(answer));
    }

    void fail(SemelException error) {
        result.complete(SubmissionResult.failed(error));
    }

    /** What a call of its own gave. */
    void settle(Answer<RunJobResponse> answer, SemelException error) {
        if (error == null) {
            succeed(answer.response());
        } else {
            fail(error);
        }
    }

    CompletableFuture<SubmissionResult> result() {
        return result;
    }
}
