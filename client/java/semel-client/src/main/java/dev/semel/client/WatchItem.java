// What a watch tells a program. Plain data.
package dev.semel.client;

import dev.semel.v1.Event;
import dev.semel.v1.Job;
import dev.semel.v1.Run;
import dev.semel.v1.Worker;
import java.time.Instant;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.function.Supplier;

/** One thing that a watch tells, and where to go on behind it. */
public final class WatchItem {
    /** What a watch tells. Later versions may tell more. */
    public sealed interface Told
            permits Opened,
                    SnapshotBegin,
                    RunRow,
                    JobRow,
                    WorkerRow,
                    SnapshotEnd,
                    Happened,
                    Progress,
                    CredentialsExpiring,
                    Lost {}

    /**
     * The stream is open: for the first time, or again after {@link Lost}.
     *
     * @param revision the revision after which the events begin
     * @param oldestRevision the oldest revision that the server keeps
     */
    public record Opened(long revision, long oldestRevision) implements Told {}

    /**
     * A snapshot begins: rows follow, then {@link SnapshotEnd}. Whatever an earlier snapshot told is void. What changes while
     * the rows are read is not among them: its events tell of it.
     *
     * @param cause why it is told
     * @param oldestRevision for a gap, the oldest revision that is kept, where that is the reason
     */
    public record SnapshotBegin(SnapshotCause cause, OptionalLong oldestRevision) implements Told {}

    /** Why a snapshot is told. */
    public enum SnapshotCause {
        /** It was asked for. */
        ASKED,
        /** The one before broke off. */
        BROKEN_OFF,
        /** Events that come next are no longer kept; see {@link WatchOptions#bridgeGaps}. */
        GAP
    }

    /**
     * A run, as the snapshot has it.
     *
     * @param run the run
     */
    public record RunRow(Run run) implements Told {}

    /**
     * A job, as the snapshot has it.
     *
     * @param job the job
     */
    public record JobRow(Job job) implements Told {}

    /**
     * A worker, as the snapshot has it.
     *
     * @param worker the worker
     */
    public record WorkerRow(Worker worker) implements Told {}

    /**
     * The snapshot is whole.
     *
     * @param revision the events that follow are those after this
     */
    public record SnapshotEnd(long revision) implements Told {}

    /**
     * Something happened.
     *
     * @param event what; its kind and its subject may be of a later version than this client
     */
    public record Happened(Event event) implements Told {}

    /**
     * Nothing else happened up to here.
     *
     * @param revision up to this everything was told
     */
    public record Progress(long revision) implements Told {}

    /**
     * The credentials end soon, and this client cannot renew them: the watch will end with {@code CREDENTIALS_EXPIRED}.
     *
     * @param expireTime when they end, if the server said so
     */
    public record CredentialsExpiring(Optional<Instant> expireTime) implements Told {}

    /**
     * The stream was lost. It is made again by itself and goes on without a gap; nothing has to be done.
     *
     * @param why what it ended with
     */
    public record Lost(SemelException why) implements Told {}

    private final Told told;
    private final Supplier<String> token;

    /**
     * An item; made by a watch, and by tests of programs that use one.
     *
     * @param told what it tells
     * @param token gives where to go on behind it; null if there is no such place
     */
    public WatchItem(Told told, Supplier<String> token) {
        this.told = told;
        this.token = token;
    }

    /**
     * What it tells.
     *
     * @return one of the kinds
     */
    public Told told() {
        return told;
    }

    /**
     * Where to go on behind this item, also after a restart of the program; see {@link WatchOptions#resume}. Opaque, and no
     * permission.
     *
     * @return the token; none before the end of a snapshot, for that is begun again
     */
    public Optional<String> resumeToken() {
        return Optional.ofNullable(token.get());
    }

    /**
     * The event, if it is one.
     *
     * @return the event
     */
    public Optional<Event> event() {
        return told instanceof Happened happened ? Optional.of(happened.event()) : Optional.empty();
    }

    @Override
    public String toString() {
        return told.toString();
    }
}
