// What the driver's workers can do: the processors that the runner names.
package dev.semel.driver;

import com.google.gson.JsonObject;
import dev.semel.client.Attempt;
import dev.semel.client.AttemptException;
import dev.semel.client.Processor;
import dev.semel.v1.LogStream;
import dev.semel.v1.Payload;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;

/** The processors of one worker. */
final class Processors {
    private final String worker;
    private final Print print;
    /** What each run of {@code conformance.block} waits for. */
    private final Map<String, CountDownLatch> blocked = new ConcurrentHashMap<>();

    /** Whether the worker is about to stop, so that who is told to stop is given back. */
    private volatile boolean draining;

    Processors(String worker, Print print) {
        this.worker = worker;
        this.print = print;
    }

    Processor named(String name) {
        Processor processor = switch (name) {
            case "conformance.fail" ->
                attempt -> {
                    throw new IllegalStateException(text(attempt));
                };
            case "conformance.permanent" ->
                attempt -> {
                    throw AttemptException.permanent(text(attempt));
                };
            case "conformance.sleep" -> Processors::sleep;
            case "conformance.block" -> this::block;
            case "conformance.log" ->
                attempt -> {
                    attempt.log(
                            LogStream.LOG_STREAM_STDOUT,
                            attempt.payload().getData().toByteArray());
                    return Payload.getDefaultInstance();
                };
            default -> Attempt::payload;
        };
        return attempt -> observed(processor, attempt);
    }

    private Payload observed(Processor processor, Attempt attempt) throws Exception {
        tell(attempt, "started", null);
        String outcome = "failed";
        try {
            Payload result = processor.process(attempt);
            outcome = "succeeded";
            return result;
        } catch (InterruptedException told) {
            outcome = draining ? "released" : "cancelled";
            tell(attempt, "cancelled", null);
            throw told;
        } finally {
            tell(attempt, "ended", outcome);
        }
    }

    private static String text(Attempt attempt) {
        return attempt.payload().getData().toStringUtf8();
    }

    private static Payload sleep(Attempt attempt) throws InterruptedException {
        long ms = Long.parseLong(text(attempt));
        Thread.sleep(ms / 2);
        attempt.progress(0.5, "half");
        Thread.sleep(ms - ms / 2);
        return Payload.getDefaultInstance();
    }

    private Payload block(Attempt attempt) throws InterruptedException {
        latch(attempt.runId()).await();
        return Payload.getDefaultInstance();
    }

    void drain() {
        draining = true;
    }

    void release(String runId) {
        latch(runId).countDown();
    }

    private CountDownLatch latch(String runId) {
        return blocked.computeIfAbsent(runId, id -> new CountDownLatch(1));
    }

    private void tell(Attempt attempt, String told, String outcome) {
        JsonObject line = new JsonObject();
        line.addProperty("worker", worker);
        line.addProperty("told", told);
        line.addProperty("run_id", attempt.runId());
        line.addProperty("attempt", attempt.number());
        if (outcome != null) {
            line.addProperty("outcome", outcome);
        }
        print.line(line);
    }
}
