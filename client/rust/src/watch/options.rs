//! What a program says of the watch that it wants. Plain data; the server judges it.

use std::time::Duration;

use semel_proto::v1::{EventKind, SnapshotScope, WatchRequest, watch_request};

use super::token::ResumeToken;

/// What lies ready for the program at most, unless it says otherwise.
const BUFFER_BYTES: usize = 4 * 1024 * 1024;
/// Room for some messages of a quiet watch.
const BUFFER_BYTES_MIN: usize = 16 * 1024;
const BUFFER_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// Which events, from where, and what happens if some of them are no longer kept. Made with [`WatchOptions::new`], refined
/// with the methods that follow. Of what is given, everything must hold; of the values of one field, one.
#[derive(Clone, Debug)]
pub struct WatchOptions {
    /// The filter and the interval; header and start are put in for each stream.
    pub(super) request: WatchRequest,
    pub(super) start: Start,
    pub(super) bridge: Option<SnapshotScope>,
    pub(super) buffer_bytes: usize,
}

/// From where.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Start {
    Now,
    Revision(i64),
    Token(ResumeToken),
    Snapshot(SnapshotScope),
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl WatchOptions {
    /// All events of the client's app from now on.
    pub fn new() -> Self {
        Self { request: WatchRequest::default(), start: Start::Now, bridge: None, buffer_bytes: BUFFER_BYTES }
    }

    /// The app to watch. Default: that of the client, and without one that of the credentials.
    #[must_use]
    pub fn app(mut self, app: impl Into<String>) -> Self {
        self.request.app = app.into();
        self
    }

    /// Watches several apps: each a name, a prefix such as `pay/*`, or `*` for all. Of the apps that they mean, those
    /// are watched that the credentials may view. May be called again; at most 16.
    #[must_use]
    pub fn apps<T: Into<String>>(mut self, apps: impl IntoIterator<Item = T>) -> Self {
        self.request.apps.extend(apps.into_iter().map(Into::into));
        self
    }

    /// Everything that the credentials may view: `apps(["*"])`.
    #[must_use]
    pub fn everything(self) -> Self {
        self.apps(["*"])
    }

    /// Only this job and its runs; may be called again, at most 64 times.
    #[must_use]
    pub fn job(mut self, job: impl Into<String>) -> Self {
        self.request.jobs.push(job.into());
        self
    }

    /// Only this run; may be called again, at most 256 times.
    #[must_use]
    pub fn run(mut self, run_id: impl Into<String>) -> Self {
        self.request.run_ids.push(run_id.into());
        self
    }

    /// Only runs and jobs that bear this label, and all others that are asked for.
    #[must_use]
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.request.labels.insert(key.into(), value.into());
        self
    }

    /// Only events of this kind; may be called again.
    #[must_use]
    pub fn kind(mut self, kind: EventKind) -> Self {
        self.request.kinds.push(kind.into());
        self
    }

    /// Only ends of runs.
    #[must_use]
    pub fn terminal_only(mut self) -> Self {
        self.request.terminal_only = true;
        self
    }

    /// From this revision on, inclusive. Takes the place of any other start.
    #[must_use]
    pub fn start_at(mut self, revision: i64) -> Self {
        self.start = Start::Revision(revision);
        self
    }

    /// After what the holder of this token has seen, by this filter. Takes the place of any other start.
    #[must_use]
    pub fn resume(mut self, token: ResumeToken) -> Self {
        self.start = Start::Token(token);
        self
    }

    /// Tells how things stand first, and goes on with the events after that. Takes the place of any other start.
    #[must_use]
    pub fn snapshot(mut self, scope: SnapshotScope) -> Self {
        self.start = Start::Snapshot(scope);
        self
    }

    /// If the events that come next are no longer kept, or the store was restored from a backup while this watched, goes
    /// on from a fresh snapshot instead of ending with an error. The program is told by
    /// [`Told::SnapshotBegin`](super::Told) with [`SnapshotCause::Gap`](super::SnapshotCause). Take
    /// [`SnapshotScope::All`] to learn the end of every run that ended meanwhile.
    #[must_use]
    pub fn bridge_gaps(mut self, scope: SnapshotScope) -> Self {
        self.bridge = Some(scope);
        self
    }

    /// How long the server may be silent; a watch that hears nothing for three times as long makes a new stream. Default
    /// 30 s, from 1 s to 240 s.
    #[must_use]
    pub fn progress_interval(mut self, interval: Duration) -> Self {
        self.request.progress_interval = interval.try_into().ok();
        self
    }

    /// How many encoded bytes may lie ready that the program has not taken yet. Default 4 MiB, from 16 KiB to 1 GiB. A
    /// program that is slower loses nothing: see [`Watch`](super::Watch).
    #[must_use]
    pub fn buffer_bytes(mut self, bytes: usize) -> Self {
        self.buffer_bytes = bytes.clamp(BUFFER_BYTES_MIN, BUFFER_BYTES_MAX);
        self
    }

    /// The request of a stream that begins at this start.
    pub(super) fn request(&self, start: &Start) -> WatchRequest {
        let mut request = self.request.clone();
        match start {
            Start::Now => {}
            Start::Revision(revision) => request.start = Some(watch_request::Start::FromRevision(*revision)),
            Start::Token(token) => request.start = Some(watch_request::Start::ResumeToken(token.base().to_string())),
            Start::Snapshot(scope) => request.snapshot = (*scope).into(),
        }
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_start_counts_and_the_filter_stays() {
        let options = WatchOptions::new()
            .apps(["pay/*"])
            .job("settle")
            .run("run-1")
            .label("env", "prod")
            .kind(EventKind::RunFailed)
            .terminal_only()
            .snapshot(SnapshotScope::Live)
            .start_at(7);
        let request = options.request(&options.start);
        assert_eq!(request.start, Some(watch_request::Start::FromRevision(7)));
        assert_eq!(request.snapshot(), SnapshotScope::Unspecified);
        assert_eq!((request.apps, request.jobs), (vec!["pay/*".to_owned()], vec!["settle".to_owned()]));
        assert_eq!((request.run_ids.len(), request.labels.len(), request.kinds.len()), (1, 1, 1));
        assert!(request.terminal_only);
        let snapshot = options.request(&Start::Snapshot(SnapshotScope::All));
        assert_eq!((snapshot.start, snapshot.snapshot), (None, SnapshotScope::All.into()));
    }
}
