// Between JSON and the protocol's messages, and the form of an error.
package dev.semel.driver;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.gson.JsonPrimitive;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.protobuf.util.JsonFormat;
import com.google.protobuf.util.JsonFormat.TypeRegistry;
import dev.semel.client.SemelException;
import dev.semel.v1.AuthStatus;
import java.util.Locale;

/** Between JSON and messages. */
final class Json {
    private static final Gson GSON =
            new GsonBuilder().serializeNulls().disableHtmlEscaping().create();
    private static final TypeRegistry TYPES = types();
    private static final JsonFormat.Printer PRINTER = JsonFormat.printer()
            .usingTypeRegistry(TYPES)
            .preservingProtoFieldNames()
            .omittingInsignificantWhitespace();
    private static final JsonFormat.Parser PARSER = JsonFormat.parser().usingTypeRegistry(TYPES);

    private Json() {}

    private static TypeRegistry types() {
        TypeRegistry.Builder types = TypeRegistry.newBuilder();
        Methods.files().forEach(file -> types.add(file.getMessageTypes()));
        types.add(com.google.rpc.ErrorDetailsProto.getDescriptor().getMessageTypes());
        return types.build();
    }

    static String write(JsonElement element) {
        return GSON.toJson(element);
    }

    static JsonElement of(Message message) throws InvalidProtocolBufferException {
        return JsonParser.parseString(PRINTER.print(message));
    }

    @SuppressWarnings("unchecked") // A builder builds what it was made of.
    static <M extends Message> M read(JsonElement element, M prototype) throws InvalidProtocolBufferException {
        if (element.isJsonNull()) {
            return prototype;
        }
        Message.Builder builder = prototype.newBuilderForType();
        PARSER.merge(element.toString(), builder);
        return (M) builder.build();
    }

    /** A verdict of a later version goes by its number. */
    private static JsonElement authStatus(SemelException error) {
        if (error.authStatus() != AuthStatus.UNRECOGNIZED) {
            return new JsonPrimitive(error.authStatus().name());
        }
        return new JsonPrimitive(error.header().orElseThrow().getAuth().getStatusValue());
    }

    static JsonObject error(SemelException error) {
        JsonObject json = new JsonObject();
        json.addProperty("kind", error.kind().name().toLowerCase(Locale.ROOT));
        json.addProperty("code", error.code().name());
        json.addProperty("reason", error.reason());
        json.add("auth_status", authStatus(error));
        json.addProperty("may_retry", error.mayRetry());
        json.addProperty("request_id", error.requestId());
        json.addProperty("attempts", error.attempts());
        json.addProperty("message", error.getMessage());
        JsonArray violations = new JsonArray();
        for (SemelException.Violation violation : error.violations()) {
            JsonArray pair = new JsonArray();
            pair.add(violation.field());
            pair.add(violation.description());
            violations.add(pair);
        }
        json.add("violations", violations);
        JsonObject metadata = new JsonObject();
        error.metadata().forEach(metadata::addProperty);
        json.add("metadata", metadata);
        json.add("oldest_revision", null);
        error.oldestRevision().ifPresent(revision -> json.addProperty("oldest_revision", revision));
        return json;
    }
}
