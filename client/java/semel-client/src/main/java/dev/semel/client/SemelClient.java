// The client as a program holds it: how it is set up, and the way to everything it can do.
package dev.semel.client;

import com.google.protobuf.Message;
import dev.semel.client.internal.CallsBy;
import dev.semel.client.internal.Core;
import dev.semel.client.internal.RunWait;
import dev.semel.client.internal.Settings;
import dev.semel.client.internal.submit.SubmissionRun;
import dev.semel.client.internal.watch.WatchRun;
import dev.semel.v1.Run;
import dev.semel.v1.RunJobRequest;
import io.grpc.MethodDescriptor;
import java.nio.file.Path;
import java.time.Clock;
import java.time.Duration;
import java.util.Iterator;
import java.util.Objects;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.stream.Stream;

/**
 * A client of a Semel server. Made with {@link #builder}, used by any number of threads at a time, closed at the end.
 *
 * <pre>{@code
 * try (SemelClient client = SemelClient.builder("http://127.0.0.1:7400")
 *         .app("pay")
 *         .credentials(Credentials.secret("pay", System.getenv("PAY_SECRET")))
 *         .build()) {
 *     RunJobResponse answer = client.runJob(RunJobRequest.newBuilder().setJob("settle").build());
 *     Run run = client.waitUntilFinished(answer.getRunId());
 *     System.out.println(run.getState());
 * }
 * }</pre>
 *
 * <p>For how calls go, see {@link Calls}.
 */
public final class SemelClient implements SemelCalls, AutoCloseable {
    private final Core core;
    private final CallsBy calls;

    private SemelClient(Settings settings) {
        core = new Core(settings);
        calls = new CallsBy(core, CallSettings.none());
    }

    /**
     * Begins to set up a client.
     *
     * @param endpoint {@code http://HOST:PORT}, or {@code https://HOST:PORT} for TLS
     * @return a builder
     */
    public static Builder builder(String endpoint) {
        return new Builder(endpoint);
    }

    /**
     * The same client with settings for single calls.
     *
     * @param settings the settings
     * @return its calls
     */
    public SemelCalls with(CallSettings settings) {
        return new CallsBy(core, settings);
    }

    /**
     * Mints an id, by the server's clock as far as this client knows it. To survive a crash of your own program, store it
     * beside what you are about to do, and call with it: after the crash, call again under the same id.
     *
     * @return a UUIDv7
     */
    public UUID mintRequestId() {
        return core.mint();
    }

    @Override
    public <Q extends Message, R extends Message> CompletableFuture<Answer<R>> execute(
            MethodDescriptor<Q, R> method, Q request) {
        return calls.execute(method, request);
    }

    @Override
    public <Q extends Message, R extends Message> R call(MethodDescriptor<Q, R> method, Q request) {
        return calls.call(method, request);
    }

    @Override
    public <Q extends Message, R extends Message> CompletableFuture<R> callAsync(
            MethodDescriptor<Q, R> method, Q request) {
        return calls.callAsync(method, request);
    }

    /**
     * Makes many runs, over one stream. Each has an id of its own, minted as for a single call, and is sent until it has an
     * answer, always under that id. The results come in the order of the runs.
     *
     * @param runs the runs; read by a thread of the client, no further than 4096 ahead of the results that were taken
     * @return the results
     */
    public Submissions submitMany(Iterator<? extends RunJobRequest> runs) {
        return SubmissionRun.start(core, runs);
    }

    /**
     * The same for runs that stand in a collection.
     *
     * @param runs the runs
     * @return the results
     */
    public Submissions submitMany(Iterable<? extends RunJobRequest> runs) {
        return submitMany(runs.iterator());
    }

    /**
     * The same for a stream, which is read lazily and closed by nobody.
     *
     * @param runs the runs
     * @return the results
     */
    public Submissions submitMany(Stream<? extends RunJobRequest> runs) {
        return submitMany(runs.iterator());
    }

    /**
     * Watches what happens. Returns at once.
     *
     * <pre>{@code
     * try (Watch watch = client.watch(WatchOptions.all().jobs("settle").terminalOnly())) {
     *     for (WatchItem item : watch) {
     *         item.event().ifPresent(event -> System.out.println(event.getKind() + ", go on with " + item.resumeToken()));
     *     }
     * }
     * }</pre>
     *
     * @param options which events, and from where
     * @return the watch
     * @throws SemelException of kind {@code USAGE} if the token to resume from cannot be read
     */
    public Watch watch(WatchOptions options) {
        return WatchRun.start(core, options);
    }

    /**
     * Waits until a run has ended, however long that takes.
     *
     * @param runId the run, of the client's app
     * @return the run with its result
     * @throws SemelException if a single {@code WaitRun} failed for good
     */
    public Run waitUntilFinished(String runId) {
        return RunWait.forEver(core, runId);
    }

    /**
     * Waits until a run has ended, for a while at most.
     *
     * @param runId the run, of the client's app
     * @param timeout how long
     * @return the run with its result; nothing if it has not ended within that time
     * @throws SemelException if a single {@code WaitRun} failed for good
     */
    public Optional<Run> waitUntilFinished(String runId, Duration timeout) {
        return RunWait.atMost(core, runId, timeout);
    }

    /**
     * The same as {@link #waitUntilFinished(String)}, without holding a thread.
     *
     * @param runId the run, of the client's app
     * @return the run to come; cancelling it ends the wait
     */
    public CompletableFuture<Run> waitUntilFinishedAsync(String runId) {
        return RunWait.async(core, runId);
    }

    /**
     * Begins to set up a worker that speaks through this client.
     *
     * @return a builder
     */
    public WorkerBuilder worker() {
        return new WorkerBuilder(core);
    }

    /** Ends what is under way, with errors of kind {@code CANCELLED}, and lets go of connections and threads. */
    @Override
    public void close() {
        core.close();
    }

    /** Sets up a {@link SemelClient}. */
    public static final class Builder {
        private final String endpoint;
        private String app = "";
        private Credentials credentials = Credentials.none();
        private Duration requestTimeout = Duration.ofSeconds(10);
        private Duration overallTimeout = Duration.ofSeconds(60);
        private RetryPolicy retryPolicy = RetryPolicy.defaults();
        private Clock clock = Clock.systemUTC();
        private String clientName = "semel-client";
        private Path authorities;
        private Path certificate;
        private Path key;
        private boolean plaintextAllowed;

        private Builder(String endpoint) {
            this.endpoint = Objects.requireNonNull(endpoint, "endpoint");
        }

        /**
         * The app that calls are about which name none. Default: that of the credentials.
         *
         * @param app its name
         * @return this
         */
        public Builder app(String app) {
            this.app = Objects.requireNonNull(app, "app");
            return this;
        }

        /**
         * How the client proves who it is. Default: not at all.
         *
         * @param credentials the credentials
         * @return this
         */
        public Builder credentials(Credentials credentials) {
            this.credentials = Objects.requireNonNull(credentials, "credentials");
            return this;
        }

        /**
         * How long one attempt may take; the server learns of it as gRPC's deadline. Calls that ask the server to wait
         * ({@code WaitRun}, {@code GetRunLogs}) get that wait on top. Default 10 s.
         *
         * @param timeout more than zero
         * @return this
         */
        public Builder requestTimeout(Duration timeout) {
            this.requestTimeout = CallSettings.positive(timeout);
            return this;
        }

        /**
         * How long one logical call may take over all its attempts and the waits between them. Default 60 s.
         *
         * @param timeout more than zero
         * @return this
         */
        public Builder overallTimeout(Duration timeout) {
            this.overallTimeout = CallSettings.positive(timeout);
            return this;
        }

        /**
         * How calls are sent again. Default: {@link RetryPolicy#defaults()}.
         *
         * @param policy the policy
         * @return this
         */
        public Builder retryPolicy(RetryPolicy policy) {
            this.retryPolicy = Objects.requireNonNull(policy, "policy");
            return this;
        }

        /**
         * This machine's clock, for tests. It may be wrong: the client learns by how much. Default: the system's.
         *
         * @param clock the clock
         * @return this
         */
        public Builder clock(Clock clock) {
            this.clock = Objects.requireNonNull(clock, "clock");
            return this;
        }

        /**
         * The name by which the program tells the server who it is, for logs and support. Default {@code semel-client}.
         *
         * @param name the name
         * @return this
         */
        public Builder clientName(String name) {
            this.clientName = Objects.requireNonNull(name, "name");
            return this;
        }

        /**
         * Whom the certificate of an {@code https} server is held against. Default: whom the JVM trusts.
         *
         * @param pem a file of certificates of authorities, in PEM
         * @return this
         */
        public Builder trustedAuthorities(Path pem) {
            this.authorities = Objects.requireNonNull(pem, "pem");
            return this;
        }

        /**
         * The certificate that is shown to an {@code https} server which asks for one. Default: none.
         *
         * @param pem a file of the certificate and what leads to its authority, in PEM
         * @param keyPem a file of its key, in PEM (PKCS #8)
         * @return this
         */
        public Builder clientCertificate(Path pem, Path keyPem) {
            this.certificate = Objects.requireNonNull(pem, "pem");
            this.key = Objects.requireNonNull(keyPem, "keyPem");
            return this;
        }

        /**
         * Lets credentials go over {@code http} to another machine, as behind a mesh that encrypts. Default: only to loopback.
         *
         * @return this
         */
        public Builder allowPlaintext() {
            this.plaintextAllowed = true;
            return this;
        }

        /**
         * The client. Nothing is sent and nothing is connected before the first call.
         *
         * @return the client
         * @throws SemelException of kind {@code USAGE} if the endpoint or a certificate cannot be read, or credentials would go in the
         *     clear to another machine
         */
        public SemelClient build() {
            return new SemelClient(new Settings(
                    endpoint,
                    app,
                    credentials,
                    requestTimeout,
                    overallTimeout,
                    retryPolicy,
                    clock,
                    clientName,
                    new Settings.Tls(authorities, certificate, key),
                    plaintextAllowed));
        }
    }
}
