// The clients that the runner has connected, by name.
package dev.semel.driver;

import com.google.gson.JsonObject;
import dev.semel.client.Credentials;
import dev.semel.client.RetryPolicy;
import dev.semel.client.SemelClient;
import dev.semel.client.internal.Version;
import java.nio.file.Path;
import java.time.Clock;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/** The clients of the driver. */
final class Clients {
    private final Map<String, SemelClient> clients = new ConcurrentHashMap<>();

    static JsonObject hello() {
        JsonObject hello = new JsonObject();
        hello.addProperty("client", "semel-client");
        hello.addProperty("version", Version.CLIENT);
        hello.addProperty("language", "java");
        hello.addProperty("runtime", System.getProperty("java.vm.name") + " " + Runtime.version());
        hello.addProperty("grpc", "grpc-java " + Version.GRPC);
        return hello;
    }

    JsonObject connect(Command command) {
        JsonObject options = command.object("options");
        SemelClient.Builder builder = SemelClient.builder(command.text("endpoint"))
                .app(command.text("app", ""))
                .credentials(credentials(command.object("credentials")));
        if (options.has("request_timeout")) {
            builder.requestTimeout(millis(options, "request_timeout"));
        }
        if (options.has("overall_timeout")) {
            builder.overallTimeout(millis(options, "overall_timeout"));
        }
        if (options.has("clock_offset")) {
            builder.clock(Clock.offset(Clock.systemUTC(), millis(options, "clock_offset")));
        }
        tls(builder, options);
        SemelClient former = clients.put(
                command.text("client"),
                builder.retryPolicy(retryPolicy(options)).build());
        if (former != null) {
            former.close();
        }
        return new JsonObject();
    }

    private static void tls(SemelClient.Builder builder, JsonObject options) {
        JsonObject tls = options.has("tls") ? options.getAsJsonObject("tls") : new JsonObject();
        if (tls.has("ca")) {
            builder.trustedAuthorities(Path.of(tls.get("ca").getAsString()));
        }
        if (tls.has("cert")) {
            builder.clientCertificate(
                    Path.of(tls.get("cert").getAsString()),
                    Path.of(tls.get("key").getAsString()));
        }
    }

    private static RetryPolicy retryPolicy(JsonObject options) {
        RetryPolicy policy = RetryPolicy.defaults();
        if (options.has("attempts_max")) {
            policy = policy.withAttemptsMax(options.get("attempts_max").getAsInt());
        }
        if (options.has("backoff_first")) {
            policy = policy.withBackoff(millis(options, "backoff_first"), policy.backoffMax());
        }
        if (options.has("backoff_max")) {
            policy = policy.withBackoff(policy.backoffFirst(), millis(options, "backoff_max"));
        }
        return policy;
    }

    private static Credentials credentials(JsonObject given) {
        if (given.has("token")) {
            return Credentials.token(given.get("token").getAsString());
        }
        if (given.has("secret")) {
            return Credentials.secret(
                    given.get("app").getAsString(), given.get("secret").getAsString());
        }
        return Credentials.none();
    }

    private static Duration millis(JsonObject options, String name) {
        return Duration.ofMillis(options.get(name).getAsLong());
    }

    JsonObject close(Command command) {
        SemelClient client = clients.remove(command.text("client"));
        if (client != null) {
            client.close();
        }
        return new JsonObject();
    }

    void closeAll() {
        clients.values().forEach(SemelClient::close);
    }

    SemelClient of(Command command) {
        SemelClient client = clients.get(command.text("client"));
        if (client == null) {
            throw new IllegalArgumentException("no client " + command.text("client"));
        }
        return client;
    }
}
