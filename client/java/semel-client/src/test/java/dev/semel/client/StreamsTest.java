package dev.semel.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import dev.semel.v1.CancelRunRequest;
import dev.semel.v1.EventKind;
import dev.semel.v1.GetRunRequest;
import dev.semel.v1.Payload;
import dev.semel.v1.Run;
import dev.semel.v1.RunJobRequest;
import dev.semel.v1.RunState;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Many runs, watches and workers against a real server. */
@Timeout(90)
class StreamsTest {
    private TestServer server;
    private SemelClient client;

    @BeforeEach
    void start() {
        server = new TestServer();
        client = server.admin().build();
        TestServer.createJob(client, "j");
    }

    @AfterEach
    void stop() {
        if (client != null) {
            client.close();
        }
        if (server != null) {
            server.close();
        }
    }

    private static RunJobRequest run(String job, String text) {
        Payload payload =
                Payload.newBuilder().setData(ByteString.copyFromUtf8(text)).build();
        return RunJobRequest.newBuilder().setJob(job).setPayload(payload).build();
    }

    private static Stream<RunJobRequest> runs(int count) {
        return IntStream.range(0, count).mapToObj(number -> run("j", Integer.toString(number)));
    }

    @Test
    void resultsComeInTheOrderOfTheRunsAndARefusedOneEndsNothing() {
        Stream<RunJobRequest> mixed = Stream.of(run("j", "a"), run("nope", "b"), run("j", "c"));
        try (Submissions submissions = client.submitMany(mixed)) {
            List<SubmissionResult> results = submissions.stream().toList();
            assertEquals(3, results.size());
            String first = results.get(0).orThrow().getRunId();
            Run read = client.getRun(GetRunRequest.newBuilder().setRunId(first).build())
                    .getRun();
            assertEquals("a", read.getPayload().getData().toStringUtf8());
            assertEquals("NOT_FOUND", results.get(1).error().orElseThrow().reason());
            assertTrue(results.get(2).response().isPresent());
        }
    }

    @Test
    void aKilledServerCostsNoRunAndDoublesNone() throws Exception {
        int count = 20_000;
        Set<String> runs = new HashSet<>();
        try (Submissions submissions = client.submitMany(runs(count))) {
            for (int number = 0; number < count; number++) {
                runs.add(submissions.next().orThrow().getRunId());
                if (number == 5_000) {
                    server.kill();
                    server.start();
                }
            }
            assertFalse(submissions.hasNext());
        }
        assertEquals(count, runs.size());
        int events = 0;
        try (Watch watch = client.watch(
                WatchOptions.all().kinds(EventKind.EVENT_KIND_RUN_CREATED).startAt(1))) {
            while (events < count) {
                events += watch.next().event().isPresent() ? 1 : 0;
            }
            String marker = client.runJob(run("j", "last")).getRunId();
            WatchItem item = watch.next();
            while (item.event().isEmpty()) {
                item = watch.next();
            }
            assertEquals(marker, item.event().orElseThrow().getRun().getRunId(), "there is no further run");
        }
    }

    @Test
    void aSlowConsumerHoldsTheSource() {
        AtomicInteger taken = new AtomicInteger();
        Stream<RunJobRequest> source = runs(100_000).peek(run -> taken.incrementAndGet());
        try (Submissions submissions = client.submitMany(source)) {
            submissions.next().orThrow();
            for (int number = 0; number < 100; number++) {
                submissions.next().orThrow();
                assertTrue(taken.get() <= 4096 + 102, () -> taken + " were taken");
            }
        }
    }

    @Test
    void aCloseEndsWhoeverWaits() throws Exception {
        CountDownLatch never = new CountDownLatch(1);
        Stream<RunJobRequest> source = runs(2).peek(run -> {
            if (run.getPayload().getData().toStringUtf8().equals("1")) {
                try {
                    never.await();
                } catch (InterruptedException ended) {
                    throw new IllegalStateException(ended);
                }
            }
        });
        Submissions submissions = client.submitMany(source);
        submissions.next().orThrow();
        CompletableFuture<Boolean> more = CompletableFuture.supplyAsync(submissions::hasNext);
        client.close();
        ExecutionException gone = assertThrows(ExecutionException.class, () -> more.get(10, TimeUnit.SECONDS));
        assertEquals(SemelException.Kind.CANCELLED, ((SemelException) gone.getCause()).kind());
    }

    @Test
    void whatTheSourceThrowsComesBehindTheResultsBeforeIt() {
        Stream<RunJobRequest> source = runs(10).peek(run -> {
            if (run.getPayload().getData().toStringUtf8().equals("5")) {
                throw new IllegalArgumentException("the source is broken");
            }
        });
        try (Submissions submissions = client.submitMany(source)) {
            for (int number = 0; number < 5; number++) {
                submissions.next().orThrow();
            }
            assertThrows(IllegalArgumentException.class, submissions::hasNext);
        }
    }

    @Test
    void aWatchGoesOnOverARestartAndFromEachToken() throws Exception {
        List<String> runs = new ArrayList<>();
        String token;
        try (Watch watch = client.watch(WatchOptions.all().progressInterval(Duration.ofSeconds(1)))) {
            watch.next(); // It is open.
            for (int number = 0; number < 3; number++) {
                runs.add(client.runJob(run("j", "")).getRunId());
            }
            token = nextRun(watch, runs.get(0)).resumeToken().orElseThrow();
            server.kill();
            server.start();
            nextRun(watch, runs.get(1));
            nextRun(watch, runs.get(2));
        }
        try (Watch again = client.watch(WatchOptions.all().resume(token))) {
            nextRun(again, runs.get(1));
        }
    }

    /** The next item that is about a run has to be about this one. */
    private static WatchItem nextRun(Watch watch, String runId) {
        while (true) {
            WatchItem item = watch.next();
            if (item.event().isPresent() && item.event().get().hasRun()) {
                assertEquals(runId, item.event().get().getRun().getRunId());
                return item;
            }
        }
    }

    @Test
    void aWatchEndsWithWhatBindsAndWithAClose() throws Exception {
        try (Watch ahead = client.watch(WatchOptions.all().startAt(1_000_000))) {
            SemelException error = assertThrows(SemelException.class, ahead::next);
            assertEquals("INVALID", error.reason());
            assertFalse(ahead.hasNext());
        }
        Watch watch = client.watch(WatchOptions.all());
        watch.next();
        CompletableFuture<Boolean> more = CompletableFuture.supplyAsync(watch::hasNext);
        watch.close();
        assertFalse(more.get(10, TimeUnit.SECONDS));
    }

    @Test
    void aWorkerWorksIsCancelledAndDrains() throws Exception {
        for (String job : List.of("echo", "fail", "never", "block")) {
            TestServer.createJob(client, job);
        }
        CountDownLatch interrupted = new CountDownLatch(1);
        Worker worker = client.worker()
                .slots(4)
                .drainTimeout(Duration.ZERO)
                .processor("echo", Attempt::payload)
                .processor("fail", attempt -> {
                    throw new IllegalStateException("attempt " + attempt.number());
                })
                .processor("never", attempt -> {
                    throw AttemptException.permanent("never");
                })
                .processor("block", attempt -> {
                    try {
                        new CountDownLatch(1).await();
                        return null;
                    } finally {
                        interrupted.countDown();
                    }
                })
                .build();
        CompletableFuture<WorkerSummary> summary = CompletableFuture.supplyAsync(worker::run);

        Run echoed = client.waitUntilFinished(client.runJob(run("echo", "hi")).getRunId());
        assertEquals("hi", echoed.getResult().getData().toStringUtf8());
        Run never = client.waitUntilFinished(client.runJob(run("never", "")).getRunId());
        assertEquals(RunState.RUN_STATE_FAILED, never.getState());
        assertEquals(1, never.getAttemptsCount());
        Run failed = client.waitUntilFinished(client.runJob(run("fail", "")).getRunId());
        assertEquals("attempt 2", failed.getAttempts(1).getError());

        String blocked = client.runJob(run("block", "")).getRunId();
        started(blocked);
        client.cancelRun(CancelRunRequest.newBuilder().setRunId(blocked).build());
        assertEquals(
                RunState.RUN_STATE_CANCELLED, client.waitUntilFinished(blocked).getState());
        assertTrue(interrupted.await(10, TimeUnit.SECONDS));

        started(client.runJob(run("block", "")).getRunId());
        worker.close();
        WorkerSummary done = summary.get(20, TimeUnit.SECONDS);
        assertEquals(new WorkerSummary(6, 1, 3, 1, 1, 0, 0), done);
    }

    private void started(String runId) {
        WatchOptions options = WatchOptions.all().runs(runId).startAt(1).kinds(EventKind.EVENT_KIND_RUN_STARTED);
        try (Watch watch = client.watch(options)) {
            nextRun(watch, runId);
        }
    }

    @Test
    void aWorkerKeepsItsAttemptOverARestartOfTheServer() throws Exception {
        TestServer.createJob(client, "block");
        CountDownLatch release = new CountDownLatch(1);
        Worker worker = client.worker()
                .processor("block", attempt -> {
                    release.await();
                    return null;
                })
                .build();
        CompletableFuture<WorkerSummary> summary = CompletableFuture.supplyAsync(worker::run);
        String run = client.runJob(run("block", "")).getRunId();
        started(run);
        server.kill();
        server.start();
        release.countDown();
        Run ended = client.waitUntilFinished(run);
        assertEquals(RunState.RUN_STATE_SUCCEEDED, ended.getState());
        assertEquals(1, ended.getAttemptsCount());
        worker.close();
        assertEquals(1, summary.get(20, TimeUnit.SECONDS).succeeded());
    }

    @Test
    void aWorkerThatIsNotAllowedSaysSo() {
        try (SemelClient nobody = SemelClient.builder(server.url()).app("pay").build()) {
            Worker worker = nobody.worker().processor("j", Attempt::payload).build();
            assertEquals(
                    "CREDENTIALS_MISSING",
                    assertThrows(SemelException.class, worker::run).reason());
        }
    }
}
