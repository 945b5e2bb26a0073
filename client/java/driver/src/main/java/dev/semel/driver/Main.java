// The driver's loop: commands in, answers out, one JSON object a line. It owns the two streams and which commands are
// under
// way; what each of them does stands in a file of its own.
package dev.semel.driver;

import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.JsonParser;
import com.google.protobuf.InvalidProtocolBufferException;
import dev.semel.client.SemelException;
import java.io.BufferedReader;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;

/** Makes the Java client do what the conformance runner says. */
public final class Main {
    private static final long SETTLE_MS = 200;
    private static final long END_SECONDS_MAX = 2;

    private final PrintStream out =
            new PrintStream(new FileOutputStream(FileDescriptor.out), false, StandardCharsets.UTF_8);
    private final ExecutorService threads = Executors.newCachedThreadPool();
    private final Map<String, Command> underWay = new ConcurrentHashMap<>();
    private final Clients clients = new Clients();
    private final CallOps calls = new CallOps(clients);
    private final SubmitOps submits = new SubmitOps(clients);
    private final WatchOps watches = new WatchOps(clients, this::print);
    private final WorkerOps workers = new WorkerOps(clients, this::print);

    private Main() {}

    /**
     * Runs until the input ends.
     *
     * @param args none
     * @throws IOException if the input cannot be read
     * @throws InterruptedException if its end is interrupted
     */
    public static void main(String[] args) throws IOException, InterruptedException {
        Main main = new Main();
        main.loop();
        main.end();
        System.exit(0);
    }

    /** Ends what is under way, and lets it say so. */
    private void end() throws InterruptedException {
        threads.shutdown();
        if (!threads.awaitTermination(SETTLE_MS, TimeUnit.MILLISECONDS)) {
            clients.closeAll();
            threads.awaitTermination(END_SECONDS_MAX, TimeUnit.SECONDS);
        }
    }

    private void loop() throws IOException {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            if (!line.isBlank()) {
                take(line);
            }
        }
    }

    private void take(String line) {
        Command command;
        try {
            command = new Command(JsonParser.parseString(line).getAsJsonObject());
        } catch (JsonParseException | IllegalStateException unreadable) {
            JsonObject fault = new JsonObject();
            fault.add("id", null);
            fault.addProperty("fault", "not a command: " + unreadable.getMessage());
            print(fault);
            return;
        }
        underWay.put(command.id().toString(), command);
        threads.execute(() -> answer(command));
    }

    private void answer(Command command) {
        JsonObject answer = new JsonObject();
        answer.add("id", command.id());
        command.begin();
        try {
            answer.add("ok", carryOut(command));
        } catch (SemelException refused) {
            answer.add("error", Json.error(refused));
        } catch (UnsupportedOperationException cannot) {
            answer.addProperty("unsupported", cannot.getMessage());
        } catch (Exception mistake) {
            mistake.printStackTrace();
            answer.addProperty("fault", mistake.toString());
        } finally {
            underWay.remove(command.id().toString());
            command.end();
        }
        print(answer);
    }

    private JsonObject carryOut(Command command) throws InvalidProtocolBufferException, InterruptedException {
        return switch (command.op()) {
            case "hello" -> Clients.hello();
            case "connect" -> clients.connect(command);
            case "close" -> clients.close(command);
            case "mint" -> calls.mint(command);
            case "uuid" -> CallOps.uuid(command);
            case "call" -> calls.call(command);
            case "cancel" -> cancel(command);
            case "call_many" -> calls.callMany(command);
            case "wait" -> calls.await(command);
            case "submit_many" -> submits.submitMany(command);
            case "bench_submit" -> submits.bench(command);
            case "bench_echo" -> Echo.bench(command);
            case "watch" -> watches.watch(command);
            case "stop_watch" -> watches.stop(command);
            case "worker" -> workers.work(command);
            case "stop_worker" -> workers.stop(command);
            case "release" -> workers.release(command);
            default -> throw new IllegalArgumentException("no such op: " + command.op());
        };
    }

    private JsonObject cancel(Command command) {
        Command target = underWay.get(command.get("target").toString());
        if (target != null) {
            target.cancel();
        }
        return new JsonObject();
    }

    private void print(JsonObject line) {
        String text = Json.write(line);
        synchronized (out) {
            out.println(text);
            out.flush();
        }
    }
}
