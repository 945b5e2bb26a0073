package dev.semel.driver;
import com.google.gson.JsonObject;
final class WatchOps {
    WatchOps(Clients clients, Print print) {}
    JsonObject watch(Command command) { throw new UnsupportedOperationException("later"); }
    JsonObject stop(Command command) { throw new UnsupportedOperationException("later"); }
}
