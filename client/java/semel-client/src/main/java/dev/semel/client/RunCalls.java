// The calls about runs. One pair of methods for each RPC; none does more than name it.
package dev.semel.client;

import dev.semel.v1.CancelRunRequest;
import dev.semel.v1.CancelRunResponse;
import dev.semel.v1.ExplainRunRequest;
import dev.semel.v1.ExplainRunResponse;
import dev.semel.v1.GetRunLogsRequest;
import dev.semel.v1.GetRunLogsResponse;
import dev.semel.v1.GetRunRequest;
import dev.semel.v1.GetRunResponse;
import dev.semel.v1.ListRunsRequest;
import dev.semel.v1.ListRunsResponse;
import dev.semel.v1.RetryRunRequest;
import dev.semel.v1.RetryRunResponse;
import dev.semel.v1.RunServiceGrpc;
import dev.semel.v1.WaitRunRequest;
import dev.semel.v1.WaitRunResponse;
import java.util.concurrent.CompletableFuture;

/** The calls about runs. What may be refused, and why, stands in {@code proto/semel/v1/run_service.proto}. */
public interface RunCalls extends Calls {
    /**
     * Reads a run, with its input and result.
     *
     * @param request the request
     * @return the answer
     */
    default GetRunResponse getRun(GetRunRequest request) {
        return call(RunServiceGrpc.getGetRunMethod(), request);
    }

    /**
     * The same as {@link #getRun}, without waiting.
     *
     * @param request the request
     * @return the answer to come
     */
    default CompletableFuture<GetRunResponse> getRunAsync(GetRunRequest request) {
        return callAsync(RunServiceGrpc.getGetRunMethod(), request);
    }

    /**
     * Lists runs, the newest first.
     *
     * @param request the request
     * @return the answer
     */
    default ListRunsResponse listRuns(ListRunsRequest request) {
        return call(RunServiceGrpc.getListRunsMethod(), request);
    }

    /**
     * The same as {@link #listRuns}, without waiting.
     *
     * @param request the request
     * @return the answer to come
     */
    default CompletableFuture<ListRunsResponse> listRunsAsync(ListRunsRequest request) {
        return callAsync(RunServiceGrpc.getListRunsMethod(), request);
    }

    /**
     * Asks a run to stop. A mutation.
     *
     * @param request the request
     * @return the answer
     */
    default CancelRunResponse cancelRun(CancelRunRequest request) {
        return call(RunServiceGrpc.getCancelRunMethod(), request);
    }

    /**
     * The same as {@link #cancelRun}, without waiting.
     *
     * @param request the request
     * @return the answer to come
     */
    default CompletableFuture<CancelRunResponse> cancelRunAsync(CancelRunRequest request) {
        return callAsync(RunServiceGrpc.getCancelRunMethod(), request);
    }

    /**
     * Runs it again. A mutation.
     *
     * @param request the request
     * @return the answer
     */
    default RetryRunResponse retryRun(RetryRunRequest request) {
        return call(RunServiceGrpc.getRetryRunMethod(), request);
    }

    /**
     * The same as {@link #retryRun}, without waiting.
     *
     * @param request the request
     * @return the answer to come
     */
    default CompletableFuture<RetryRunResponse> retryRunAsync(RetryRunRequest request) {
        return callAsync(RunServiceGrpc.getRetryRunMethod(), request);
    }

    /**
     * Waits until a run has ended, or for a time;.
     *
     * @param request the request
     * @return the answer
     */
    default WaitRunResponse waitRun(WaitRunRequest request) {
        return call(RunServiceGrpc.getWaitRunMethod(), request);
    }

    /**
     * The same as {@link #waitRun}, without waiting.
     *
     * @param request the request
     * @return the answer to come
     */
    default CompletableFuture<WaitRunResponse> waitRunAsync(WaitRunRequest request) {
        return callAsync(RunServiceGrpc.getWaitRunMethod(), request);
    }

    /**
     * Says why a run is where it is.
     *
     * @param request the request
     * @return the answer
     */
    default ExplainRunResponse explainRun(ExplainRunRequest request) {
        return call(RunServiceGrpc.getExplainRunMethod(), request);
    }

    /**
     * The same as {@link #explainRun}, without waiting.
     *
     * @param request the request
     * @return the answer to come
     */
    default CompletableFuture<ExplainRunResponse> explainRunAsync(ExplainRunRequest request) {
        return callAsync(RunServiceGrpc.getExplainRunMethod(), request);
    }

    /**
     * Reads the log of a run.
     *
     * @param request the request
     * @return the answer
     */
    default GetRunLogsResponse getRunLogs(GetRunLogsRequest request) {
        return call(RunServiceGrpc.getGetRunLogsMethod(), request);
    }

    /**
     * The same as {@link #getRunLogs}, without waiting.
     *
     * @param request the request
     * @return the answer to come
     */
    default CompletableFuture<GetRunLogsResponse> getRunLogsAsync(GetRunLogsRequest request) {
        return callAsync(RunServiceGrpc.getGetRunLogsMethod(), request);
    }
}
