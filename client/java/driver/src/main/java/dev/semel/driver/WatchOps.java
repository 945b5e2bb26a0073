// The commands about watches: what each tells goes out as events.
package dev.semel.driver;

import com.google.gson.JsonObject;
import com.google.protobuf.InvalidProtocolBufferException;
import dev.semel.client.Watch;
import dev.semel.client.WatchItem;
import dev.semel.client.WatchOptions;
import dev.semel.v1.WatchRequest;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/** The commands about watches. */
final class WatchOps {
    private final Clients clients;
    private final Print print;
    private final Map<String, Watch> watches = new ConcurrentHashMap<>();

    WatchOps(Clients clients, Print print) {
        this.clients = clients;
        this.print = print;
    }

    JsonObject watch(Command command) throws InvalidProtocolBufferException {
        WatchOptions options = WatchOptions.of(command.message("request", WatchRequest.getDefaultInstance()));
        if (command.has("token")) {
            options = options.resume(command.text("token"));
        }
        String name = command.text("watch");
        try (Watch watch = clients.of(command).watch(options)) {
            watches.put(name, watch);
            for (WatchItem item : watch) {
                print.line(line(name, item));
            }
        } finally {
            watches.remove(name);
        }
        return new JsonObject();
    }

    private static JsonObject line(String name, WatchItem item) throws InvalidProtocolBufferException {
        JsonObject line = new JsonObject();
        line.addProperty("watch", name);
        tell(line, item.told());
        line.addProperty("token", item.resumeToken().orElse(null));
        return line;
    }

    private static void tell(JsonObject line, WatchItem.Told told) throws InvalidProtocolBufferException {
        if (told instanceof WatchItem.Opened opened) {
            line.addProperty("told", "opened");
            line.addProperty("revision", opened.revision());
        } else if (told instanceof WatchItem.SnapshotBegin) {
            line.addProperty("told", "snapshot_begin");
        } else if (told instanceof WatchItem.RunRow row) {
            line.addProperty("told", "run");
            line.add("message", Json.of(row.run()));
        } else if (told instanceof WatchItem.JobRow row) {
            line.addProperty("told", "job");
            line.add("message", Json.of(row.job()));
        } else if (told instanceof WatchItem.WorkerRow row) {
            line.addProperty("told", "worker");
            line.add("message", Json.of(row.worker()));
        } else if (told instanceof WatchItem.SnapshotEnd end) {
            line.addProperty("told", "snapshot_end");
            line.addProperty("revision", end.revision());
        } else if (told instanceof WatchItem.Happened happened) {
            line.addProperty("told", "event");
            line.addProperty("revision", happened.event().getRevision());
            line.add("message", Json.of(happened.event()));
        } else if (told instanceof WatchItem.Progress progress) {
            line.addProperty("told", "progress");
            line.addProperty("revision", progress.revision());
        } else if (told instanceof WatchItem.CredentialsExpiring) {
            line.addProperty("told", "expiring");
        } else if (told instanceof WatchItem.Lost lost) {
            line.addProperty("told", "lost");
            line.add("error", Json.error(lost.why()));
        }
    }

    JsonObject stop(Command command) {
        Watch watch = watches.get(command.text("watch"));
        if (watch != null) {
            watch.close();
        }
        return new JsonObject();
    }
}
