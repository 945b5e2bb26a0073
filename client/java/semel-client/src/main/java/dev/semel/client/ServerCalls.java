// The calls about the server itself. One pair of methods for each RPC; none does more than name it.
package dev.semel.client;

import dev.semel.v1.GetServerInfoRequest;
import dev.semel.v1.GetServerInfoResponse;
import dev.semel.v1.ServerServiceGrpc;
import java.util.concurrent.CompletableFuture;

/** The calls about the server itself. What may be refused, and why, stands in {@code proto/semel/v1/server_service.proto}. */
public interface ServerCalls extends Calls {
    /**
     * Says what a client needs to know of the server: its window, its limits, its clock.
     *
     * @param request the request
     * @return the answer
     */
    default GetServerInfoResponse getServerInfo(GetServerInfoRequest request) {
        return call(ServerServiceGrpc.getGetServerInfoMethod(), request);
    }

    /**
     * The same as {@link #getServerInfo}, without waiting.
     *
     * @param request the request
     * @return the answer to come
     */
    default CompletableFuture<GetServerInfoResponse> getServerInfoAsync(GetServerInfoRequest request) {
        return callAsync(ServerServiceGrpc.getGetServerInfoMethod(), request);
    }
}
