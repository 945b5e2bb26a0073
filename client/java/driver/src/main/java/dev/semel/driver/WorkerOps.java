// The commands about workers, and what goes out as events while they run.
package dev.semel.driver;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import dev.semel.client.SemelClient;
import dev.semel.client.Worker;
import dev.semel.client.WorkerBuilder;
import dev.semel.client.WorkerSummary;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/** The commands about workers. */
final class WorkerOps {
    /** A worker that runs, and what the runner can do to its processors. */
    private record Running(Worker worker, Processors processors) {}

    private final Clients clients;
    private final Print print;
    private final Map<String, Running> running = new ConcurrentHashMap<>();

    WorkerOps(Clients clients, Print print) {
        this.clients = clients;
        this.print = print;
    }

    JsonObject work(Command command) {
        String name = command.text("worker");
        SemelClient client = clients.of(command);
        Processors processors = new Processors(name, print);
        WorkerBuilder builder = client.worker().slots(command.number("slots")).onConnected(() -> {
            JsonObject line = new JsonObject();
            line.addProperty("worker", name);
            line.addProperty("told", "connected");
            print.line(line);
        });
        for (JsonElement processor : command.get("processors").getAsJsonArray()) {
            builder.processor(processor.getAsString(), processors.named(processor.getAsString()));
        }
        if (command.has("drain_timeout")) {
            builder.drainTimeout(command.millis("drain_timeout"));
        }
        Worker worker = builder.build();
        running.put(name, new Running(worker, processors));
        try {
            return summary(worker.run());
        } finally {
            running.remove(name);
        }
    }

    private static JsonObject summary(WorkerSummary summary) {
        JsonObject ok = new JsonObject();
        ok.addProperty("succeeded", summary.succeeded());
        ok.addProperty("failed", summary.failed());
        ok.addProperty("cancelled", summary.cancelled());
        ok.addProperty("released", summary.released());
        return ok;
    }

    JsonObject stop(Command command) {
        Running worker = running.get(command.text("worker"));
        if (worker != null) {
            worker.processors.drain();
            worker.worker.stop();
        }
        return new JsonObject();
    }

    JsonObject release(Command command) {
        Running worker = running.get(command.text("worker"));
        if (worker != null) {
            worker.processors.release(command.text("run_id"));
        }
        return new JsonObject();
    }
}
