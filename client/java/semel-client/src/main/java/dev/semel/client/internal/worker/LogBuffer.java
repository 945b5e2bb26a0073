// The log of an attempt between its processor and the stream: bounded, batched, in order. It sends nothing itself.
package dev.semel.client.internal.worker;

import com.google.protobuf.ByteString;
import dev.semel.v1.LogStream;
import java.io.ByteArrayOutputStream;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Semaphore;

/** The log of one attempt. */
final class LogBuffer {
    /** A chunk is sent when it has grown to this, or when it is 200 ms old: half of what a server takes at most. */
    static final int CHUNK_BYTES = 32 * 1024;
    /** How much of an attempt's log may wait for its acknowledgement; then the writer waits too. */
    static final int ROOM = 256 * 1024;
    /** What a write costs beside its bytes, so that many tiny chunks are bounded as well. */
    private static final int WRITE_COST = 64;
    /** So much room that nobody waits any more. */
    private static final int CLOSED_ROOM = Integer.MAX_VALUE / 2;

    /** A piece of a log, ready to be sent. */
    record Chunk(LogStream stream, ByteString data, int cost) {}

    /** What a write asks of the worker. */
    enum Wake {
        /** Nothing: it knows already. */
        NO,
        /** To come for the log before long. */
        SOON,
        /** To come for the log now. */
        NOW
    }

    private final Semaphore room = new Semaphore(ROOM);
    private final List<Chunk> full = new ArrayList<>();
    private ByteArrayOutputStream last = new ByteArrayOutputStream();
    private LogStream lastStream = LogStream.LOG_STREAM_UNSPECIFIED;
    private int lastCost;
    private int gathered;
    private boolean woken;
    private boolean hurried;
    private volatile boolean closed;

    /** Waits until there is room for so many bytes more. False if the log is of no use any more. */
    boolean reserve(int bytes) throws InterruptedException {
        room.acquire(bytes + WRITE_COST);
        return !closed;
    }

    /** Adds what room was reserved for: at most a chunk at a time. */
    synchronized Wake write(LogStream stream, byte[] data, int from, int count) {
        if (stream != lastStream || last.size() + count > CHUNK_BYTES) {
            closeLast();
            lastStream = stream;
        }
        last.write(data, from, count);
        lastCost += count + WRITE_COST;
        gathered += count;
        boolean hurry = gathered >= CHUNK_BYTES && !hurried;
        Wake wake = hurry ? Wake.NOW : woken ? Wake.NO : Wake.SOON;
        woken = true;
        hurried |= hurry;
        return wake;
    }

    /** Takes all there is. */
    synchronized List<Chunk> take() {
        closeLast();
        List<Chunk> all = List.copyOf(full);
        full.clear();
        gathered = 0;
        woken = false;
        hurried = false;
        return all;
    }

    private void closeLast() {
        if (last.size() > 0) {
            full.add(new Chunk(lastStream, ByteString.copyFrom(last.toByteArray()), lastCost));
            last = new ByteArrayOutputStream();
            lastCost = 0;
        }
    }

    /** Gives back the room of a chunk that is dealt with. */
    void release(Chunk chunk) {
        room.release(chunk.cost);
    }

    /** From now on what is written is lost: nobody would take it. Writers that wait for room go on. */
    synchronized void close() {
        if (!closed) {
            closed = true;
            room.release(CLOSED_ROOM);
        }
    }
}
