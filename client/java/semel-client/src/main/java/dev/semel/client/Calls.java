// How any unary RPC is called: the one way that all named methods go.
package dev.semel.client;

import com.google.protobuf.Message;
import io.grpc.MethodDescriptor;
import java.util.concurrent.CompletableFuture;

/**
 * Calls any unary RPC of the protocol by its descriptor, for instance {@code JobServiceGrpc.getRunJobMethod()}.
 *
 * <p>Every call goes the same way. An id is minted once, before anything is sent, and stands in the request's header, unless
 * the caller put one there. The call is sent until it has an answer, always under that id, within the overall timeout.
 * Credentials are renewed where the client can. Only a Semel server's word counts.
 *
 * <p>The current {@link io.grpc.Context} is kept to: its deadline bounds the call, its cancellation ends it. A thread that is
 * interrupted while it waits gets a {@link SemelException} of kind {@code CANCELLED} and stays interrupted. Cancelling takes
 * nothing back on the server: what became of the call is found under its id by {@code GetRequest}.
 */
public interface Calls {
    /**
     * Makes a call, and says beside the answer how often it was sent.
     *
     * @param method which
     * @param request its request
     * @param <Q> the message of the request
     * @param <R> the message of the answer
     * @return the answer to come; fails with a {@link SemelException}; cancelling it ends the call
     */
    <Q extends Message, R extends Message> CompletableFuture<Answer<R>> execute(
            MethodDescriptor<Q, R> method, Q request);

    /**
     * Makes a call and waits for its answer.
     *
     * @param method which
     * @param request its request
     * @param <Q> the message of the request
     * @param <R> the message of the answer
     * @return the answer
     * @throws SemelException if it failed, after everything that may be tried was tried
     */
    <Q extends Message, R extends Message> R call(MethodDescriptor<Q, R> method, Q request);

    /**
     * Makes a call.
     *
     * @param method which
     * @param request its request
     * @param <Q> the message of the request
     * @param <R> the message of the answer
     * @return the answer to come; fails with a {@link SemelException}; cancelling it ends the call
     */
    <Q extends Message, R extends Message> CompletableFuture<R> callAsync(MethodDescriptor<Q, R> method, Q request);
}
