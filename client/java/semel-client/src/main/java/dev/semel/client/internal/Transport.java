// One attempt of a call: over which connection, with which credentials, within which time, and whether a Semel server
// was at
// the other end. It never sends anything twice by itself; what gRPC's own retries do stands in service_config.json.
package dev.semel.client.internal;

import com.google.gson.Gson;
import com.google.gson.reflect.TypeToken;
import com.google.protobuf.Message;
import dev.semel.client.Credentials;
import dev.semel.client.SemelException;
import io.grpc.CallCredentials;
import io.grpc.CallOptions;
import io.grpc.ChannelCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.MethodDescriptor;
import io.grpc.TlsChannelCredentials;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.URISyntaxException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** The connection of a client, and single attempts over it. */
public final class Transport implements AutoCloseable {
    /** The largest message in either direction, as the server has it. */
    public static final int MESSAGE_BYTES_MAX = 8 * 1024 * 1024;
    /**
     * A connection that is dead without a word is noticed after at most the sum of these two, also while it idles: a call
     * that comes afterwards should not have to find out by its own time-out.
     */
    private static final Duration KEEPALIVE_INTERVAL = Duration.ofSeconds(20);

    private static final Duration KEEPALIVE_TIMEOUT = Duration.ofSeconds(10);
    private static final Duration CLOSE_TIMEOUT = Duration.ofSeconds(2);

    private final Settings settings;
    private final Threads threads;
    private final ServerClock clock;
    private final ManagedChannel channel;

    Transport(Settings settings, Threads threads, ServerClock clock) {
        this.settings = settings;
        this.threads = threads;
        this.clock = clock;
        this.channel = newChannel();
    }

    /** The connection that calls share; it is made when the first call is. */
    public ManagedChannel channel() {
        return channel;
    }

    /** A connection of its own, for a stream that shall not hold up others; the caller shuts it down. */
    public ManagedChannel newChannel() {
        URI endpoint = parse(settings.endpoint());
        boolean secure = endpoint.getScheme().equals("https");
        ChannelCredentials credentials = secure ? tls(settings.tls()) : plaintext(endpoint.getHost());
        int port = endpoint.getPort() >= 0 ? endpoint.getPort() : secure ? 443 : 80;
        ManagedChannelBuilder<?> builder = Grpc.newChannelBuilderForAddress(endpoint.getHost(), port, credentials)
                .executor(threads)
                .userAgent(settings.clientName() + "/" + Version.CLIENT)
                .maxInboundMessageSize(MESSAGE_BYTES_MAX)
                .keepAliveTime(KEEPALIVE_INTERVAL.toMillis(), TimeUnit.MILLISECONDS)
                .keepAliveTimeout(KEEPALIVE_TIMEOUT.toMillis(), TimeUnit.MILLISECONDS)
                .keepAliveWithoutCalls(true)
                .proxyDetector(target -> null)
                .disableServiceConfigLookUp();
        if (settings.retryPolicy().attemptsMax() > 1) {
            builder.defaultServiceConfig(serviceConfig()).enableRetry();
        } else {
            builder.disableRetry();
        }
        return builder.build();
    }

    private static ChannelCredentials tls(Settings.Tls tls) {
        TlsChannelCredentials.Builder credentials = TlsChannelCredentials.newBuilder();
        try {
            if (tls.authorities() != null) {
                credentials.trustManager(tls.authorities().toFile());
            }
            if (tls.certificate() != null) {
                credentials.keyManager(tls.certificate().toFile(), tls.key().toFile());
            }
        } catch (IOException unreadable) {
            throw SemelExceptions.usage("cannot read the certificates: " + unreadable.getMessage());
        }
        return credentials.build();
    }

    /** Credentials do not travel in the clear to another machine, unless that was allowed. */
    private ChannelCredentials plaintext(String host) {
        boolean bare = settings.credentials() instanceof Credentials.None;
        if (!bare && !settings.plaintextAllowed() && !isLoopback(host)) {
            throw SemelExceptions.usage("credentials would go in the clear to " + host
                    + "; give an https endpoint, or allow plaintext where a mesh encrypts");
        }
        return InsecureChannelCredentials.create();
    }

    /** By name or number alone: nothing is resolved. */
    static boolean isLoopback(String host) {
        return host.equalsIgnoreCase("localhost")
                || host.equals("[::1]")
                || host.matches("127\\.\\d{1,3}\\.\\d{1,3}\\.\\d{1,3}");
    }

    /** Checks an address, without connecting. */
    static URI parse(String endpoint) {
        try {
            URI uri = new URI(endpoint);
            boolean known = "http".equals(uri.getScheme()) || "https".equals(uri.getScheme());
            if (known && uri.getHost() != null && uri.getRawQuery() == null && uri.getRawUserInfo() == null) {
                return uri;
            }
        } catch (URISyntaxException unreadable) {
            // It is said below.
        }
        String message = "cannot use the endpoint \"" + endpoint + "\"; give http://HOST:PORT or https://HOST:PORT";
        throw SemelException.builder(SemelException.Kind.USAGE, io.grpc.Status.Code.INVALID_ARGUMENT, message)
                .build();
    }

    private static Map<String, ?> serviceConfig() {
        try (var in = SemelException.class.getResourceAsStream("service_config.json");
                var reader = new InputStreamReader(in, StandardCharsets.UTF_8)) {
            return new Gson().fromJson(reader, new TypeToken<Map<String, Object>>() {}.getType());
        } catch (IOException unreadable) {
            throw new UncheckedIOException(unreadable);
        }
    }

    /** What a call is sent with. */
    public static CallOptions options(CallCredentials credentials) {
        return credentials == null ? CallOptions.DEFAULT : CallOptions.DEFAULT.withCallCredentials(credentials);
    }

    /**
     * One attempt to send a request and get its answer, for a while at most; to be started.
     *
     * @param then gets the answer or the refusal, once
     */
    <Q extends Message, R extends Message> UnaryAttempt<Q, R> attempt(
            MethodDescriptor<Q, R> method,
            Q request,
            Signature signature,
            Duration timeout,
            UnaryAttempt.Then<R> then) {
        CopyTracer copies = new CopyTracer();
        CallOptions options = options(signature.credentials())
                .withDeadlineAfter(timeout.toNanos(), TimeUnit.NANOSECONDS)
                .withStreamTracerFactory(copies);
        return new UnaryAttempt<>(channel.newCall(method, options), copies, clock, request, then);
    }

    /** Makes a channel that waits before it connects again do so now. */
    public static void hurry(ManagedChannel channel) {
        channel.resetConnectBackoff();
    }

    @Override
    public void close() {
        close(channel);
    }

    /** Ends a connection, with what is under way on it, and waits a little until it is gone. */
    public static void close(ManagedChannel channel) {
        channel.shutdownNow();
        boolean interrupted = Thread.interrupted();
        try {
            channel.awaitTermination(CLOSE_TIMEOUT.toMillis(), TimeUnit.MILLISECONDS);
        } catch (InterruptedException again) {
            interrupted = true;
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}
