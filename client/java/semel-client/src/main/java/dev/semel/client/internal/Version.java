// The version of this client, as the build wrote it down.
package dev.semel.client.internal;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Properties;

/** The version of this client. */
public final class Version {
    /** For instance {@code 0.1.0}. */
    public static final String CLIENT = read("version");
    /** That of gRPC which it was built with. */
    public static final String GRPC = read("grpc");

    private Version() {}

    private static String read(String name) {
        Properties properties = new Properties();
        try (var in = Version.class.getResourceAsStream("version.properties")) {
            properties.load(in);
        } catch (IOException unreadable) {
            throw new UncheckedIOException(unreadable);
        }
        return properties.getProperty(name);
    }
}
