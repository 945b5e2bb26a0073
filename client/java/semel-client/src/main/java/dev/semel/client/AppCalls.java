// The calls about apps, the tenants. One pair of methods for each RPC; none does more than name it.
package dev.semel.client;

import dev.semel.v1.AppServiceGrpc;
import dev.semel.v1.CreateAppRequest;
import dev.semel.v1.CreateAppResponse;
import dev.semel.v1.DeleteAppRequest;
import dev.semel.v1.DeleteAppResponse;
import dev.semel.v1.GetAppRequest;
import dev.semel.v1.GetAppResponse;
import dev.semel.v1.ListAppsRequest;
import dev.semel.v1.ListAppsResponse;
import dev.semel.v1.RotateAppSecretRequest;
import dev.semel.v1.RotateAppSecretResponse;
import dev.semel.v1.UpdateAppRequest;
import dev.semel.v1.UpdateAppResponse;
import java.util.concurrent.CompletableFuture;

/** The calls about apps, the tenants. What may be refused, and why, stands in {@code proto/semel/v1/app_service.proto}. */
public interface AppCalls extends Calls {
    /**
     * Creates an app and its secret. A mutation; the app must be named.
     *
     * @param request the request
     * @return the answer
     */
    default CreateAppResponse createApp(CreateAppRequest request) {
        return call(AppServiceGrpc.getCreateAppMethod(), request);
    }

    /**
     * The same as {@link #createApp}, without waiting.
     *
     * @param request the request
     * @return the answer to come
     */
    default CompletableFuture<CreateAppResponse> createAppAsync(CreateAppRequest request) {
        return callAsync(AppServiceGrpc.getCreateAppMethod(), request);
    }

    /**
     * Reads an app.
     *
     * @param request the request
     * @return the answer
     */
    default GetAppResponse getApp(GetAppRequest request) {
        return call(AppServiceGrpc.getGetAppMethod(), request);
    }

    /**
     * The same as {@link #getApp}, without waiting.
     *
     * @param request the request
     * @return the answer to come
     */
    default CompletableFuture<GetAppResponse> getAppAsync(GetAppRequest request) {
        return callAsync(AppServiceGrpc.getGetAppMethod(), request);
    }

    /**
     * Lists apps, by name.
     *
     * @param request the request
     * @return the answer
     */
    default ListAppsResponse listApps(ListAppsRequest request) {
        return call(AppServiceGrpc.getListAppsMethod(), request);
    }

    /**
     * The same as {@link #listApps}, without waiting.
     *
     * @param request the request
     * @return the answer to come
     */
    default CompletableFuture<ListAppsResponse> listAppsAsync(ListAppsRequest request) {
        return callAsync(AppServiceGrpc.getListAppsMethod(), request);
    }

    /**
     * Replaces description and grants of an app. A mutation; the app must be named.
     *
     * @param request the request
     * @return the answer
     */
    default UpdateAppResponse updateApp(UpdateAppRequest request) {
        return call(AppServiceGrpc.getUpdateAppMethod(), request);
    }

    /**
     * The same as {@link #updateApp}, without waiting.
     *
     * @param request the request
     * @return the answer to come
     */
    default CompletableFuture<UpdateAppResponse> updateAppAsync(UpdateAppRequest request) {
        return callAsync(AppServiceGrpc.getUpdateAppMethod(), request);
    }

    /**
     * Deletes an app that has no jobs left. A mutation; the app must be named.
     *
     * @param request the request
     * @return the answer
     */
    default DeleteAppResponse deleteApp(DeleteAppRequest request) {
        return call(AppServiceGrpc.getDeleteAppMethod(), request);
    }

    /**
     * The same as {@link #deleteApp}, without waiting.
     *
     * @param request the request
     * @return the answer to come
     */
    default CompletableFuture<DeleteAppResponse> deleteAppAsync(DeleteAppRequest request) {
        return callAsync(AppServiceGrpc.getDeleteAppMethod(), request);
    }

    /**
     * Makes a new secret for an app. A mutation.
     *
     * @param request the request
     * @return the answer
     */
    default RotateAppSecretResponse rotateAppSecret(RotateAppSecretRequest request) {
        return call(AppServiceGrpc.getRotateAppSecretMethod(), request);
    }

    /**
     * The same as {@link #rotateAppSecret}, without waiting.
     *
     * @param request the request
     * @return the answer to come
     */
    default CompletableFuture<RotateAppSecretResponse> rotateAppSecretAsync(RotateAppSecretRequest request) {
        return callAsync(AppServiceGrpc.getRotateAppSecretMethod(), request);
    }
}
