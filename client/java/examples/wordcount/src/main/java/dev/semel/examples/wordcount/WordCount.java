// The example's command line: which of its three parts is to run, and how they find the server.
package dev.semel.examples.wordcount;

import dev.semel.client.Credentials;
import dev.semel.client.SemelClient;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;

/** Counts words: {@code worker}, {@code submit FILE…}, or {@code watch}. */
public final class WordCount {
    /** The job, and the processor that it asks for. */
    static final String JOB = "wordcount";

    private WordCount() {}

    /**
     * Runs one part. The server, the app and its secret come from SEMEL_SERVER, SEMEL_APP and SEMEL_SECRET.
     *
     * @param args which part, and its arguments
     * @throws IOException if a file cannot be read
     */
    public static void main(String[] args) throws IOException {
        String part = args.length == 0 ? "" : args[0];
        List<Path> files = Arrays.stream(args).skip(1).map(Path::of).toList();
        try (SemelClient client = connect()) {
            switch (part) {
                case "worker" -> Counter.work(client);
                case "submit" -> System.exit(Submitter.submit(client, files) ? 0 : 1);
                case "watch" -> Watcher.watch(client);
                default -> {
                    System.err.println("usage: wordcount worker | submit FILE... | watch");
                    System.exit(2);
                }
            }
        }
    }

    private static SemelClient connect() {
        String app = System.getenv("SEMEL_APP");
        return SemelClient.builder(System.getenv().getOrDefault("SEMEL_SERVER", "http://127.0.0.1:7400"))
                .app(app)
                .credentials(Credentials.secret(app, System.getenv("SEMEL_SECRET")))
                .build();
    }
}
