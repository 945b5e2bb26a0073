// One command under way: its fields, and how it is cancelled.
package dev.semel.driver;

import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import java.time.Duration;

/** A command of the runner. */
final class Command {
    private final JsonObject fields;
    private Runnable canceller = () -> {};
    private boolean cancelled;

    Command(JsonObject fields) {
        this.fields = fields;
    }

    /** It is begun on the present thread, which a cancel interrupts. */
    synchronized void begin() {
        Thread thread = Thread.currentThread();
        cancelBy(thread::interrupt);
    }

    /** It is cancelled so, instead. */
    synchronized void cancelBy(Runnable how) {
        canceller = how;
        if (cancelled) {
            how.run();
        }
    }

    synchronized void cancel() {
        cancelled = true;
        canceller.run();
    }

    /** It has ended; the thread is used again. */
    synchronized void end() {
        canceller = () -> {};
        Thread.interrupted();
    }

    JsonElement id() {
        return get("id");
    }

    String op() {
        return text("op");
    }

    boolean has(String name) {
        return fields.has(name) && !fields.get(name).isJsonNull();
    }

    JsonElement get(String name) {
        return fields.has(name) ? fields.get(name) : JsonNull.INSTANCE;
    }

    JsonObject object(String name) {
        return has(name) ? get(name).getAsJsonObject() : new JsonObject();
    }

    String text(String name) {
        return text(name, null);
    }

    String text(String name, String otherwise) {
        if (!has(name)) {
            if (otherwise == null) {
                throw new IllegalArgumentException("the command has no " + name);
            }
            return otherwise;
        }
        return get(name).getAsString();
    }

    int number(String name) {
        if (!has(name)) {
            throw new IllegalArgumentException("the command has no " + name);
        }
        return get(name).getAsInt();
    }

    Duration millis(String name) {
        return Duration.ofMillis(number(name));
    }

    /** The message in a field, as that of the prototype. */
    <M extends Message> M message(String name, M prototype) throws InvalidProtocolBufferException {
        return Json.read(get(name), prototype);
    }
}
