// The submitter: it has each file counted by a run of its own, and prints the results in their order.
package dev.semel.examples.wordcount;

import com.google.protobuf.ByteString;
import dev.semel.client.SemelClient;
import dev.semel.client.SemelException;
import dev.semel.client.SubmissionResult;
import dev.semel.client.Submissions;
import dev.semel.v1.CreateJobRequest;
import dev.semel.v1.JobSpec;
import dev.semel.v1.Payload;
import dev.semel.v1.Run;
import dev.semel.v1.RunJobRequest;
import dev.semel.v1.RunState;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** Has files counted. */
final class Submitter {
    private Submitter() {}

    /** Gives back whether all were counted. */
    static boolean submit(SemelClient client, List<Path> files) throws IOException {
        createJob(client);
        boolean whole = true;
        try (Submissions submissions = client.submitMany(files.stream().map(Submitter::run))) {
            for (Path file : files) {
                whole &= print(client, file, submissions.next());
            }
        } catch (UncheckedIOException unreadable) {
            throw unreadable.getCause();
        }
        return whole;
    }

    private static void createJob(SemelClient client) {
        JobSpec spec = JobSpec.newBuilder().setProcessor(WordCount.JOB).build();
        try {
            client.createJob(CreateJobRequest.newBuilder()
                    .setJob(WordCount.JOB)
                    .setSpec(spec)
                    .build());
        } catch (SemelException error) {
            if (!error.reason().equals("ALREADY_EXISTS")) {
                throw error;
            }
        }
    }

    private static RunJobRequest run(Path file) {
        try {
            return RunJobRequest.newBuilder()
                    .setJob(WordCount.JOB)
                    .putLabels("file", file.getFileName().toString())
                    .setPayload(Payload.newBuilder()
                            .setContentType("text/plain")
                            .setData(ByteString.copyFrom(Files.readAllBytes(file))))
                    .build();
        } catch (IOException unreadable) {
            throw new UncheckedIOException(unreadable);
        }
    }

    private static boolean print(SemelClient client, Path file, SubmissionResult result) {
        if (result.error().isPresent()) {
            System.err.println(file + ": " + result.error().get());
            return false;
        }
        Run run = client.waitUntilFinished(result.orThrow().getRunId());
        boolean counted = run.getState() == RunState.RUN_STATE_SUCCEEDED;
        String what = counted
                ? run.getResult().getData().toStringUtf8()
                : run.getState().name();
        System.out.println(what + "\t" + file);
        return counted;
    }
}
