// What a program says of the watch that it wants. Plain data; the server judges it.
package dev.semel.client;

import dev.semel.client.internal.Times;
import dev.semel.v1.EventKind;
import dev.semel.v1.SnapshotScope;
import dev.semel.v1.WatchRequest;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;

/**
 * Which events, from where, and what happens if some of them are no longer kept. Immutable: each method gives other options.
 * Of what is given, everything must hold; of the values of one field, one.
 */
public final class WatchOptions {
    private static final WatchOptions ALL = new WatchOptions(WatchRequest.getDefaultInstance(), null);

    private final WatchRequest request;
    private final SnapshotScope bridge;

    private WatchOptions(WatchRequest request, SnapshotScope bridge) {
        this.request = request;
        this.bridge = bridge;
    }

    /**
     * All events of the client's app from now on.
     *
     * @return the options
     */
    public static WatchOptions all() {
        return ALL;
    }

    /**
     * What a request of the protocol says; its header is left out.
     *
     * @param request the filter, the start, the snapshot and the interval
     * @return the options
     */
    public static WatchOptions of(WatchRequest request) {
        return new WatchOptions(request.toBuilder().clearHeader().build(), null);
    }

    private WatchOptions with(Consumer<WatchRequest.Builder> change) {
        WatchRequest.Builder changed = request.toBuilder();
        change.accept(changed);
        return new WatchOptions(changed.build(), bridge);
    }

    /**
     * The app to watch. Default: that of the client, and without one that of the credentials.
     *
     * @param app its name
     * @return the options
     */
    public WatchOptions app(String app) {
        return with(request -> request.setApp(app));
    }

    /**
     * Watches several apps. Of the apps that they mean, those are watched that the credentials may view.
     *
     * @param apps names, prefixes such as {@code pay/*}, or {@code *} for all; at most 16
     * @return the options
     */
    public WatchOptions apps(String... apps) {
        return with(request -> request.addAllApps(List.of(apps)));
    }

    /**
     * Only these jobs and their runs; at most 64.
     *
     * @param jobs their names
     * @return the options
     */
    public WatchOptions jobs(String... jobs) {
        return with(request -> request.addAllJobs(List.of(jobs)));
    }

    /**
     * Only these runs; at most 256.
     *
     * @param runIds their ids
     * @return the options
     */
    public WatchOptions runs(String... runIds) {
        return with(request -> request.addAllRunIds(List.of(runIds)));
    }

    /**
     * Only runs and jobs that bear this label, and all others that are asked for.
     *
     * @param key its key
     * @param value its value
     * @return the options
     */
    public WatchOptions label(String key, String value) {
        return with(request -> request.putLabels(key, value));
    }

    /**
     * Only events of these kinds.
     *
     * @param kinds the kinds
     * @return the options
     */
    public WatchOptions kinds(EventKind... kinds) {
        return with(request -> request.addAllKinds(List.of(kinds)));
    }

    /**
     * Only ends of runs.
     *
     * @return the options
     */
    public WatchOptions terminalOnly() {
        return with(request -> request.setTerminalOnly(true));
    }

    /**
     * From this revision on, inclusive. Takes the place of any other start.
     *
     * @param revision 1 or more
     * @return the options
     */
    public WatchOptions startAt(long revision) {
        return with(request -> request.clearSnapshot().setFromRevision(revision));
    }

    /**
     * After what the holder of this token has seen, by this filter. Takes the place of any other start.
     *
     * @param token of {@link WatchItem#resumeToken}
     * @return the options
     */
    public WatchOptions resume(String token) {
        return with(request -> request.clearSnapshot().setResumeToken(token));
    }

    /**
     * Tells how things stand first, and goes on with the events after that. Takes the place of any other start.
     *
     * @param scope which rows
     * @return the options
     */
    public WatchOptions snapshot(SnapshotScope scope) {
        return with(request -> request.clearStart().setSnapshot(scope));
    }

    /**
     * If the events that come next are no longer kept, or the store was restored from a backup while this watched, goes on from
     * a fresh snapshot instead of ending with an error; {@link WatchItem.SnapshotBegin} says so.
     *
     * @param scope which rows; take all to learn the end of every run that ended meanwhile
     * @return the options
     */
    public WatchOptions bridgeGaps(SnapshotScope scope) {
        return new WatchOptions(request, scope);
    }

    /**
     * How long the server may be silent; a watch that hears nothing for three times as long makes a new stream. Default 30 s.
     *
     * @param interval from 1 s to 240 s
     * @return the options
     */
    public WatchOptions progressInterval(Duration interval) {
        return with(request -> request.setProgressInterval(Times.toProto(interval)));
    }

    /**
     * The same as a request of the protocol.
     *
     * @return the request, without a header
     */
    public WatchRequest request() {
        return request;
    }

    /**
     * From which snapshot gaps are bridged.
     *
     * @return the rows of that, if gaps are bridged
     */
    public Optional<SnapshotScope> bridge() {
        return Optional.ofNullable(bridge);
    }
}
