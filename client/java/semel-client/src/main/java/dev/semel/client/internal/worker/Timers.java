// Moments at which a worker has something to do. A timer that has lost its sense is not taken out: whoever it wakes
// looks again
// before acting.
package dev.semel.client.internal.worker;

import java.util.Comparator;
import java.util.PriorityQueue;

/** All that is to come, the next one first. */
final class Timers {
    private record Timer(long at, Runnable task) {}

    private final PriorityQueue<Timer> due = new PriorityQueue<>(Comparator.comparingLong(Timer::at));

    void set(long at, Runnable task) {
        due.add(new Timer(at, task));
    }

    /** When the next one is due; a given moment if none is before that. */
    long next(long otherwise) {
        return due.isEmpty() ? otherwise : Math.min(otherwise, due.peek().at);
    }

    void run(long now) {
        while (!due.isEmpty() && due.peek().at - now <= 0) {
            due.remove().task.run();
        }
    }
}
