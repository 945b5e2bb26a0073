package dev.semel.driver;
import com.google.gson.JsonObject;
final class WorkerOps {
    WorkerOps(Clients clients, Print print) {}
    JsonObject work(Command command) { throw new UnsupportedOperationException("later"); }
    JsonObject stop(Command command) { throw new UnsupportedOperationException("later"); }
    JsonObject release(Command command) { throw new UnsupportedOperationException("later"); }
}
