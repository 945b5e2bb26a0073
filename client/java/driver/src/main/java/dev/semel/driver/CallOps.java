// The commands about single calls.
package dev.semel.driver;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import dev.semel.client.Answer;
import dev.semel.client.CallSettings;
import dev.semel.client.SemelCalls;
import dev.semel.client.SemelClient;
import dev.semel.client.SemelException;
import dev.semel.client.internal.RequestIds;
import dev.semel.client.internal.SemelExceptions;
import dev.semel.v1.JobServiceGrpc;
import dev.semel.v1.Run;
import dev.semel.v1.RunJobRequest;
import dev.semel.v1.RunJobResponse;
import io.grpc.Context;
import io.grpc.MethodDescriptor;
import java.math.BigInteger;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Optional;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;

/** The commands about single calls. */
final class CallOps {
    private final Clients clients;

    CallOps(Clients clients) {
        this.clients = clients;
    }

    JsonObject mint(Command command) {
        JsonObject ok = new JsonObject();
        ok.addProperty("request_id", clients.of(command).mintRequestId().toString());
        return ok;
    }

    /** The library takes its random bits from a {@link Random}: two bytes for 12 bits, then eight for 62. */
    static JsonObject uuid(Command command) {
        BigInteger bits = new BigInteger(command.text("random"), 16);
        byte[] bytes = new byte[10];
        fill(bytes, 0, 2, bits.shiftRight(62));
        fill(bytes, 2, 10, bits.and(BigInteger.ONE.shiftLeft(62).subtract(BigInteger.ONE)));
        Random given = new Random() {
            private static final long serialVersionUID = 1L;

            @Override
            public void nextBytes(byte[] into) {
                System.arraycopy(bytes, 0, into, 0, into.length);
            }
        };
        JsonObject ok = new JsonObject();
        long unixMs = command.get("unix_ms").getAsLong();
        ok.addProperty("uuid", new RequestIds(given).mint(unixMs).toString());
        return ok;
    }

    private static void fill(byte[] bytes, int from, int to, BigInteger number) {
        for (int at = to - 1; at >= from; at--) {
            bytes[at] = number.shiftRight(8 * (to - 1 - at)).byteValue();
        }
    }

    JsonObject call(Command command) throws InvalidProtocolBufferException {
        MethodDescriptor<Message, Message> method = Methods.named(command.text("method"));
        Message request = command.message("request", Methods.request(method));
        CallSettings settings = CallSettings.none();
        if (command.has("request_id")) {
            settings = settings.requestId(command.text("request_id"));
        }
        if (command.has("request_timeout")) {
            settings = settings.requestTimeout(command.millis("request_timeout"));
        }
        if (command.has("overall_timeout")) {
            settings = settings.overallTimeout(command.millis("overall_timeout"));
        }
        SemelCalls calls = clients.of(command).with(settings);
        Answer<Message> answer = within(command, () -> calls.execute(method, request));
        JsonObject ok = new JsonObject();
        ok.add("response", Json.of(answer.response()));
        ok.addProperty("request_id", answer.requestId());
        ok.addProperty("attempts", answer.attempts());
        return ok;
    }

    private interface Call<T> {
        CompletableFuture<T> make();
    }

    /** Waits for a call, which a cancel of the command ends by its context. */
    private static <T> T within(Command command, Call<T> call) {
        Context.CancellableContext context = Context.current().withCancellation();
        command.cancelBy(() -> context.cancel(null));
        Context before = context.attach();
        try {
            return call.make().get();
        } catch (ExecutionException | InterruptedException failed) {
            throw SemelExceptions.of(failed);
        } finally {
            context.detach(before);
            context.cancel(null);
        }
    }

    JsonObject callMany(Command command) throws InvalidProtocolBufferException {
        SemelClient client = clients.of(command);
        RunJobRequest request = command.message("request", RunJobRequest.getDefaultInstance());
        int count = command.number("count");
        int concurrency = command.number("concurrency");
        Deque<CompletableFuture<Answer<RunJobResponse>>> underWay = new ArrayDeque<>();
        JsonArray results = new JsonArray();
        for (int number = 0; number < count; number++) {
            if (underWay.size() >= concurrency) {
                results.add(result(underWay.remove()));
            }
            underWay.add(client.execute(JobServiceGrpc.getRunJobMethod(), request));
        }
        underWay.forEach(call -> results.add(result(call)));
        JsonObject ok = new JsonObject();
        ok.add("results", results);
        return ok;
    }

    private static JsonObject result(CompletableFuture<Answer<RunJobResponse>> call) {
        try {
            return result(call.get().response());
        } catch (ExecutionException | InterruptedException failed) {
            return result(SemelExceptions.of(failed));
        }
    }

    static JsonObject result(RunJobResponse answer) {
        JsonObject result = new JsonObject();
        result.addProperty("request_id", answer.getHeader().getRequestId());
        result.addProperty("run_id", answer.getRunId());
        result.addProperty("disposition", answer.getHeader().getDisposition().name());
        return result;
    }

    static JsonObject result(SemelException error) {
        JsonObject result = new JsonObject();
        result.addProperty("request_id", error.requestId());
        result.add("error", Json.error(error));
        return result;
    }

    JsonObject await(Command command) throws InvalidProtocolBufferException {
        Optional<Run> run = clients.of(command).waitUntilFinished(command.text("run_id"), command.millis("timeout"));
        JsonObject ok = new JsonObject();
        ok.add("run", run.isPresent() ? Json.of(run.get()) : null);
        ok.addProperty("finished", run.isPresent());
        return ok;
    }
}
