// The commands about many runs.
package dev.semel.driver;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import dev.semel.client.SubmissionResult;
import dev.semel.client.Submissions;
import dev.semel.v1.RunJobRequest;
import java.util.Iterator;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/** The commands about many runs. */
final class SubmitOps {
    private final Clients clients;

    SubmitOps(Clients clients) {
        this.clients = clients;
    }

    JsonObject submitMany(Command command) throws InvalidProtocolBufferException {
        RunJobRequest request = command.message("request", RunJobRequest.getDefaultInstance());
        Stream<RunJobRequest> runs =
                IntStream.range(0, command.number("count")).mapToObj(number -> numbered(request, number));
        JsonArray results = new JsonArray();
        try (Submissions submissions = clients.of(command).submitMany(runs)) {
            for (SubmissionResult result : submissions) {
                results.add(result.response()
                        .map(CallOps::result)
                        .orElseGet(() -> CallOps.result(result.error().orElseThrow())));
            }
        }
        JsonObject ok = new JsonObject();
        ok.add("results", results);
        return ok;
    }

    private static RunJobRequest numbered(RunJobRequest request, int number) {
        RunJobRequest.Builder run = request.toBuilder();
        run.getPayloadBuilder().setData(ByteString.copyFromUtf8(Integer.toString(number)));
        return run.build();
    }

    JsonObject bench(Command command) throws InvalidProtocolBufferException {
        RunJobRequest request = command.message("request", RunJobRequest.getDefaultInstance());
        long begin = System.nanoTime();
        long end = begin + command.millis("duration").toNanos();
        Iterator<RunJobRequest> runs = new Iterator<>() {
            @Override
            public boolean hasNext() {
                return System.nanoTime() - end < 0;
            }

            @Override
            public RunJobRequest next() {
                return request;
            }
        };
        long items = 0;
        try (Submissions submissions = clients.of(command).submitMany(runs)) {
            for (SubmissionResult result : submissions) {
                result.orThrow();
                items++;
            }
        }
        JsonObject ok = new JsonObject();
        ok.addProperty("items", items);
        ok.addProperty("elapsed", (System.nanoTime() - begin) / 1_000_000);
        return ok;
    }
}
