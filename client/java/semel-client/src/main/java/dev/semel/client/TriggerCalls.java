// The calls about triggers, which run jobs at their times. One pair of methods for each RPC; none does more than name
// it.
package dev.semel.client;

import dev.semel.v1.BackfillTriggerRequest;
import dev.semel.v1.BackfillTriggerResponse;
import dev.semel.v1.CancelBackfillRequest;
import dev.semel.v1.CancelBackfillResponse;
import dev.semel.v1.FireTriggerRequest;
import dev.semel.v1.FireTriggerResponse;
import dev.semel.v1.GetTriggerRequest;
import dev.semel.v1.GetTriggerResponse;
import dev.semel.v1.ListTriggersRequest;
import dev.semel.v1.ListTriggersResponse;
import dev.semel.v1.PauseTriggerRequest;
import dev.semel.v1.PauseTriggerResponse;
import dev.semel.v1.PreviewTriggerRequest;
import dev.semel.v1.PreviewTriggerResponse;
import dev.semel.v1.ResumeTriggerRequest;
import dev.semel.v1.ResumeTriggerResponse;
import dev.semel.v1.TriggerServiceGrpc;
import java.util.concurrent.CompletableFuture;

/** The calls about triggers, which run jobs at their times. What may be refused, and why, stands in {@code proto/semel/v1/trigger_service.proto}. */
public interface TriggerCalls extends Calls {
    /**
     * Reads a trigger.
     *
     * @param request the request
     * @return the answer
     */
    default GetTriggerResponse getTrigger(GetTriggerRequest request) {
        return call(TriggerServiceGrpc.getGetTriggerMethod(), request);
    }

    /**
     * The same as {@link #getTrigger}, without waiting.
     *
     * @param request the request
     * @return the answer to come
     */
    default CompletableFuture<GetTriggerResponse> getTriggerAsync(GetTriggerRequest request) {
        return callAsync(TriggerServiceGrpc.getGetTriggerMethod(), request);
    }

    /**
     * Lists triggers.
     *
     * @param request the request
     * @return the answer
     */
    default ListTriggersResponse listTriggers(ListTriggersRequest request) {
        return call(TriggerServiceGrpc.getListTriggersMethod(), request);
    }

    /**
     * The same as {@link #listTriggers}, without waiting.
     *
     * @param request the request
     * @return the answer to come
     */
    default CompletableFuture<ListTriggersResponse> listTriggersAsync(ListTriggersRequest request) {
        return callAsync(TriggerServiceGrpc.getListTriggersMethod(), request);
    }

    /**
     * Says when a trigger would fire.
     *
     * @param request the request
     * @return the answer
     */
    default PreviewTriggerResponse previewTrigger(PreviewTriggerRequest request) {
        return call(TriggerServiceGrpc.getPreviewTriggerMethod(), request);
    }

    /**
     * The same as {@link #previewTrigger}, without waiting.
     *
     * @param request the request
     * @return the answer to come
     */
    default CompletableFuture<PreviewTriggerResponse> previewTriggerAsync(PreviewTriggerRequest request) {
        return callAsync(TriggerServiceGrpc.getPreviewTriggerMethod(), request);
    }

    /**
     * Keeps a trigger from firing. A mutation.
     *
     * @param request the request
     * @return the answer
     */
    default PauseTriggerResponse pauseTrigger(PauseTriggerRequest request) {
        return call(TriggerServiceGrpc.getPauseTriggerMethod(), request);
    }

    /**
     * The same as {@link #pauseTrigger}, without waiting.
     *
     * @param request the request
     * @return the answer to come
     */
    default CompletableFuture<PauseTriggerResponse> pauseTriggerAsync(PauseTriggerRequest request) {
        return callAsync(TriggerServiceGrpc.getPauseTriggerMethod(), request);
    }

    /**
     * Lets a trigger fire again. A mutation.
     *
     * @param request the request
     * @return the answer
     */
    default ResumeTriggerResponse resumeTrigger(ResumeTriggerRequest request) {
        return call(TriggerServiceGrpc.getResumeTriggerMethod(), request);
    }

    /**
     * The same as {@link #resumeTrigger}, without waiting.
     *
     * @param request the request
     * @return the answer to come
     */
    default CompletableFuture<ResumeTriggerResponse> resumeTriggerAsync(ResumeTriggerRequest request) {
        return callAsync(TriggerServiceGrpc.getResumeTriggerMethod(), request);
    }

    /**
     * Fires a trigger now. A mutation.
     *
     * @param request the request
     * @return the answer
     */
    default FireTriggerResponse fireTrigger(FireTriggerRequest request) {
        return call(TriggerServiceGrpc.getFireTriggerMethod(), request);
    }

    /**
     * The same as {@link #fireTrigger}, without waiting.
     *
     * @param request the request
     * @return the answer to come
     */
    default CompletableFuture<FireTriggerResponse> fireTriggerAsync(FireTriggerRequest request) {
        return callAsync(TriggerServiceGrpc.getFireTriggerMethod(), request);
    }

    /**
     * Makes up for times of a trigger that passed. A mutation.
     *
     * @param request the request
     * @return the answer
     */
    default BackfillTriggerResponse backfillTrigger(BackfillTriggerRequest request) {
        return call(TriggerServiceGrpc.getBackfillTriggerMethod(), request);
    }

    /**
     * The same as {@link #backfillTrigger}, without waiting.
     *
     * @param request the request
     * @return the answer to come
     */
    default CompletableFuture<BackfillTriggerResponse> backfillTriggerAsync(BackfillTriggerRequest request) {
        return callAsync(TriggerServiceGrpc.getBackfillTriggerMethod(), request);
    }

    /**
     * Ends the backfill of a trigger. A mutation.
     *
     * @param request the request
     * @return the answer
     */
    default CancelBackfillResponse cancelBackfill(CancelBackfillRequest request) {
        return call(TriggerServiceGrpc.getCancelBackfillMethod(), request);
    }

    /**
     * The same as {@link #cancelBackfill}, without waiting.
     *
     * @param request the request
     * @return the answer to come
     */
    default CompletableFuture<CancelBackfillResponse> cancelBackfillAsync(CancelBackfillRequest request) {
        return callAsync(TriggerServiceGrpc.getCancelBackfillMethod(), request);
    }
}
