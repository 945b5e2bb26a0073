// How a worker is set up.
package dev.semel.client;

import dev.semel.client.internal.Core;
import dev.semel.client.internal.worker.WorkerLoop;
import dev.semel.client.internal.worker.WorkerSettings;
import java.time.Duration;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;

/**
 * Sets up a {@link Worker}.
 *
 * <pre>{@code
 * Worker worker = client.worker().processor("count", attempt -> count(attempt.payload())).slots(8).build();
 * Runtime.getRuntime().addShutdownHook(new Thread(worker::close));
 * worker.run();
 * }</pre>
 */
public final class WorkerBuilder {
    private static final int SLOTS_MAX = 10_000;
    private static final int PROCESSORS_MAX = 256;

    private final Core core;
    private final Map<String, Processor> processors = new TreeMap<>();
    private String app;
    private String name = "";
    private int slots = 1;
    private Duration drainTimeout = Duration.ofSeconds(30);
    private Duration cancelTimeout = Duration.ofSeconds(10);
    private Runnable onConnected = () -> {};

    WorkerBuilder(Core core) {
        this.core = core;
        this.app = core.settings().app();
    }

    /**
     * The app whose runs it takes. Default: that of the client, and without one that of the credentials.
     *
     * @param app its name
     * @return this
     */
    public WorkerBuilder app(String app) {
        this.app = Objects.requireNonNull(app, "app");
        return this;
    }

    /**
     * A name for people, for instance the host's. Default: none.
     *
     * @param name at most 255 characters
     * @return this
     */
    public WorkerBuilder name(String name) {
        this.name = Objects.requireNonNull(name, "name");
        return this;
    }

    /**
     * Offers a processor under a name; a later one under the same name takes its place.
     *
     * @param name its name
     * @param processor what does the work
     * @return this
     */
    public WorkerBuilder processor(String name, Processor processor) {
        processors.put(Objects.requireNonNull(name, "name"), Objects.requireNonNull(processor, "processor"));
        return this;
    }

    /**
     * How many attempts it takes at a time, each on a thread of its own. Default 1.
     *
     * @param slots from 1 to 10,000
     * @return this
     */
    public WorkerBuilder slots(int slots) {
        this.slots = slots;
        return this;
    }

    /**
     * How long what runs may go on after the stop, before it is cancelled and given back. Default 30 s.
     *
     * @param timeout zero for not at all
     * @return this
     */
    public WorkerBuilder drainTimeout(Duration timeout) {
        this.drainTimeout = Objects.requireNonNull(timeout, "timeout");
        return this;
    }

    /**
     * How long a processor may take to stop after it was told to, before the worker reports without it. Its slot stays taken
     * until its thread has ended. Default 10 s.
     *
     * @param timeout zero for not at all
     * @return this
     */
    public WorkerBuilder cancelTimeout(Duration timeout) {
        this.cancelTimeout = Objects.requireNonNull(timeout, "timeout");
        return this;
    }

    /**
     * What is called whenever a stream has been opened, for the first time and after each reconnect: for readiness probes. It
     * runs on the worker's own thread and should return at once. Default: nothing.
     *
     * @param listener what to call
     * @return this
     */
    public WorkerBuilder onConnected(Runnable listener) {
        this.onConnected = Objects.requireNonNull(listener, "listener");
        return this;
    }

    /**
     * The worker.
     *
     * @return a worker that is not running yet
     * @throws SemelException of kind {@code USAGE} if something about it is wrong
     */
    public Worker build() {
        if (processors.isEmpty() || processors.size() > PROCESSORS_MAX) {
            throw SemelException.usage("a worker needs from 1 to " + PROCESSORS_MAX + " processors; add one");
        }
        if (slots < 1 || slots > SLOTS_MAX) {
            throw SemelException.usage("slots must be from 1 to " + SLOTS_MAX);
        }
        if (drainTimeout.isNegative() || cancelTimeout.isNegative()) {
            throw SemelException.usage("a timeout must not be negative");
        }
        String id = core.mint().toString();
        return new WorkerLoop(
                core,
                new WorkerSettings(
                        id, app, name, Map.copyOf(processors), slots, drainTimeout, cancelTimeout, onConnected));
    }
}
