// The watcher: it tells of each run that ends, over every break, until the program is ended.
package dev.semel.examples.wordcount;

import dev.semel.client.SemelClient;
import dev.semel.client.Watch;
import dev.semel.client.WatchItem;
import dev.semel.client.WatchOptions;

/** Tells of the ends of runs. */
final class Watcher {
    private Watcher() {}

    static void watch(SemelClient client) {
        WatchOptions options = WatchOptions.all().jobs(WordCount.JOB).terminalOnly();
        try (Watch watch = client.watch(options)) {
            for (WatchItem item : watch) {
                if (item.told() instanceof WatchItem.Happened happened) {
                    var event = happened.event();
                    System.out.println(
                            event.getRevision() + " " + event.getRun().getRunId() + " " + event.getKind());
                } else if (item.told() instanceof WatchItem.Opened) {
                    System.out.println("watching");
                } else if (item.told() instanceof WatchItem.Lost lost) {
                    System.err.println("lost for now: " + lost.why().getMessage());
                }
            }
        }
    }
}
