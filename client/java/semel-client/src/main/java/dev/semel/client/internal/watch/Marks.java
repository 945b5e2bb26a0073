// What was told already, by app and revision. It keeps an event from being told twice, whatever a server or a proxy
// sends again
// after a break; it never keeps back what is new. Pure.
package dev.semel.client.internal.watch;

import java.util.HashMap;
import java.util.Map;

/** What was told already. */
final class Marks {
    /** More apps than these are not kept in mind: a token alone keeps the server from telling them again. */
    static final int APPS_MAX = 4096;

    private static final class Seen {
        /** The last revision of which something was told. */
        long revision;
        /** How many of its events were. */
        int told;
        /** How many of its events came on the present stream. */
        int came;

        Seen(long revision, int told, int came) {
            this.revision = revision;
            this.told = told;
            this.came = came;
        }
    }

    private final Map<String, Seen> apps = new HashMap<>();

    /** A new stream begins, behind what the token says. */
    void begin() {
        apps.values().forEach(seen -> seen.came = 0);
    }

    /** Nothing counts any more: the next stream begins with no token, perhaps on another log. */
    void forget() {
        apps.clear();
    }

    /** This much was told before. */
    void recall(Passed passed) {
        passed.forEach((app, place) -> apps.put(app, new Seen(place.revision(), place.events(), 0)));
    }

    /** Whether an event is new; if so, it counts as told. */
    boolean admit(String app, long revision) {
        Seen seen = apps.get(app);
        if (seen == null || revision > seen.revision) {
            apps.put(app, new Seen(revision, 1, 1));
            return true;
        }
        if (revision < seen.revision) {
            return false;
        }
        seen.came++;
        boolean isNew = seen.came > seen.told;
        seen.told = Math.max(seen.told, seen.came);
        return isNew;
    }

    /** A token came: the revisions of which something was told since the last one are whole. */
    void close(Passed since) {
        since.forEach((app, place) -> {
            Seen seen = apps.get(app);
            if (seen != null) {
                seen.told = Integer.MAX_VALUE;
            }
        });
    }

    /** Keeps within its bound; to be called where there is a token for all that was told. */
    void trim() {
        if (apps.size() > APPS_MAX) {
            forget();
        }
    }

    int size() {
        return apps.size();
    }
}
