//! The audit log as a whole: what is written can be read, holds together, keeps its bounds, and shows what was done to it.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use semel_core::id::{Millis, RequestId, Timestamp};
use tokio::sync::watch;

use super::{
    book::{Entry, Pages},
    *,
};
use crate::{clock::ManualClock, logs::writer::Book as _};

const NOON: Timestamp = Timestamp(1_769_860_800_000);

/// A log without its thread, by a clock that stands still.
struct Log {
    folder: tempfile::TempDir,
    pages: Pages,
    clock: ManualClock,
    failed: watch::Receiver<Option<String>>,
}

impl Log {
    fn new(bytes_max: u64) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self::within(folder, bytes_max)
    }

    fn within(folder: tempfile::TempDir, bytes_max: u64) -> Self {
        let clock = ManualClock::at(NOON);
        let (fails, failed) = watch::channel(None);
        let path = folder.path().join("audit");
        let settings = Settings { bytes_max, ..Settings::default() };
        let (pages, _) = Pages::open(path, &settings, Clock::Manual(clock.clone()), fails).expect("it opens");
        Self { folder, pages, clock, failed }
    }

    /// As if it had been killed, and started again.
    fn again(self) -> Self {
        Self::within(self.folder, 1 << 20)
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("audit")
    }

    fn write(&mut self, entries: impl IntoIterator<Item = Entry>) {
        self.pages.write(&mut entries.into_iter().collect(), 0);
    }

    fn did(&mut self, revisions: impl IntoIterator<Item = u64>) {
        self.write(revisions.into_iter().map(|revision| Entry::Deed(Box::new(deed(revision)))));
    }

    fn lines(&self) -> Vec<Line> {
        let mut lines = Lines::new(&self.path());
        std::iter::from_fn(|| lines.next_whole().expect("it can be read"))
            .map(|found| read(&found).expect("a line"))
            .collect()
    }

    fn kinds(&self) -> Vec<Kind> {
        self.lines().iter().map(|line| line.kind).collect()
    }

    fn report(&self) -> Report {
        verify(&self.path(), None).expect("it can be read")
    }
}

fn deed(revision: u64) -> Deed {
    Deed {
        time: NOON,
        principal: "app:pay".into(),
        auth_method: Some("APP_SECRET"),
        address: Some(IpAddr::from([127, 0, 0, 1])),
        method: Method::CreateJob,
        app: AppName::parse("pay").expect("a name"),
        target: Some("settle".to_owned()),
        request_id: RequestId([7; 16]),
        is_replayed: false,
        revision,
        execute_time: NOON,
        arrivals: 1,
        is_recovered: false,
    }
}

fn refusal(reason: &'static str) -> Entry {
    Entry::Refusal(Box::new(Refusal {
        time: NOON,
        rpc_method: "semel.v1.JobService/RunJob".to_owned(),
        code: "UNAUTHENTICATED",
        reason,
        auth_status: Some("INVALID"),
        auth_method: None,
        principal: None,
        app: Some("pay".to_owned()),
        target: None,
        request_id: Some("x".repeat(100_000)),
        address: Some(IpAddr::from([127, 0, 0, 1])),
    }))
}

/// Changes the text of a file as somebody with an editor could.
fn tamper(path: &Path, change: impl FnOnce(&str) -> String) {
    let text = fs::read_to_string(path).expect("text");
    fs::write(path, change(&text)).expect("written");
}

fn without(text: &str, index: usize) -> String {
    let kept = text.lines().enumerate().filter(|(at, _)| *at != index).map(|(_, line)| format!("{line}\n"));
    kept.collect()
}

#[test]
fn what_is_written_is_read_and_holds_over_a_restart() {
    let mut log = Log::new(1 << 20);
    log.did([5, 6]);
    let replayed = Deed { is_replayed: true, arrivals: 2, revision: 5, ..deed(5) };
    log.write([Entry::Deed(Box::new(replayed)), refusal("CREDENTIALS_INVALID")]);
    log.pages.close();
    let lines = log.lines();
    assert_eq!(
        log.kinds(),
        [Kind::Opened, Kind::Mutation, Kind::Mutation, Kind::Mutation, Kind::Refusal, Kind::Closed]
    );
    assert_eq!(lines[1].principal.as_deref(), Some("app:pay"));
    assert_eq!(lines[3].disposition.as_deref(), Some("REPLAYED"));
    assert!(lines[4].request_id.as_ref().is_some_and(|id| id.len() <= 256), "what callers chose is cut");
    assert_eq!(lines[5].revision, Some(6), "a replay is of before");
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&log.path()), 0o700);
    assert_eq!(mode(&log.path().join("audit-0000000000000001.jsonl")), 0o600);

    let mut log = log.again();
    log.did([7]);
    let report = log.report();
    assert_eq!((report.line_count, report.first_seq, report.last_seq, report.fault_count), (8, 1, 8, 0), "{report:?}");
    let last = Link::parse(&report.last_hash);
    assert!(verify(&log.path(), last).expect("it can be read").has_expected);
    assert!(!verify(&log.path(), Some(Link::START)).expect("it can be read").has_expected);
}

#[test]
fn whatever_is_done_to_a_line_is_seen() {
    for (what, change) in [
        ("changed", (|text| text.replace("app:pay", "app:you")) as fn(&str) -> String),
        ("one", |text| text.replacen("\"revision\":7", "\"revision\":8", 1)),
        ("missing", |text| without(text, 2)),
        ("does not begin", |text| without(text, 0)),
        ("behind line", |text| {
            text.to_owned() + &text.lines().nth(2).map(|line| format!("{line}\n")).unwrap_or_default()
        }),
        ("no line", |text| text.replacen("{\"seq\":3", "\"seq\":3", 1)),
    ] {
        let mut log = Log::new(1 << 20);
        log.did([5, 6, 7, 8]);
        assert_eq!(log.report().fault_count, 0);
        tamper(&log.path().join("audit-0000000000000001.jsonl"), change);
        let report = log.report();
        let told: Vec<&str> = report.faults.iter().map(|fault| fault.problem.as_str()).collect();
        assert!(!told.is_empty(), "{what}: nothing was seen");
        assert!(what == "one" || told.iter().any(|problem| problem.contains(what)), "{what}: {told:?}");
    }
}

#[test]
fn files_have_a_bound_and_a_missing_one_is_seen() {
    let mut log = Log::new(64 << 10);
    for revision in 1..1_000 {
        log.did([revision]);
    }
    let files = super::read::files(&log.path()).expect("it can be read");
    let total: u64 = files.iter().map(|path| fs::metadata(path).expect("it is there").len()).sum();
    assert!(files.len() > 3 && total <= 64 << 10, "{total} bytes in {files:?}");
    let report = log.report();
    assert!(report.fault_count == 0 && report.first_seq > 1 && report.last_seq > 1_000, "{report:?}");
    fs::remove_file(&files[2]).expect("removed");
    let report = log.report();
    assert_eq!(report.fault_count, 1, "{report:?}");
    assert!(report.faults[0].problem.contains("missing"), "{report:?}");
}

#[test]
fn what_a_crash_leaves_of_a_line_is_told_and_is_no_fault() {
    let mut log = Log::new(1 << 20);
    log.did([5, 6]);
    let file = log.path().join("audit-0000000000000001.jsonl");
    tamper(&file, |text| text[..text.len() - 40].to_owned());
    let mut log = log.again();
    log.did([6]);
    let mut lines = Lines::new(&log.path());
    let found: Vec<Found> = std::iter::from_fn(|| lines.next_whole().expect("it can be read")).collect();
    let opened = read(&found[3]).expect("a line");
    assert_eq!((opened.kind, opened.torn_bytes), (Kind::Opened, Some(found[2].bytes.len() as u64)));
    assert_eq!(opened.revision, Some(5), "what was cut off is missing");
    let report = log.report();
    assert_eq!((report.torn_count, report.fault_count), (1, 0), "{report:?}");
}

#[test]
fn a_log_of_which_nothing_can_be_read_is_not_added_to() {
    let log = Log::new(1 << 20);
    tamper(&log.path().join("audit-0000000000000001.jsonl"), |_| "rubbish\n".to_owned());
    let clock = Clock::Manual(log.clock.clone());
    let settings = Settings::default();
    let error = Audit::open(&log.path(), &settings, clock.clone()).expect_err("it is damaged");
    assert!(error.to_string().contains("audit-0000000000000001.jsonl"), "{error}");
    let off = Settings { events: None, ..settings };
    assert!(Audit::open(&log.path(), &off, clock).expect("it is not looked at").is_none());
}

#[test]
fn a_flood_of_refusals_is_told_in_few_lines() {
    let mut log = Log::new(1 << 20);
    log.write((0..10_000).map(|_| refusal("CREDENTIALS_INVALID")));
    log.clock.advance(Millis(60_000));
    log.write([]);
    let lines = log.lines();
    assert_eq!(lines.len(), 1 + 10 + 1);
    let last = lines.last().expect("a line");
    assert_eq!((last.kind, last.count), (Kind::RefusalsLeftOut, Some(9_990)));
    assert_eq!(last.network_peer_address.as_deref(), Some("127.0.0.1"));
}

#[test]
fn lines_that_are_lost_are_counted_told_and_make_the_log_fail() {
    let mut log = Log::new(1 << 20);
    log.pages.write(&mut Vec::new(), 3);
    assert_eq!(log.lines().last().and_then(|line| line.count), Some(3));
    assert!(log.failed.has_changed().expect("it lives"));
    // A folder in the place of the next file.
    log.failed.mark_unchanged();
    let path = log.path();
    fs::rename(&path, log.folder.path().join("away")).expect("moved");
    fs::write(&path, "in the way").expect("written");
    log.pages.break_off();
    log.did([5, 6]);
    log.clock.advance(Millis(5_000));
    log.did([7]);
    assert!(log.failed.has_changed().expect("it lives"));
    fs::remove_file(&path).expect("removed");
    fs::rename(log.folder.path().join("away"), &path).expect("moved back");
    log.clock.advance(Millis(5_000));
    log.did([8]);
    let lines = log.lines();
    let told: Vec<_> = lines.iter().rev().take(2).map(|line| (line.kind, line.count, line.revision)).collect();
    assert_eq!(told, [(Kind::Mutation, None, Some(8)), (Kind::Missed, Some(3), None)]);
    assert_eq!(log.report().fault_count, 0);
}
