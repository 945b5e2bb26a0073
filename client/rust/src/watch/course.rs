//! The course of a watch over all its streams: where it is, what was told, and how the next stream is to be asked for.
//! Pure: messages come in, items go out; nothing here waits or sends.

use std::sync::Arc;

use semel_proto::v1::{
    SnapshotScope, WatchEvents, WatchOpened, WatchRequest, WatchResponse, WatchSnapshot, watch_response::Kind,
};

use super::{
    item::{Item, SnapshotCause, Told},
    marks::Marks,
    options::{Start, WatchOptions},
    token::{Part, Passed, Position, ResumeToken},
};
use crate::error::Error;

/// See the module.
#[derive(Debug)]
pub(super) struct Course {
    options: WatchOptions,
    /// How the next stream begins.
    start: Start,
    /// The last token of the server's.
    base: Option<Arc<str>>,
    /// What was told since.
    since: Passed,
    marks: Marks,
    /// What the items of the last message share.
    part: Arc<Part>,
    in_snapshot: bool,
    /// Why the next snapshot is told.
    cause: SnapshotCause,
    /// Whether the program takes the stream to be lost, or has heard of none yet.
    is_lost: bool,
    /// Whether the server gave a token to this watch, so that a refused one is not a mistake of the program's.
    has_own_token: bool,
}

impl Course {
    pub(super) fn new(options: WatchOptions) -> Self {
        let mut course = Self {
            start: options.start.clone(),
            options,
            base: None,
            since: Passed::default(),
            marks: Marks::default(),
            part: Arc::default(),
            in_snapshot: false,
            cause: SnapshotCause::Asked,
            is_lost: true,
            has_own_token: false,
        };
        if let Start::Token(token) = &course.start {
            course.marks.recall(token.passed());
            course.since = token.passed().clone();
            course.base = Some(token.base().clone());
        }
        course.part = Arc::new(Part { base: course.base.clone(), before: course.since.clone(), ..Part::default() });
        course
    }

    /// Behind what was told so far.
    pub(super) fn position(&self) -> Position {
        Position::new(self.part.clone(), self.part.events.len())
    }

    /// What the next stream is to be asked for.
    pub(super) fn request(&self) -> WatchRequest {
        self.options.request(&self.start)
    }

    /// Whether a new stream could go on from here without telling anything again.
    pub(super) fn is_at_token(&self) -> bool {
        self.base.is_some() && self.since.is_empty() && !self.in_snapshot
    }

    /// Whether gaps are to be bridged.
    pub(super) fn bridges(&self) -> bool {
        self.options.bridge.is_some()
    }

    /// Whether a token was given to this watch, rather than brought by the program.
    pub(super) fn has_own_token(&self) -> bool {
        self.has_own_token
    }

    /// The next stream begins with a snapshot, because what comes next is gone.
    pub(super) fn bridge(&mut self, oldest_revision: Option<i64>) {
        self.start = Start::Snapshot(self.options.bridge.unwrap_or(SnapshotScope::All));
        self.cause = SnapshotCause::Gap { oldest_revision };
        self.base = None;
        self.since.clear();
    }

    /// The stream is lost; what to tell of it, unless that was told.
    pub(super) fn lose(&mut self, error: Error) -> Option<Item> {
        if self.is_lost {
            return None;
        }
        self.is_lost = true;
        Some(self.behind_all(Told::Lost(error)))
    }

    /// A stream has opened.
    pub(super) fn open(&mut self, opened: &WatchOpened, token: String) -> Result<Vec<Item>, &'static str> {
        let with_snapshot = matches!(self.start, Start::Snapshot(_));
        if !with_snapshot && token.is_empty() {
            return Err("the stream opens without a resume token");
        }
        if matches!(self.start, Start::Token(_)) {
            self.marks.begin();
        } else {
            self.marks.forget();
        }
        let mut told = Vec::with_capacity(2);
        if std::mem::take(&mut self.is_lost) {
            told.push(Told::Opened { revision: opened.revision, oldest_revision: opened.oldest_revision });
        }
        if with_snapshot {
            self.in_snapshot = true;
            told.push(Told::SnapshotBegin(self.cause));
            self.cause = SnapshotCause::BrokenOff;
        } else if !matches!(self.start, Start::Token(_)) {
            self.arrive(token);
        }
        self.part = Arc::new(Part { base: self.base.clone(), before: self.since.clone(), ..Part::default() });
        Ok(told.into_iter().map(|told| self.behind_all(told)).collect())
    }

    /// What a message tells. Notices and farewells tell nothing here, but may bring a token.
    pub(super) fn take(&mut self, message: WatchResponse) -> Vec<Item> {
        let before = Part { base: self.base.clone(), before: self.since.clone(), ..Part::default() };
        let mut token = Some(message.resume_token).filter(|token| !token.is_empty());
        let (told, events) = match message.kind {
            Some(Kind::Snapshot(rows)) => (told_rows(rows), Vec::new()),
            Some(Kind::SnapshotEnd(end)) => {
                self.in_snapshot = false;
                (vec![Told::SnapshotEnd { revision: end.revision }], Vec::new())
            }
            Some(Kind::Events(events)) => self.take_events(events),
            Some(Kind::Progress(progress)) => (vec![Told::Progress { revision: progress.revision }], Vec::new()),
            Some(Kind::AuthNotice(_) | Kind::GoingAway(_)) => (Vec::new(), Vec::new()),
            // What a later server means by it, and by its token, is not known.
            Some(Kind::Opened(_)) | None => {
                token = None;
                (Vec::new(), Vec::new())
            }
        };
        let token = token.filter(|_| !self.in_snapshot);
        if let Some(token) = token.clone() {
            self.arrive(token);
        }
        let count = events.len();
        self.part = Arc::new(Part { events, after: token.map(Into::into), ..before });
        let place = |(number, told)| {
            let behind = if count == 0 { 0 } else { number + 1 };
            Item { told, position: Position::new(self.part.clone(), behind) }
        };
        told.into_iter().enumerate().map(place).collect()
    }

    fn take_events(&mut self, events: WatchEvents) -> (Vec<Told>, Vec<(Arc<str>, i64)>) {
        let mut told = Vec::with_capacity(events.events.len());
        let mut places = Vec::with_capacity(events.events.len());
        for event in events.events {
            let Some(app) = self.marks.admit(&event.app, event.revision) else {
                tracing::debug!(app = event.app, revision = event.revision, "an event came again, leaving it out");
                continue;
            };
            self.since.note(&app, event.revision);
            places.push((app, event.revision));
            told.push(Told::Event(Box::new(event)));
        }
        (told, places)
    }

    /// All that was told lies before this token.
    fn arrive(&mut self, token: String) {
        let base: Arc<str> = token.into();
        self.start = Start::Token(ResumeToken::new(base.clone(), Passed::default()));
        self.base = Some(base);
        self.has_own_token = true;
        self.marks.close(&self.since);
        self.since.clear();
        self.marks.trim();
    }

    /// An item that comes after all that was told.
    pub(super) fn behind_all(&self, told: Told) -> Item {
        Item { told, position: self.position() }
    }
}

fn told_rows(rows: WatchSnapshot) -> Vec<Told> {
    let runs = rows.runs.into_iter().map(|run| Told::Run(Box::new(run)));
    let jobs = rows.jobs.into_iter().map(|job| Told::Job(Box::new(job)));
    let workers = rows.workers.into_iter().map(|worker| Told::Worker(Box::new(worker)));
    runs.chain(jobs).chain(workers).collect()
}

#[cfg(test)]
mod tests;
