// The calls about requests: what became of them. One pair of methods for each RPC; none does more than name it.
package dev.semel.client;

import dev.semel.v1.GetRequestRequest;
import dev.semel.v1.GetRequestResponse;
import dev.semel.v1.ListRequestsRequest;
import dev.semel.v1.ListRequestsResponse;
import dev.semel.v1.RequestServiceGrpc;
import java.util.concurrent.CompletableFuture;

/** The calls about requests: what became of them. What may be refused, and why, stands in {@code proto/semel/v1/request_service.proto}. */
public interface RequestCalls extends Calls {
    /**
     * Says what became of a request.
     *
     * @param request the request
     * @return the answer
     */
    default GetRequestResponse getRequest(GetRequestRequest request) {
        return call(RequestServiceGrpc.getGetRequestMethod(), request);
    }

    /**
     * The same as {@link #getRequest}, without waiting.
     *
     * @param request the request
     * @return the answer to come
     */
    default CompletableFuture<GetRequestResponse> getRequestAsync(GetRequestRequest request) {
        return callAsync(RequestServiceGrpc.getGetRequestMethod(), request);
    }

    /**
     * Lists the requests that took effect within the window.
     *
     * @param request the request
     * @return the answer
     */
    default ListRequestsResponse listRequests(ListRequestsRequest request) {
        return call(RequestServiceGrpc.getListRequestsMethod(), request);
    }

    /**
     * The same as {@link #listRequests}, without waiting.
     *
     * @param request the request
     * @return the answer to come
     */
    default CompletableFuture<ListRequestsResponse> listRequestsAsync(ListRequestsRequest request) {
        return callAsync(RequestServiceGrpc.getListRequestsMethod(), request);
    }
}
