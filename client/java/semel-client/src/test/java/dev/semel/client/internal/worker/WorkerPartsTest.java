package dev.semel.client.internal.worker;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.semel.client.AttemptException;
import dev.semel.client.internal.Times;
import dev.semel.v1.Assignment;
import dev.semel.v1.LogStream;
import dev.semel.v1.Opened;
import dev.semel.v1.Payload;
import dev.semel.v1.Report;
import dev.semel.v1.TraceContext;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

class WorkerPartsTest {
    private static final long SECOND = 1_000_000_000;

    private static Lease opened() {
        Lease lease = new Lease();
        Opened opened = Opened.newBuilder()
                .setLeaseDuration(Times.toProto(Duration.ofSeconds(30)))
                .build();
        lease.opened(opened, 0, 0);
        return lease;
    }

    @Test
    void anAnswerRenewsFromWhenItsHeartbeatWasSent() {
        Lease lease = opened();
        lease.sent(10 * SECOND);
        lease.sent(20 * SECOND);
        lease.answered();
        assertFalse(lease.justLost(40 * SECOND));
        assertTrue(lease.justLost(41 * SECOND));
        assertFalse(lease.justLost(42 * SECOND), "it is said once");
    }

    @Test
    void anOldAnswerThatIsReadLateRenewsNothing() {
        Lease lease = opened();
        lease.sent(5 * SECOND);
        assertTrue(lease.justLost(100 * SECOND));
        lease.answered();
        assertTrue(lease.justLost(100 * SECOND), "it is renewed into the past, and lost again");
    }

    @Test
    void silenceAndUnansweredHeartbeatsBothShowADeadStream() {
        Lease lease = opened();
        assertFalse(lease.isSilent(30 * SECOND));
        assertTrue(lease.isSilent(30 * SECOND + 1));
        for (int beat = 0; beat <= Lease.UNANSWERED_MAX; beat++) {
            lease.sent(0);
        }
        assertTrue(lease.isSilent(0));
    }

    @Test
    void smallWritesBecomeOneChunkAndAnotherStreamBeginsANewOne() throws InterruptedException {
        LogBuffer log = new LogBuffer();
        assertTrue(log.reserve(3));
        assertEquals(LogBuffer.Wake.SOON, log.write(LogStream.LOG_STREAM_STDOUT, "one".getBytes(), 0, 3));
        assertEquals(LogBuffer.Wake.NO, log.write(LogStream.LOG_STREAM_STDOUT, "two".getBytes(), 0, 3));
        assertEquals(LogBuffer.Wake.NO, log.write(LogStream.LOG_STREAM_STDERR, "bad".getBytes(), 0, 3));
        assertEquals(
                java.util.List.of("onetwo", "bad"),
                log.take().stream().map(chunk -> chunk.data().toStringUtf8()).toList());
        byte[] whole = new byte[LogBuffer.CHUNK_BYTES];
        assertEquals(LogBuffer.Wake.NOW, log.write(LogStream.LOG_STREAM_STDOUT, whole, 0, whole.length));
    }

    @Test
    void aWriterWaitsForRoomAndGoesOnWhenTheLogIsClosed() throws Exception {
        LogBuffer log = new LogBuffer();
        assertTrue(log.reserve(LogBuffer.ROOM - 64));
        var writer = CompletableFuture.supplyAsync(() -> {
            try {
                return log.reserve(1);
            } catch (InterruptedException unexpected) {
                throw new IllegalStateException(unexpected);
            }
        });
        assertFalse(writer.isDone());
        log.close();
        assertFalse(writer.get(10, TimeUnit.SECONDS), "nobody takes the log any more");
    }

    @Test
    void whatIsReportedFollowsFromWhyItStopped() {
        Payload result = Payload.getDefaultInstance();
        Throwable error = new IllegalStateException("bad", new RuntimeException("worse"));
        assertTrue(Held.outcome(Held.Stop.CANCELLED, result, null).hasSucceeded());
        assertTrue(Held.outcome(Held.Stop.CANCELLED, null, error).hasCancelled());
        assertTrue(Held.outcome(Held.Stop.DRAINING, null, error).hasReleased());
        assertTrue(Held.outcome(Held.Stop.LEASE_LOST, null, null).hasReleased());
        Report.Failed failed = Held.outcome(Held.Stop.NO, null, error).getFailed();
        assertEquals("bad: worse", failed.getError());
        assertFalse(failed.getPermanent());
        assertTrue(Held.failed(AttemptException.permanent("no")).getFailed().getPermanent());
        Report.Failed later = Held.failed(AttemptException.retryAfter("busy", Duration.ofSeconds(7)))
                .getFailed();
        assertEquals(7, later.getRetryAfter().getSeconds());
    }

    @Test
    void aTextIsCutAtCharactersAndNotWithinOne() {
        assertEquals("a\uD83D\uDE00", AttemptRun.cut("a\uD83D\uDE00b", 2));
        assertEquals("ab", AttemptRun.cut("ab", 2));
    }

    @Test
    void aProcessorLearnsWhereItsAttemptStandsInATraceOrThatItStandsInNone() {
        TraceContext place = TraceContext.newBuilder()
                .setTraceparent("00-" + "a1".repeat(16) + "-" + "b2".repeat(8) + "-01")
                .setTracestate("a=1")
                .build();
        Assignment traced = Assignment.newBuilder().setTraceContext(place).build();
        assertEquals(Optional.of(place), new AttemptRun(traced, null, null).traceContext());
        assertEquals(Optional.empty(), new AttemptRun(Assignment.getDefaultInstance(), null, null).traceContext());
    }
}
