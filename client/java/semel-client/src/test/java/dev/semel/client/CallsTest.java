package dev.semel.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.semel.v1.AuthStatus;
import dev.semel.v1.CreateJobRequest;
import dev.semel.v1.Disposition;
import dev.semel.v1.GetServerInfoRequest;
import dev.semel.v1.JobServiceGrpc;
import dev.semel.v1.JobSpec;
import dev.semel.v1.RunJobRequest;
import dev.semel.v1.RunJobResponse;
import dev.semel.v1.WaitRunRequest;
import io.grpc.Context;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.time.Clock;
import java.time.Duration;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class CallsTest {
    private static final RunJobRequest RUN =
            RunJobRequest.newBuilder().setJob("j").build();
    private static TestServer server;
    private static SemelClient client;

    @BeforeAll
    static void start() {
        server = new TestServer();
        client = server.admin().build();
        TestServer.createJob(client, "j");
    }

    @AfterAll
    static void stop() {
        if (client != null) {
            client.close();
        }
        if (server != null) {
            server.close();
        }
    }

    @Test
    void aCallUnderAGivenIdTakesEffectOnce() {
        UUID id = client.mintRequestId();
        SemelCalls calls = client.with(CallSettings.none().requestId(id));
        RunJobResponse first = calls.runJob(RUN);
        RunJobResponse second = calls.runJob(RUN);
        assertEquals(Disposition.DISPOSITION_EXECUTED, first.getHeader().getDisposition());
        assertEquals(Disposition.DISPOSITION_REPLAYED, second.getHeader().getDisposition());
        assertEquals(first.getRunId(), second.getRunId());
        assertEquals(id.toString(), second.getHeader().getRequestId());
    }

    @Test
    void aRefusalSaysEverything() {
        CreateJobRequest bad = CreateJobRequest.newBuilder()
                .setJob("&")
                .setSpec(JobSpec.getDefaultInstance())
                .build();
        SemelException error = assertThrows(SemelException.class, () -> client.createJob(bad));
        assertEquals(SemelException.Kind.REFUSED, error.kind());
        assertEquals("INVALID", error.reason());
        assertEquals(AuthStatus.AUTH_STATUS_PASSED, error.authStatus());
        assertEquals(2, error.violations().size());
        assertFalse(error.mayRetry());
        assertEquals(1, error.attempts());
    }

    @Test
    void aClockThatIsOffByAnHourWorks() throws Exception {
        for (int hours : new int[] {1, -30}) {
            Clock wrong = Clock.offset(Clock.systemUTC(), Duration.ofHours(hours));
            try (SemelClient other = server.admin().clock(wrong).build()) {
                Answer<RunJobResponse> answer =
                        other.execute(JobServiceGrpc.getRunJobMethod(), RUN).get();
                assertEquals(
                        Disposition.DISPOSITION_EXECUTED,
                        answer.response().getHeader().getDisposition());
            }
        }
    }

    @Test
    void withoutCredentialsTheServerSaysSo() {
        try (SemelClient nobody = SemelClient.builder(server.url()).app("pay").build()) {
            SemelException error = assertThrows(SemelException.class, () -> nobody.runJob(RUN));
            assertEquals("CREDENTIALS_MISSING", error.reason());
            assertEquals(AuthStatus.AUTH_STATUS_MISSING, error.authStatus());
        }
    }

    @Test
    void anInterruptedThreadGetsItsCallBack() throws Exception {
        String run = client.runJob(RUN).getRunId();
        AtomicReference<SemelException> got = new AtomicReference<>();
        AtomicReference<Boolean> stillInterrupted = new AtomicReference<>();
        Thread waiter = new Thread(() -> {
            got.set(assertThrows(
                    SemelException.class,
                    () -> client.waitRun(
                            WaitRunRequest.newBuilder().setRunId(run).build())));
            stillInterrupted.set(Thread.currentThread().isInterrupted());
        });
        waiter.start();
        waiter.interrupt();
        waiter.join();
        assertEquals(SemelException.Kind.CANCELLED, got.get().kind());
        assertEquals(36, got.get().requestId().length());
        assertTrue(stillInterrupted.get());
    }

    @Test
    void aContextBoundsAndEndsItsCalls() throws Exception {
        String run = client.runJob(RUN).getRunId();
        WaitRunRequest wait = WaitRunRequest.newBuilder().setRunId(run).build();
        Context.CancellableContext context = Context.current().withCancellation();
        CompletableFuture<?> call = context.call(() -> client.waitRunAsync(wait));
        context.cancel(null);
        ExecutionException gone = assertThrows(ExecutionException.class, () -> call.get(10, TimeUnit.SECONDS));
        assertEquals(SemelException.Kind.CANCELLED, ((SemelException) gone.getCause()).kind());

        var timer = Executors.newSingleThreadScheduledExecutor();
        try (SemelClient nowhere =
                SemelClient.builder("http://127.0.0.1:" + freePort()).build()) {
            Context late = Context.current().withDeadlineAfter(200, TimeUnit.MILLISECONDS, timer);
            SemelException error = assertThrows(SemelException.class, () -> late.call(() -> nowhere.waitRun(wait)));
            assertEquals(SemelException.Kind.TRANSPORT, error.kind());
        } finally {
            timer.shutdownNow();
        }
    }

    @Test
    void aServerThatWasAwayIsCalledUntilItAnswers() throws Exception {
        try (TestServer other = new TestServer();
                SemelClient its = other.admin().build()) {
            TestServer.createJob(its, "j");
            other.kill();
            CompletableFuture<RunJobResponse> answer = its.runJobAsync(RUN);
            other.start();
            assertEquals(
                    Disposition.DISPOSITION_EXECUTED,
                    answer.get(30, TimeUnit.SECONDS).getHeader().getDisposition());
        }
    }

    /** A port where nobody listens. */
    private static int freePort() throws IOException {
        try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            return socket.getLocalPort();
        }
    }

    @Test
    void whereNobodyListensTheErrorIsOneOfTransport() throws IOException {
        var builder = SemelClient.builder("http://127.0.0.1:" + freePort());
        try (SemelClient once = builder.retryPolicy(RetryPolicy.none()).build()) {
            SemelException error = assertThrows(
                    SemelException.class, () -> once.getServerInfo(GetServerInfoRequest.getDefaultInstance()));
            assertEquals(SemelException.Kind.TRANSPORT, error.kind());
            assertEquals(1, error.attempts());
            assertTrue(error.mayRetry());
        }
    }

    @Test
    void aClosedClientHasNoCallsLeftAndLeavesNoThread() throws Exception {
        Set<Thread> before = Thread.getAllStackTraces().keySet();
        SemelClient other = server.admin().build();
        String run = other.runJob(RUN).getRunId();
        CompletableFuture<?> call = other.waitUntilFinishedAsync(run);
        other.close();
        ExecutionException gone = assertThrows(ExecutionException.class, () -> call.get(10, TimeUnit.SECONDS));
        assertEquals(SemelException.Kind.CANCELLED, ((SemelException) gone.getCause()).kind());
        SemelException after = assertThrows(SemelException.class, () -> other.runJob(RUN));
        assertEquals(SemelException.Kind.CANCELLED, after.kind());
        for (Thread thread : Thread.getAllStackTraces().keySet()) {
            if (thread.getName().startsWith("semel-client-") && !before.contains(thread)) {
                thread.join(20_000);
                assertFalse(thread.isAlive(), () -> thread + " is left");
            }
        }
    }

    @Test
    void whatCannotBeSentIsAMistakeOfTheCaller() {
        for (String endpoint : new String[] {"127.0.0.1:7400", "ftp://host", "http://", "http://host:port"}) {
            var builder = SemelClient.builder(endpoint);
            assertEquals(
                    SemelException.Kind.USAGE,
                    assertThrows(SemelException.class, builder::build).kind());
        }
        var elsewhere = SemelClient.builder("http://192.0.2.1:7400").credentials(Credentials.token("t"));
        assertEquals(
                SemelException.Kind.USAGE,
                assertThrows(SemelException.class, elsewhere::build).kind());
        elsewhere.allowPlaintext().build().close();
        assertThrows(SemelException.class, () -> Credentials.token("two\nlines"));
        assertThrows(SemelException.class, () -> client.worker().build());
    }
}
