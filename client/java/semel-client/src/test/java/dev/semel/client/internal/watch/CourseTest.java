package dev.semel.client.internal.watch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.semel.client.SemelException;
import dev.semel.client.WatchItem;
import dev.semel.client.WatchOptions;
import dev.semel.v1.Event;
import dev.semel.v1.Run;
import dev.semel.v1.SnapshotScope;
import dev.semel.v1.WatchEvents;
import dev.semel.v1.WatchOpened;
import dev.semel.v1.WatchResponse;
import dev.semel.v1.WatchSnapshot;
import dev.semel.v1.WatchSnapshotEnd;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class CourseTest {
    private static final WatchOpened OPENED = WatchOpened.getDefaultInstance();

    private static WatchResponse events(String token, long... revisions) {
        WatchEvents.Builder events = WatchEvents.newBuilder();
        for (long revision : revisions) {
            events.addEvents(Event.newBuilder().setApp("pay").setRevision(revision));
        }
        return WatchResponse.newBuilder()
                .setResumeToken(token)
                .setEvents(events)
                .build();
    }

    private static List<String> tokens(List<WatchItem> items) {
        return items.stream().map(item -> item.resumeToken().orElse("none")).toList();
    }

    @Test
    void eachEventOfAMessageHasAPlaceOfItsOwn() {
        Course course = new Course(WatchOptions.all());
        course.open(OPENED, "A");
        assertEquals(List.of("A~pay:6:1"), tokens(course.take(events("", 6))));
        assertEquals(List.of("A~pay:6:2", "A~pay:7:1", "B"), tokens(course.take(events("B", 6, 7, 7))));
        assertTrue(course.isAtToken());
    }

    @Test
    void afterABreakNothingIsToldTwiceAndNothingLeftOut() {
        Course course = new Course(WatchOptions.all());
        course.open(OPENED, "A");
        course.take(events("", 5, 6));
        assertEquals("A", course.request().getResumeToken());
        assertEquals(List.of(), course.open(OPENED, "A"));
        assertEquals(2, course.take(events("B", 5, 6, 6, 7)).size());
        assertEquals("B", course.request().getResumeToken());
    }

    @Test
    void aTokenOfTheMiddleOfARevisionIsKeptTo() {
        Course course = new Course(WatchOptions.all().resume("A~pay:6:2"));
        assertEquals("A", course.request().getResumeToken());
        course.open(OPENED, "A");
        assertEquals(2, course.take(events("B", 5, 6, 6, 6, 7)).size());
    }

    @Test
    void aSnapshotThatBreaksOffIsBegunAgain() {
        Course course = new Course(WatchOptions.all().snapshot(SnapshotScope.SNAPSHOT_SCOPE_LIVE));
        assertEquals(2, course.open(OPENED, "").size());
        WatchResponse rows = WatchResponse.newBuilder()
                .setSnapshot(WatchSnapshot.newBuilder().addRuns(Run.getDefaultInstance()))
                .build();
        assertEquals(Optional.empty(), course.take(rows).get(0).resumeToken());
        assertEquals(SnapshotScope.SNAPSHOT_SCOPE_LIVE, course.request().getSnapshot());
        List<WatchItem> again = course.open(OPENED, "");
        var begin = (WatchItem.SnapshotBegin) again.get(0).told();
        assertEquals(WatchItem.SnapshotCause.BROKEN_OFF, begin.cause());
        WatchResponse end = WatchResponse.newBuilder()
                .setResumeToken("A")
                .setSnapshotEnd(WatchSnapshotEnd.getDefaultInstance())
                .build();
        assertEquals(Optional.of("A"), course.take(end).get(0).resumeToken());
        assertEquals("A", course.request().getResumeToken());
    }

    @Test
    void aLossIsToldOnce() {
        Course course = new Course(WatchOptions.all());
        SemelException why = SemelException.builder(SemelException.Kind.TRANSPORT, io.grpc.Status.Code.UNAVAILABLE, "")
                .build();
        assertEquals(0, course.lose(why).size(), "there was nothing to lose yet");
        course.open(OPENED, "A");
        assertEquals(1, course.lose(why).size());
        assertEquals(0, course.lose(why).size());
        assertEquals(1, course.open(OPENED, "A").size(), "it is open again");
    }

    @ParameterizedTest
    @ValueSource(strings = {"AbC-_", "AbC~pay:7:1", "AbC~:9:2,pay/settle:7:1"})
    void whatIsWrittenDownIsReadBack(String text) {
        assertEquals(text, Token.parse(text).toString());
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "~pay:7:1", "AbC~", "AbC~pay", "AbC~pay:x:1", "AbC~pay:7:1,"})
    void whatIsNoTokenIsToldAtOnce(String text) {
        assertThrows(SemelException.class, () -> Token.parse(text));
    }

    @Test
    void marksAreBoundedAndARevisionThatIsWholeGetsNothingMore() {
        Marks marks = new Marks();
        Passed since = new Passed();
        assertTrue(marks.admit("pay", 6));
        since.note("pay", 6);
        marks.close(since);
        assertFalse(marks.admit("pay", 6));
        assertTrue(marks.admit("pay", 7));
        for (int app = 0; app < Marks.APPS_MAX; app++) {
            marks.admit("app" + app, 1);
        }
        marks.trim();
        assertEquals(0, marks.size());
    }
}
