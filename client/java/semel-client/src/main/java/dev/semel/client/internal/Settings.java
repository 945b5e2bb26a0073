// What a client was set up with. Plain data.
package dev.semel.client.internal;

import dev.semel.client.Credentials;
import dev.semel.client.RetryPolicy;
import java.nio.file.Path;
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
        String clientName,
        Tls tls,
        boolean plaintextAllowed) {
    /**
     * What TLS goes by, each in PEM.
     *
     * @param authorities whom the server's certificate is held against; null for those that the JVM trusts
     * @param certificate the client's own; null for none
     * @param key its key; null for none
     */
    public record Tls(Path authorities, Path certificate, Path key) {}
}
