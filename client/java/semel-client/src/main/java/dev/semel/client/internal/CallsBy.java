// The calls of a client with settings of their own.
package dev.semel.client.internal;

import com.google.protobuf.Message;
import dev.semel.client.Answer;
import dev.semel.client.CallSettings;
import dev.semel.client.SemelCalls;
import io.grpc.Context;
import io.grpc.MethodDescriptor;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;

/**
 * The calls of a client.
 *
 * @param core the client
 * @param settings what is set for these calls
 */
public record CallsBy(Core core, CallSettings settings) implements SemelCalls {
    @Override
    public <Q extends Message, R extends Message> CompletableFuture<Answer<R>> execute(
            MethodDescriptor<Q, R> method, Q request) {
        return LogicalCall.of(core, method, request, settings).run();
    }

    @Override
    public <Q extends Message, R extends Message> R call(MethodDescriptor<Q, R> method, Q request) {
        Context.CancellableContext context = Context.current().withCancellation();
        Context before = context.attach();
        CompletableFuture<Answer<R>> answer;
        try {
            answer = execute(method, request);
        } finally {
            context.detach(before);
        }
        try {
            return await(context, answer).response();
        } finally {
            context.cancel(null);
        }
    }

    private static <T> T await(Context.CancellableContext context, CompletableFuture<T> answer) {
        boolean interrupted = false;
        try {
            while (true) {
                try {
                    return answer.get();
                } catch (InterruptedException gaveUp) {
                    interrupted = true;
                    context.cancel(null); // Which ends the call at once.
                }
            }
        } catch (ExecutionException failed) {
            throw SemelExceptions.of(failed);
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    @Override
    public <Q extends Message, R extends Message> CompletableFuture<R> callAsync(
            MethodDescriptor<Q, R> method, Q request) {
        CompletableFuture<Answer<R>> answer = execute(method, request);
        CompletableFuture<R> response = answer.thenApply(Answer::response);
        response.whenComplete((given, error) -> {
            if (response.isCancelled()) {
                answer.cancel(true);
            }
        });
        return response;
    }
}
