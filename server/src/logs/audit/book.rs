//! The thread that writes the audit log: numbers the lines, ties each to the one before, and keeps count of what it could not
//! write. It alone knows where the log ends.

use std::{io, path::PathBuf, time::Duration};

use semel_core::id::{Millis, Timestamp};
use tokio::sync::watch;

use super::{
    Deed, Error, Refusal, Settings,
    chain::{self, Link},
    files::{Files, Tail},
    flood::Flood,
    line::{EXECUTED, Kind, Line, REPLAYED},
};
use crate::{
    causes::with_causes,
    clock::Clock,
    logs::{
        text::{self, cut},
        writer::Book,
    },
};

/// Lines are flushed to the disk at once, but not more often than this.
const SYNC_EVERY: Millis = Millis(1_000);
/// How long to wait, after something could not be written, before it is tried again; and before it is looked whether there are
/// refusals to be told together.
const LOOK: Duration = Duration::from_secs(1);

/// What is handed to the writer.
#[derive(Debug)]
pub(super) enum Entry {
    /// Something took effect.
    Deed(Box<Deed>),
    /// Somebody was refused.
    Refusal(Box<Refusal>),
    /// Nothing is missing up to there, which is written down.
    Mark(u64),
    /// Nothing is missing up to there.
    Stands(u64),
    /// Nothing is known from the first to the second.
    Gap(u64, u64),
}

/// See the module.
pub(super) struct Pages {
    folder: PathBuf,
    bytes_max: u64,
    clock: Clock,
    /// None while it cannot be written.
    files: Option<Files>,
    seq: u64,
    link: Link,
    /// Up to where no mutation is missing.
    stands: Option<u64>,
    flood: Flood,
    page: String,
    /// Lines that are lost, and of which nobody has been told yet.
    lost: u64,
    synced_at: Millis,
    is_synced: bool,
    /// When it was last tried in vain to open the log again.
    tried_at: Millis,
    failed: watch::Sender<Option<String>>,
}

impl Pages {
    /// Opens the log, and writes down that it did. Gives where the log had ended.
    pub(super) fn open(
        folder: PathBuf,
        settings: &Settings,
        clock: Clock,
        failed: watch::Sender<Option<String>>,
    ) -> Result<(Self, Tail), Error> {
        let bytes_max = settings.bytes_max;
        let (files, tail) = Files::open(&folder, bytes_max)?;
        let mut pages = Self {
            folder: folder.clone(),
            bytes_max,
            clock,
            files: Some(files),
            seq: tail.seq,
            link: tail.link,
            stands: tail.revision,
            flood: Flood::default(),
            page: String::new(),
            lost: 0,
            synced_at: Millis(-SYNC_EVERY.0),
            is_synced: true,
            tried_at: Millis(0),
            failed,
        };
        match pages.begin(&tail) {
            Ok(()) => {}
            Err(source) if settings.is_required => return Err(Error::File { path: folder, source }),
            // As if it had happened a moment later.
            Err(error) => pages.fail(&error),
        }
        Ok((pages, tail))
    }

    /// The first line of a server, behind whatever it found.
    fn begin(&mut self, tail: &Tail) -> io::Result<()> {
        let opened = Line { server_version: Some(env!("CARGO_PKG_VERSION").into()), ..Line::default() };
        self.open_behind(tail, Line { kind: Kind::Opened, revision: tail.revision, ..opened })?;
        self.flush()?;
        self.sync()
    }

    /// A first line behind what a crash may have left of another one.
    fn open_behind(&mut self, tail: &Tail, line: Line) -> io::Result<()> {
        if tail.is_open {
            self.page.push('\n');
        }
        let torn_bytes = (tail.torn_bytes > 0).then_some(tail.torn_bytes);
        self.line(Line { torn_bytes, time: self.now(), ..line })
    }

    fn now(&self) -> String {
        text::time(self.clock.wall())
    }

    /// Puts a line on the page, and in a new file if the present one is full.
    fn line(&mut self, line: Line) -> io::Result<()> {
        let Some(files) = &self.files else { return Ok(()) };
        let is_first = files.is_empty() && self.page.is_empty();
        if files.is_full() {
            self.flush()?;
            let next = self.seq + 1;
            self.files.as_mut().map_or(Ok(()), |files| files.rotate(next))?;
            let continued = Line { kind: Kind::Continued, time: self.now(), revision: self.stands, ..Line::default() };
            self.tied(Line { prev: Some(self.link.as_str().to_owned()), ..continued });
        }
        let prev = is_first.then(|| self.link.as_str().to_owned());
        self.tied(Line { prev, ..line });
        if self.page.len() as u64 >= self.page_max() { self.flush() } else { Ok(()) }
    }

    fn tied(&mut self, line: Line) {
        self.seq += 1;
        self.stands = line.stands().or(self.stands);
        // A map of plain values can always be written into memory.
        let object = serde_json::to_string(&Line { seq: self.seq, ..line }).unwrap_or_default();
        let (text, link) = chain::tie(self.link, &object);
        self.link = link;
        self.page.push_str(&text);
        self.page.push('\n');
    }

    /// A page is small beside a file, so that files are not much larger than they should be.
    fn page_max(&self) -> u64 {
        (self.bytes_max / 128).min(64 << 10)
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Some(files) = &mut self.files
            && !self.page.is_empty()
        {
            let written = files.append(self.page.as_bytes());
            self.page.clear();
            self.is_synced = false;
            written?;
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        if let Some(files) = &self.files {
            files.sync()?;
            (self.is_synced, self.synced_at) = (true, self.clock.steady());
        }
        Ok(())
    }

    /// All that is there to be written.
    fn put(&mut self, entries: &mut Vec<Entry>, missed: u64) -> io::Result<()> {
        self.lost += missed;
        let now = self.clock.wall();
        self.tell_left_out(now)?;
        for entry in entries.drain(..) {
            if let Some(line) = self.line_of(entry) {
                self.line(line)?;
            }
        }
        if self.lost > 0 {
            let lost = std::mem::take(&mut self.lost);
            self.line(Line { kind: Kind::Missed, time: self.now(), count: Some(lost), ..Line::default() })?;
        }
        self.flush()?;
        if !self.is_synced && self.clock.steady().0 - self.synced_at.0 >= SYNC_EVERY.0 { self.sync() } else { Ok(()) }
    }

    fn line_of(&mut self, entry: Entry) -> Option<Line> {
        let mark = |kind, revision| Line { kind, time: self.now(), revision: Some(revision), ..Line::default() };
        match entry {
            Entry::Deed(deed) => Some(deed_line(*deed)),
            Entry::Refusal(refusal) => {
                let is_admitted = self.flood.admits(refusal.reason, refusal.address, self.clock.wall());
                is_admitted.then(|| refusal_line(*refusal))
            }
            Entry::Mark(revision) => Some(mark(Kind::Mark, revision)),
            Entry::Gap(from, to) => Some(Line { from_revision: Some(from), ..mark(Kind::Gap, to) }),
            Entry::Stands(revision) => {
                self.stands = Some(revision);
                None
            }
        }
    }

    fn tell_left_out(&mut self, now: Timestamp) -> io::Result<()> {
        let left_out = self.flood.over(now);
        self.left_out(left_out)
    }

    fn left_out(&mut self, all: Vec<super::flood::LeftOut>) -> io::Result<()> {
        for left_out in all {
            let line =
                Line { kind: Kind::RefusalsLeftOut, time: self.now(), count: Some(left_out.count), ..Line::default() };
            let network_peer_address = left_out.address.map(|address| address.to_string());
            self.line(Line { reason: Some(left_out.reason.into()), network_peer_address, ..line })?;
        }
        Ok(())
    }

    /// Something could not be written. What of it lies in the file is seen when it is opened again.
    fn fail(&mut self, error: &dyn std::error::Error) {
        let why = with_causes(error);
        if self.files.take().is_some() {
            tracing::error!(error = why, folder = %self.folder.display(), "the audit log cannot be written; lines that are lost are counted");
        }
        self.page.clear();
        self.failed.send_replace(Some(why));
    }

    /// As if something could not be written.
    #[cfg(test)]
    pub(super) fn break_off(&mut self) {
        self.fail(&io::Error::other("a test"));
    }

    /// Whether it can be written (again).
    fn is_open(&mut self) -> bool {
        let steady = self.clock.steady();
        if self.files.is_some() || steady.0 - self.tried_at.0 < SYNC_EVERY.0 {
            return self.files.is_some();
        }
        self.tried_at = steady;
        let opened = Files::open(&self.folder, self.bytes_max).and_then(|(files, tail)| {
            self.lost += self.seq.saturating_sub(tail.seq);
            (self.files, self.seq, self.link) = (Some(files), tail.seq, tail.link);
            let lost = std::mem::take(&mut self.lost);
            self.open_behind(&tail, Line { kind: Kind::Missed, count: Some(lost), ..Line::default() })
                .and_then(|()| self.flush())
                .map_err(|source| {
                    self.lost = lost;
                    Error::File { path: self.folder.clone(), source }
                })
        });
        match opened {
            Ok(()) => tracing::info!("the audit log can be written again"),
            Err(error) => self.fail(&error),
        }
        self.files.is_some()
    }
}

impl Book for Pages {
    type Entry = Entry;

    fn write(&mut self, entries: &mut Vec<Entry>, missed: u64) {
        if missed > 0 {
            self.failed.send_replace(Some(format!("{missed} lines found no room: the disk is too slow for them")));
        }
        if !self.is_open() {
            self.lost += entries.len() as u64 + missed;
            return;
        }
        let handed = entries.len() as u64;
        let before = self.seq;
        if let Err(error) = self.put(entries, missed) {
            // Those that have a number are counted when it is seen how far the file goes.
            self.lost += handed.saturating_sub(self.seq - before);
            self.fail(&error);
        }
    }

    fn idle(&self) -> Option<Duration> {
        let is_waiting = self.files.is_none() || !self.is_synced || self.flood.is_counting();
        is_waiting.then_some(LOOK)
    }

    fn close(&mut self) {
        let left_out = self.flood.take();
        let closed = self.left_out(left_out).and_then(|()| {
            self.line(Line { kind: Kind::Closed, time: self.now(), revision: self.stands, ..Line::default() })
        });
        if let Err(error) = closed.and_then(|()| self.flush()).and_then(|()| self.sync()) {
            self.fail(&error);
        }
    }
}

fn deed_line(deed: Deed) -> Line {
    let is_replayed = deed.is_replayed;
    Line {
        kind: Kind::Mutation,
        time: text::time(deed.time),
        principal: Some(cut(&deed.principal)),
        auth_method: deed.auth_method.map(Into::into),
        rpc_method: Some(deed.method.as_str().into()),
        app: Some(deed.app.to_string()),
        target: deed.target.as_deref().map(cut),
        request_id: Some(deed.request_id.to_string()),
        disposition: Some(if is_replayed { REPLAYED } else { EXECUTED }.into()),
        revision: Some(deed.revision),
        execute_time: is_replayed.then(|| text::time(deed.execute_time)),
        arrivals: (deed.arrivals > 1).then_some(deed.arrivals),
        network_peer_address: deed.address.map(|address| address.to_string()),
        recovered: deed.is_recovered,
        ..Line::default()
    }
}

fn refusal_line(refusal: Refusal) -> Line {
    Line {
        kind: Kind::Refusal,
        time: text::time(refusal.time),
        principal: refusal.principal.as_deref().map(cut),
        auth_method: refusal.auth_method.map(Into::into),
        auth_status: refusal.auth_status.map(Into::into),
        rpc_method: Some(cut(&refusal.rpc_method).into()),
        app: refusal.app.as_deref().map(cut),
        target: refusal.target.as_deref().map(cut),
        request_id: refusal.request_id.as_deref().map(cut),
        rpc_response_status_code: Some(refusal.code.into()),
        reason: Some(refusal.reason.into()),
        network_peer_address: refusal.address.map(|address| address.to_string()),
        ..Line::default()
    }
}
