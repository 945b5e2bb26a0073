// The worker: it counts the words of each text that it is given.
package dev.semel.examples.wordcount;

import com.google.protobuf.ByteString;
import dev.semel.client.Attempt;
import dev.semel.client.AttemptException;
import dev.semel.client.SemelClient;
import dev.semel.client.Worker;
import dev.semel.v1.LogStream;
import dev.semel.v1.Payload;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;

/** Counts words. */
final class Counter {
    private Counter() {}

    /** Works until the program is told to stop, then ends what it has begun. */
    static void work(SemelClient client) {
        Worker worker = client.worker()
                .processor(WordCount.JOB, Counter::count)
                .slots(4)
                .build();
        Runtime.getRuntime().addShutdownHook(new Thread(worker::close));
        System.out.println(worker.run());
    }

    private static Payload count(Attempt attempt) throws AttemptException, InterruptedException {
        String text;
        try {
            ByteBuffer bytes = attempt.payload().getData().asReadOnlyByteBuffer();
            text = StandardCharsets.UTF_8.newDecoder().decode(bytes).toString();
        } catch (CharacterCodingException noText) {
            throw AttemptException.permanent("the payload is no text in UTF-8");
        }
        long words = 0;
        String[] lines = text.split("\n");
        for (int number = 0; number < lines.length; number++) {
            if (Thread.interrupted()) {
                throw new InterruptedException("told to stop");
            }
            words += lines[number].isBlank() ? 0 : lines[number].strip().split("\\s+").length;
            attempt.progress((number + 1.0) / lines.length, "line " + (number + 1));
        }
        String line = attempt.labels().getOrDefault("file", "a text") + " has " + words + " words\n";
        attempt.log(LogStream.LOG_STREAM_STDOUT, line.getBytes(StandardCharsets.UTF_8));
        return Payload.newBuilder()
                .setContentType("text/plain")
                .setData(ByteString.copyFromUtf8(Long.toString(words)))
                .build();
    }
}
