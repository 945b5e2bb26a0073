// What a client was set up with. Plain data.
package dev.semel.client.internal;

import dev.semel.client.Credentials;
import dev.semel.client.RetryPolicy;
import java.time.Clock;
import java.time.Duration;

/** What a client was set up with; see the builder for what each of them means. */
public record Settings(
        String endpoint,
        String app,
        Credentials credentials,
        Duration requestTimeout,
        Duration overallTimeout,
        RetryPolicy retryPolicy,
        Clock clock,
        String clientName) {}
