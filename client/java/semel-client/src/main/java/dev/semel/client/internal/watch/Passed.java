// How far the events of each app were dealt with, and its written form. Pure.
package dev.semel.client.internal.watch;

import dev.semel.client.internal.SemelExceptions;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.BiConsumer;
import java.util.stream.Collectors;

/**
 * For each app, how far its events were dealt with: the last revision, and how many of its events. An app's events come in one
 * order, so that says it all; it must be by app, for a watch over many apps is ordered for each of them only.
 */
final class Passed {
    /** The last revision of an app of which something was dealt with, and how many of its events were. */
    record Place(long revision, int events) {}

    private final Map<String, Place> places = new TreeMap<>();

    Passed copy() {
        Passed copy = new Passed();
        copy.places.putAll(places);
        return copy;
    }

    /** Takes note of the next event. */
    void note(String app, long revision) {
        places.merge(
                app,
                new Place(revision, 1),
                (before, first) -> before.revision == revision ? new Place(revision, before.events + 1) : first);
    }

    boolean isEmpty() {
        return places.isEmpty();
    }

    void forEach(BiConsumer<String, Place> each) {
        places.forEach(each);
    }

    @Override
    public String toString() {
        return places.entrySet().stream()
                .map(entry -> entry.getKey() + ':' + entry.getValue().revision + ':' + entry.getValue().events)
                .collect(Collectors.joining(","));
    }

    /** Reads the written form. */
    static Passed parse(String text) {
        Passed passed = new Passed();
        for (String place : text.split(",", -1)) {
            String[] parts = place.split(":", -1);
            try {
                passed.places.put(parts[0], new Place(Long.parseLong(parts[1]), Integer.parseInt(parts[2])));
            } catch (IndexOutOfBoundsException | NumberFormatException unreadable) {
                throw SemelExceptions.usage("\"" + text + "\" is not the end of a resume token; copy it whole");
            }
        }
        return passed;
    }
}
