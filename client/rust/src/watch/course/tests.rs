//! The course of a watch, message by message: what is told, and how the next stream is asked for.

use semel_proto::v1::{Event, GoingAway, Run, WatchProgress, WatchSnapshotEnd, watch_request};

use super::*;

fn course(options: WatchOptions) -> Course {
    Course::new(options)
}

fn opened() -> WatchOpened {
    WatchOpened { revision: 5, oldest_revision: 1, ..WatchOpened::default() }
}

fn message(token: &str, kind: Kind) -> WatchResponse {
    WatchResponse { header: None, resume_token: token.to_owned(), kind: Some(kind) }
}

fn events(token: &str, revisions: &[i64]) -> WatchResponse {
    let event = |revision: &i64| Event { revision: *revision, app: "pay".to_owned(), ..Event::default() };
    let events = revisions.iter().map(event).collect();
    message(token, Kind::Events(WatchEvents { events, more: token.is_empty() }))
}

fn rows(ids: &[&str]) -> WatchResponse {
    let run = |id: &&str| Run { run_id: (*id).to_owned(), ..Run::default() };
    message("", Kind::Snapshot(WatchSnapshot { runs: ids.iter().map(run).collect(), ..WatchSnapshot::default() }))
}

/// What items tell, each in a word, with the token behind it.
fn words(items: &[Item]) -> Vec<String> {
    let word = |item: &Item| {
        let told = match &item.told {
            Told::Opened { .. } => "opened".to_owned(),
            Told::SnapshotBegin(cause) => format!("{cause:?}"),
            Told::Run(run) => run.run_id.clone(),
            Told::SnapshotEnd { revision } => format!("end {revision}"),
            Told::Event(event) => event.revision.to_string(),
            Told::Progress { revision } => format!("at {revision}"),
            other => format!("{other:?}"),
        };
        format!("{told} {}", item.resume_token().map(|token| token.to_string()).unwrap_or_default()).trim().to_owned()
    };
    items.iter().map(word).collect()
}

fn open(course: &mut Course, token: &str) -> Vec<String> {
    words(&course.open(&opened(), token.to_owned()).expect("it opens"))
}

fn start(course: &Course) -> Option<watch_request::Start> {
    course.request().start
}

fn token(text: &str) -> Option<watch_request::Start> {
    Some(watch_request::Start::ResumeToken(text.to_owned()))
}

fn lost() -> Error {
    Error::usage("lost")
}

#[test]
fn each_event_has_its_token_and_the_next_stream_goes_on_from_the_last() {
    let mut course = course(WatchOptions::new());
    assert_eq!((start(&course), course.is_at_token()), (None, false));
    assert_eq!(open(&mut course, "A"), ["opened A"]);
    assert_eq!(words(&course.take(events("B", &[6, 6, 7]))), ["6 A~pay:6:1", "6 A~pay:6:2", "7 B"]);
    assert_eq!(words(&course.take(message("C", Kind::Progress(WatchProgress { revision: 9 })))), ["at 9 C"]);
    assert_eq!((start(&course), course.is_at_token()), (token("C"), true));
}

#[test]
fn a_revision_that_broke_off_in_the_middle_goes_on_where_it_was() {
    let mut course = course(WatchOptions::new());
    open(&mut course, "A");
    assert_eq!(words(&course.take(events("", &[6, 7, 7]))), ["6 A~pay:6:1", "7 A~pay:7:1", "7 A~pay:7:2"]);
    assert!(!course.is_at_token());
    assert_eq!(
        course.lose(lost()).map(|item| item.resume_token().expect("a token").to_string()),
        Some("A~pay:7:2".to_owned())
    );
    assert!(course.lose(lost()).is_none(), "it is told once");

    assert_eq!(start(&course), token("A"));
    assert_eq!(open(&mut course, "A"), ["opened A~pay:7:2"]);
    assert_eq!(words(&course.take(events("", &[6, 7, 7, 7]))), ["7 A~pay:7:3"]);
    assert_eq!(words(&course.take(events("B", &[7, 8]))), ["7 A~pay:7:4", "8 B"]);
}

#[test]
fn a_program_goes_on_from_the_middle_of_a_message() {
    let stored = "A~pay:6:1".parse().expect("a token");
    let mut course = course(WatchOptions::new().resume(stored));
    assert_eq!(start(&course), token("A"));
    assert_eq!(open(&mut course, "A"), ["opened A~pay:6:1"]);
    assert!(!course.has_own_token());
    assert_eq!(words(&course.take(events("B", &[6, 6, 7]))), ["6 A~pay:6:2", "7 B"]);
    assert!(course.has_own_token());
}

#[test]
fn what_comes_again_in_spite_of_the_token_is_not_told_again() {
    let mut course = course(WatchOptions::new());
    open(&mut course, "A");
    course.take(events("B", &[6, 7]));
    assert_eq!(open(&mut course, "B"), Vec::<String>::new(), "nobody has to know of a new stream");
    assert_eq!(words(&course.take(events("C", &[6, 7, 8]))), ["8 C"]);
    assert!(words(&course.take(events("D", &[7]))).is_empty());
    assert_eq!(start(&course), token("D"));
}

#[test]
fn a_snapshot_that_broke_off_is_begun_again_and_the_program_is_told() {
    let mut course = course(WatchOptions::new().snapshot(SnapshotScope::Live));
    assert_eq!(open(&mut course, ""), ["opened", "Asked"]);
    assert_eq!(words(&course.take(rows(&["a", "b"]))), ["a", "b"]);
    course.lose(lost());
    assert_eq!(course.request().snapshot(), SnapshotScope::Live);
    assert_eq!(open(&mut course, ""), ["opened", "BrokenOff"]);
    course.take(rows(&["a"]));
    assert!(!course.is_at_token());
    let end = message("A", Kind::SnapshotEnd(WatchSnapshotEnd { revision: 9 }));
    assert_eq!(words(&course.take(end)), ["end 9 A"]);
    assert!(course.is_at_token());
    assert_eq!((start(&course), course.request().snapshot()), (token("A"), SnapshotScope::Unspecified));
}

#[test]
fn a_gap_is_bridged_by_a_snapshot() {
    let mut course = course(WatchOptions::new().bridge_gaps(SnapshotScope::All));
    open(&mut course, "A");
    course.take(events("B", &[6]));
    course.bridge(Some(40));
    assert_eq!((start(&course), course.request().snapshot()), (None, SnapshotScope::All));
    assert_eq!(open(&mut course, ""), ["Gap { oldest_revision: Some(40) }"]);
    course.take(message("C", Kind::SnapshotEnd(WatchSnapshotEnd { revision: 3 })));
    assert_eq!(words(&course.take(events("D", &[4]))), ["4 D"], "the log may be another one");
}

#[test]
fn a_farewell_brings_its_token_and_what_is_not_known_does_not() {
    let mut course = course(WatchOptions::new());
    open(&mut course, "A");
    assert!(course.take(message("B", Kind::GoingAway(GoingAway::default()))).is_empty());
    assert_eq!(start(&course), token("B"));
    assert!(course.take(WatchResponse { header: None, resume_token: "C".to_owned(), kind: None }).is_empty());
    assert_eq!(start(&course), token("B"));
}

#[test]
fn a_stream_that_names_no_place_is_none() {
    let mut course = course(WatchOptions::new());
    assert!(course.open(&opened(), String::new()).is_err());
}
