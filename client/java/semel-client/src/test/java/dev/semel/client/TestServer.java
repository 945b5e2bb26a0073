package dev.semel.client;

import static org.junit.jupiter.api.Assertions.fail;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.google.gson.JsonParser;
import dev.semel.v1.CreateAppRequest;
import dev.semel.v1.CreateJobRequest;
import dev.semel.v1.JobSpec;
import dev.semel.v1.RetryPolicy;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * A server of the binary that SEMEL_BIN names, on a free port with a fresh folder. Without one the test is skipped, or fails where
 * SEMEL_REQUIRE_BIN is 1.
 */
final class TestServer implements AutoCloseable {
    private static final Duration START_MAX = Duration.ofSeconds(60);

    private final Path folder;
    private Process process;
    private String address = "127.0.0.1:0";

    TestServer() {
        String binary = System.getenv("SEMEL_BIN");
        if (binary == null && "1".equals(System.getenv("SEMEL_REQUIRE_BIN"))) {
            fail("SEMEL_BIN must name a built semel");
        }
        assumeTrue(binary != null, "SEMEL_BIN names no built semel");
        try {
            folder = Files.createTempDirectory("semel-java-");
            start();
        } catch (IOException cannot) {
            throw new IllegalStateException(cannot);
        }
        try (SemelClient admin = admin().build()) {
            admin.createApp(CreateAppRequest.newBuilder().setApp("pay").build());
        }
    }

    /** Starts it, for the first time or again where it was. */
    void start() throws IOException {
        Path ready = folder.resolve("ready.json");
        Files.deleteIfExists(ready);
        process = new ProcessBuilder(List.of(
                        System.getenv("SEMEL_BIN"),
                        "serve",
                        "--listen",
                        address,
                        "--data-dir",
                        folder.resolve("data").toString(),
                        "--ready-file",
                        ready.toString()))
                .redirectErrorStream(true)
                .redirectOutput(
                        ProcessBuilder.Redirect.appendTo(folder.resolve("log").toFile()))
                .start();
        long deadline = System.nanoTime() + START_MAX.toNanos();
        while (!Files.exists(ready)) {
            if (!process.isAlive() || System.nanoTime() - deadline > 0) {
                throw new IllegalStateException("it did not start: " + Files.readString(folder.resolve("log")));
            }
            Thread.onSpinWait();
        }
        address = JsonParser.parseString(Files.readString(ready))
                .getAsJsonObject()
                .get("address")
                .getAsString();
    }

    /** Kills it, as a crash would. */
    void kill() {
        process.destroyForcibly().onExit().join();
    }

    String url() {
        return "http://" + address;
    }

    /** A client with the rights of the first admin, for the app pay. */
    SemelClient.Builder admin() {
        try {
            String secret =
                    Files.readString(folder.resolve("data/admin-secret")).strip();
            return SemelClient.builder(url()).app("pay").credentials(Credentials.secret("system", secret));
        } catch (IOException unreadable) {
            throw new IllegalStateException(unreadable);
        }
    }

    static void createJob(SemelClient client, String name) {
        RetryPolicy retry = RetryPolicy.newBuilder().setMaxAttempts(2).build();
        client.createJob(CreateJobRequest.newBuilder()
                .setJob(name)
                .setSpec(JobSpec.newBuilder().setProcessor(name).setRetry(retry))
                .build());
    }

    @Override
    public void close() {
        process.destroy();
        try {
            if (!process.waitFor(20, TimeUnit.SECONDS)) {
                kill();
            }
            List<Path> files = new ArrayList<>(Files.walk(folder).toList());
            java.util.Collections.reverse(files);
            for (Path file : files) {
                Files.delete(file);
            }
        } catch (IOException | InterruptedException cannot) {
            throw new IllegalStateException(cannot);
        }
    }
}
