// The bare generated stub against a server that only answers: what gRPC itself costs here, to compare the client with.
package dev.semel.driver;

import com.google.gson.JsonObject;
import com.google.protobuf.InvalidProtocolBufferException;
import dev.semel.v1.JobServiceGrpc;
import dev.semel.v1.RunJobRequest;
import dev.semel.v1.SubmitRunsRequest;
import dev.semel.v1.SubmitRunsResponse;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import java.net.URI;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;

/** One SubmitRuns stream of the bare stub. */
final class Echo implements ClientResponseObserver<SubmitRunsRequest, SubmitRunsResponse> {
    private static final int OUTSTANDING_MAX = 4096;
    private static final long DRAIN_SECONDS_MAX = 30;

    private final Semaphore room = new Semaphore(OUTSTANDING_MAX);
    private final Semaphore writable = new Semaphore(0);
    private final CountDownLatch ended = new CountDownLatch(1);
    private final AtomicReference<Throwable> failure = new AtomicReference<>();
    private ClientCallStreamObserver<SubmitRunsRequest> up;

    static JsonObject bench(Command command) throws InterruptedException, InvalidProtocolBufferException {
        URI endpoint = URI.create(command.text("endpoint"));
        RunJobRequest run = command.message("request", RunJobRequest.getDefaultInstance());
        int perMessage = command.number("per_message");
        ManagedChannel channel = Grpc.newChannelBuilderForAddress(
                        endpoint.getHost(), endpoint.getPort(), InsecureChannelCredentials.create())
                .build();
        try {
            Echo echo = new Echo();
            JobServiceGrpc.newStub(channel).submitRuns(echo);
            return echo.send(run, perMessage, command.millis("duration").toNanos());
        } finally {
            channel.shutdownNow().awaitTermination(1, TimeUnit.SECONDS);
        }
    }

    private JsonObject send(RunJobRequest run, int perMessage, long nanos) throws InterruptedException {
        SubmitRunsRequest.Builder message = SubmitRunsRequest.newBuilder();
        for (int number = 0; number < perMessage; number++) {
            message.addRuns(run);
        }
        SubmitRunsRequest built = message.build();
        long begin = System.nanoTime();
        long items = 0;
        while (System.nanoTime() - begin < nanos && failure.get() == null) {
            while (!up.isReady()) {
                writable.tryAcquire(100, TimeUnit.MILLISECONDS);
            }
            if (room.tryAcquire(perMessage, 100, TimeUnit.MILLISECONDS)) {
                up.onNext(built);
                items += perMessage;
            }
        }
        up.onCompleted();
        room.tryAcquire(OUTSTANDING_MAX, DRAIN_SECONDS_MAX, TimeUnit.SECONDS);
        JsonObject ok = new JsonObject();
        ok.addProperty("elapsed", (System.nanoTime() - begin) / 1_000_000);
        if (failure.get() != null) {
            throw new IllegalStateException("the echo has ended: " + failure.get());
        }
        ok.addProperty("items", items - (OUTSTANDING_MAX - room.availablePermits()));
        return ok;
    }

    @Override
    public void beforeStart(ClientCallStreamObserver<SubmitRunsRequest> stream) {
        up = stream;
        stream.setOnReadyHandler(writable::release);
    }

    @Override
    public void onNext(SubmitRunsResponse message) {
        room.release(message.getResultsCount());
    }

    @Override
    public void onError(Throwable error) {
        failure.set(error);
        ended.countDown();
    }

    @Override
    public void onCompleted() {
        ended.countDown();
    }
}
