// What a worker was set up with. Plain data.
package dev.semel.client.internal.worker;

import dev.semel.client.Processor;
import java.time.Duration;
import java.util.Map;

/** What a worker was set up with; see the builder for what each of them means. */
public record WorkerSettings(
        String workerId,
        String app,
        String name,
        Map<String, Processor> processors,
        int slots,
        Duration drainTimeout,
        Duration cancelTimeout,
        Runnable onConnected) {}
