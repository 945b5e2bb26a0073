// The threads of one client: a pool that grows with what waits and a timer, both gone when the client is closed.
package dev.semel.client.internal;

import java.time.Duration;
import java.util.concurrent.Executor;
import java.util.concurrent.Future;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;

/** The threads of one client. All are daemons: a program that ends is not held up by them. */
public final class Threads implements Executor, AutoCloseable {
    private static final AtomicLong COUNT = new AtomicLong();

    private final ThreadPoolExecutor pool;
    private final ScheduledThreadPoolExecutor timer;

    /** Threads of a new client. */
    public Threads() {
        ThreadFactory factory = task -> {
            Thread thread = new Thread(task, "semel-client-" + COUNT.incrementAndGet());
            thread.setDaemon(true);
            return thread;
        };
        pool = new ThreadPoolExecutor(0, Integer.MAX_VALUE, 10, TimeUnit.SECONDS, new SynchronousQueue<>(), factory);
        timer = new ScheduledThreadPoolExecutor(1, factory);
        timer.setRemoveOnCancelPolicy(true);
        timer.setKeepAliveTime(10, TimeUnit.SECONDS);
        timer.allowCoreThreadTimeOut(true);
    }

    /** Runs a task soon; one that comes after the close runs at once, where it is. */
    @Override
    public void execute(Runnable task) {
        try {
            pool.execute(task);
        } catch (RejectedExecutionException closed) {
            task.run();
        }
    }

    /** Runs a task on the pool after a while; a closed client runs it at once. */
    public Future<?> after(Duration wait, Runnable task) {
        try {
            return timer.schedule(
                    () -> execute(task), Times.min(wait, Times.MAX).toNanos(), TimeUnit.NANOSECONDS);
        } catch (RejectedExecutionException closed) {
            task.run();
            return java.util.concurrent.CompletableFuture.completedFuture(null);
        }
    }

    @Override
    public void close() {
        timer.shutdownNow();
        pool.shutdown();
    }
}
