// The course of a watch over all its streams: where it is, what was told, and how the next stream is to be asked for.
// Pure:
// messages come in, items go out; nothing here waits or sends.
package dev.semel.client.internal.watch;

import dev.semel.client.SemelException;
import dev.semel.client.WatchItem;
import dev.semel.client.WatchItem.SnapshotCause;
import dev.semel.client.WatchItem.Told;
import dev.semel.client.WatchOptions;
import dev.semel.v1.Event;
import dev.semel.v1.SnapshotScope;
import dev.semel.v1.WatchOpened;
import dev.semel.v1.WatchRequest;
import dev.semel.v1.WatchResponse;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalLong;
import java.util.function.Supplier;

/** The course of a watch. */
final class Course {
    private final WatchOptions options;
    private final Marks marks = new Marks();
    /** How the next stream begins: a request whose start is that of the program, or a token, or a snapshot. */
    private WatchRequest next;
    /** The last token of the server's; null if there is none. */
    private String base;
    /** What was told since. */
    private Passed since = new Passed();

    private boolean inSnapshot;
    private SnapshotCause cause = SnapshotCause.ASKED;
    private OptionalLong gapBefore = OptionalLong.empty();
    /** Whether the program takes the stream to be lost, or has heard of none yet. */
    private boolean lost = true;
    /** Whether the server gave a token to this watch, so that a refused one is not a mistake of the program's. */
    private boolean ownToken;

    Course(WatchOptions options) {
        this.options = options;
        next = options.request();
        if (next.hasResumeToken()) {
            Token token = Token.parse(next.getResumeToken());
            base = token.base();
            since = token.passed();
            marks.recall(since);
            next = next.toBuilder().setResumeToken(base).build();
        }
    }

    /** What the next stream is to be asked for. */
    WatchRequest request() {
        return next;
    }

    /** Whether a new stream could go on from here without telling anything again. */
    boolean isAtToken() {
        return base != null && since.isEmpty() && !inSnapshot;
    }

    boolean bridges() {
        return options.bridge().isPresent();
    }

    boolean hasOwnToken() {
        return ownToken;
    }

    /** The next stream begins with a snapshot, because what comes next is gone. */
    void bridge(OptionalLong oldestRevision) {
        SnapshotScope scope = options.bridge().orElse(SnapshotScope.SNAPSHOT_SCOPE_ALL);
        next = options.request().toBuilder().clearStart().setSnapshot(scope).build();
        cause = SnapshotCause.GAP;
        gapBefore = oldestRevision;
        base = null;
        since = new Passed();
    }

    /** The stream is lost; what to tell of it, unless that was told. */
    List<WatchItem> lose(SemelException error) {
        if (lost) {
            return List.of();
        }
        lost = true;
        return List.of(behindAll(new WatchItem.Lost(error)));
    }

    /**
     * A stream has opened.
     *
     * @param token the token of the message; empty if it had none
     * @return what to tell; null if the stream is of no use, for it opens without a token
     */
    List<WatchItem> open(WatchOpened opened, String token) {
        boolean withSnapshot = next.getSnapshotValue() != 0;
        if (!withSnapshot && token.isEmpty()) {
            return null;
        }
        if (next.hasResumeToken()) {
            marks.begin();
        } else {
            marks.forget();
        }
        List<Told> told = new ArrayList<>(2);
        if (lost) {
            lost = false;
            told.add(new WatchItem.Opened(opened.getRevision(), opened.getOldestRevision()));
        }
        if (withSnapshot) {
            inSnapshot = true;
            told.add(new WatchItem.SnapshotBegin(cause, gapBefore));
            cause = SnapshotCause.BROKEN_OFF;
            gapBefore = OptionalLong.empty();
        } else if (!next.hasResumeToken()) {
            arrive(token);
        }
        return told.stream().map(this::behindAll).toList();
    }

    /** What a message tells. Notices and farewells tell nothing here, but may bring a token. */
    List<WatchItem> take(WatchResponse message) {
        String token = message.getResumeToken();
        return switch (message.getKindCase()) {
            case SNAPSHOT -> rows(message);
            case SNAPSHOT_END -> {
                inSnapshot = false;
                yield takeOne(new WatchItem.SnapshotEnd(message.getSnapshotEnd().getRevision()), token);
            }
            case EVENTS -> events(message.getEvents().getEventsList(), token);
            case PROGRESS ->
                takeOne(new WatchItem.Progress(message.getProgress().getRevision()), token);
            case AUTH_NOTICE, GOING_AWAY -> {
                arriveUnlessInSnapshot(token);
                yield List.of();
            }
            // What a later server means by it, and by its token, is not known.
            case OPENED, KIND_NOT_SET -> List.of();
        };
    }

    private List<WatchItem> rows(WatchResponse message) {
        List<WatchItem> items = new ArrayList<>();
        message.getSnapshot().getRunsList().forEach(run -> items.add(behindAll(new WatchItem.RunRow(run))));
        message.getSnapshot().getJobsList().forEach(job -> items.add(behindAll(new WatchItem.JobRow(job))));
        message.getSnapshot().getWorkersList().forEach(worker -> items.add(behindAll(new WatchItem.WorkerRow(worker))));
        return items;
    }

    private List<WatchItem> takeOne(Told told, String token) {
        arriveUnlessInSnapshot(token);
        return List.of(behindAll(told));
    }

    private List<WatchItem> events(List<Event> events, String token) {
        String before = base;
        Passed passed = since.copy();
        List<Event> told = new ArrayList<>(events.size());
        for (Event event : events) {
            if (marks.admit(event.getApp(), event.getRevision())) {
                since.note(event.getApp(), event.getRevision());
                told.add(event);
            }
        }
        arriveUnlessInSnapshot(token);
        String after = token.isEmpty() || inSnapshot ? null : token;
        List<WatchItem> items = new ArrayList<>(told.size());
        for (int number = 0; number < told.size(); number++) {
            Supplier<String> place = place(before, passed, told, number + 1, after);
            items.add(new WatchItem(new WatchItem.Happened(told.get(number)), place));
        }
        return items;
    }

    /** The place behind so many events of a message; worked out when it is asked for. */
    private static Supplier<String> place(String base, Passed before, List<Event> events, int count, String after) {
        if (count == events.size() && after != null) {
            return () -> after;
        }
        return () -> {
            if (base == null) {
                return null;
            }
            Passed passed = before.copy();
            events.subList(0, count).forEach(event -> passed.note(event.getApp(), event.getRevision()));
            return new Token(base, passed).toString();
        };
    }

    private void arriveUnlessInSnapshot(String token) {
        if (!token.isEmpty() && !inSnapshot) {
            arrive(token);
        }
    }

    /** All that was told lies before this token. */
    private void arrive(String token) {
        base = token;
        next = options.request().toBuilder()
                .clearSnapshot()
                .setResumeToken(token)
                .build();
        ownToken = true;
        marks.close(since);
        since = new Passed();
        marks.trim();
    }

    /** An item that comes after all that was told. */
    WatchItem behindAll(Told told) {
        String token = base == null || inSnapshot ? null : new Token(base, since).toString();
        return new WatchItem(told, () -> token);
    }
}
