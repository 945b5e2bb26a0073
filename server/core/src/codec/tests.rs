//! What is written can be read: every event, answer and row, by this server, by an older and by a newer one.

use std::fmt::Debug;

use super::*;
use crate::{
    app::{App, AppPattern, FormerSecret, Grant, Role},
    command::Method,
    event::{Event, Record, WorkerStanding},
    facts::{Facts, JobFacts, RunFacts, TriggerFacts},
    id::{AppName, AttemptNumber, Millis, RequestId, Revision, Timestamp},
    job::{Job, JobSpec, Pause},
    reply::Reply,
    run::{AttemptOutcome, Cause, LogStream, Outcome, Phase, Run, RunState},
    samples::*,
    schedule::{Overlap, When},
    state::{LogRow, UniqueHold},
    trace::TraceContext,
    trigger::{Backfill, Counters, Due, Effect, FireSource, PastFire, SkipReason, Standing, Waiting},
    window::{DedupRecord, Fingerprint, Told},
};

fn full_app() -> App {
    let grants = vec![
        Grant { role: Role::Admin, apps: AppPattern::All },
        Grant { role: Role::Operator, apps: AppPattern::Below(pay()) },
        Grant { role: Role::Worker, apps: AppPattern::One(named("shop")) },
    ];
    let former_secret = Some(FormerSecret { hash: [9; 32], expire_time: T0 });
    App { grants, former_secret, tokens_revoked_until: Some(T0), ..app_at("pay", 3) }
}

fn full_spec() -> JobSpec {
    JobSpec {
        payload: Some(payload("in")),
        run_timeout: Some(Millis(1)),
        max_running: Some(2),
        priority: -3,
        labels: labels(&[("a", "b")]).into(),
        description: "what".to_owned(),
        triggers: spec_with_trigger(trigger_spec(When::Rate { period: Millis(500) })).triggers,
        ..spec()
    }
}

fn full_job() -> Job {
    Job { pause: Some(Pause { note: "why".to_owned(), time: T0 }), ..job_at(&settle(), full_spec(), 4) }
}

/// A run that has been in a phase, with everything that a run can have.
fn full_run(phase: Phase) -> Run {
    let mut run = run_with_id(id(1), 5);
    run.state = match phase {
        Phase::Scheduled => RunState::Scheduled { until: START },
        Phase::Queued => RunState::Queued { since: T0 },
        Phase::Running => RunState::Running,
        Phase::Retrying => RunState::Retrying { until: START },
        Phase::Cancelling => RunState::Cancelling { give_up_time: START },
        Phase::Succeeded => RunState::Ended { outcome: Outcome::Succeeded, time: T0 },
        Phase::Failed => RunState::Ended { outcome: Outcome::Failed, time: T0 },
        Phase::Cancelled => RunState::Ended { outcome: Outcome::Cancelled, time: T0 },
        Phase::Expired => RunState::Ended { outcome: Outcome::Expired, time: T0 },
    };
    let how = [
        AttemptOutcome::Succeeded,
        AttemptOutcome::Failed,
        AttemptOutcome::Cancelled,
        AttemptOutcome::TimedOut,
        AttemptOutcome::Lost,
        AttemptOutcome::Released,
    ];
    run.attempts = how
        .into_iter()
        .map(|how| crate::run::Attempt {
            number: AttemptNumber(1),
            worker_id: WORKER,
            worker_name: "w".into(),
            start_time: T0,
            deadline: Some(START),
            end: Some(crate::run::AttemptEnd { how, time: T0, error: "no".to_owned() }),
        })
        .collect();
    (run.start_time, run.deadline, run.retry_of) = (Some(START), Some(START), Some(id(2)));
    (run.unique_key, run.labels, run.reason) = (Some("k".to_owned()), labels(&[("a", "b")]).into(), "why".to_owned());
    let cause = Cause { trigger: trigger_name("t"), scheduled_time: START, source: FireSource::Hand };
    run.cause = Some(Box::new(cause));
    run.trace = Some(Box::new(context()));
    (run.log_bytes, run.log_chunks, run.has_payload, run.has_result) = (u64::MAX, u32::MAX, true, true);
    run
}

fn context() -> TraceContext {
    TraceContext { state: "a=1".to_owned(), ..TraceContext::root([1; 16], [2; 8]) }
}

/// One of each kind, without what is not encoded.
fn events() -> Vec<Event> {
    let run = Box::new(full_run(Phase::Queued));
    vec![
        Event::AppCreated { app: Box::new(full_app()) },
        Event::AppUpdated { app: Box::new(full_app()) },
        Event::AppDeleted { app: pay() },
        Event::TokenRevoked { app: pay(), token_id: TOKEN, expire_time: T0 },
        Event::TokenForgotten { token_id: TOKEN },
        Event::JobCreated { job: Box::new(full_job()) },
        Event::JobUpdated { key: settle(), spec: std::sync::Arc::new(full_spec()) },
        Event::JobDeleted { key: settle() },
        Event::JobPaused { key: settle(), note: "why".to_owned() },
        Event::JobResumed { key: settle() },
        Event::RunCreated { run: run.into(), unique_until: Some(START), payload: None },
        queued(id(1)),
        started(id(1), 7, Some(START)),
        ended(id(1), 7, AttemptOutcome::TimedOut, "late"),
        retrying(id(1), START),
        cancel_requested(id(1), "why", START),
        over(id(1), Outcome::Expired, "late"),
        Event::LogAppended {
            run_id: id(1),
            number: AttemptNumber(7),
            stream: LogStream::Stderr,
            data: bytes::Bytes::new(),
        },
        Event::UniqueKeyReleased { key: settle(), unique_key: "k".to_owned() },
        Event::WorkerChanged {
            app: pay(),
            worker_id: WORKER,
            worker_name: "w1".into(),
            standing: WorkerStanding::Draining,
            processors: vec![processor("echo")],
            slots: 3,
        },
        Event::WorkersReset,
        Event::TriggerFired {
            key: trigger_key("t"),
            source: FireSource::Backfill,
            scheduled_time: T0,
            waited: true,
            late: Millis(7),
            run_id: Some(id(1)),
        },
        Event::TriggerSkipped {
            key: trigger_key("t"),
            source: FireSource::Schedule,
            waited: false,
            reason: SkipReason::Replaced,
            count: 3,
            from: T0,
            to: START,
        },
        Event::TriggerPaused { key: trigger_key("t"), note: "why".to_owned(), by_itself: true },
        Event::TriggerResumed { key: trigger_key("t") },
        Event::BackfillStarted { key: trigger_key("t"), backfill: Box::new(full_backfill()) },
        Event::BackfillEnded { key: trigger_key("t"), done: true },
    ]
}

fn full_backfill() -> Backfill {
    Backfill {
        from: T0,
        to: START,
        overlap: Overlap::Parallel { max: 3 },
        cursor: T0,
        count: 9,
        fired: 3,
        skipped: 1,
        create_time: T0,
    }
}

fn full_standing() -> Standing {
    let effects = [Effect::Run(id(1)), Effect::Waits, Effect::Skipped(SkipReason::Quota)];
    let fire = |effect| PastFire { scheduled_time: T0, time: START, effect, count: 2, source: FireSource::Hand };
    Standing {
        due: vec![Due { time: T0, count: 2 }],
        counters: Counters { fired: 1, late_max: Millis(3), ..Counters::default() },
        failures: 2,
        pause: Some(Pause { note: "why".to_owned(), time: T0 }),
        paused_until: Some(T0),
        waiting: vec![Waiting { scheduled_time: T0, source: FireSource::Schedule }],
        backfill: Some(Box::new(full_backfill())),
        last_fires: effects.map(fire).to_vec(),
        ..Standing::new(trigger_key("t"), T0)
    }
}

/// The number of an event's kind on disk. A new kind does not compile until it stands here, and then fails until it
/// stands in [`events`].
fn number(event: &Event) -> u8 {
    match event {
        Event::AppCreated { .. } => 1,
        Event::AppUpdated { .. } => 2,
        Event::AppDeleted { .. } => 3,
        Event::TokenRevoked { .. } => 4,
        Event::TokenForgotten { .. } => 5,
        Event::JobCreated { .. } => 6,
        Event::JobUpdated { .. } => 7,
        Event::JobDeleted { .. } => 8,
        Event::JobPaused { .. } => 9,
        Event::JobResumed { .. } => 10,
        Event::RunCreated { .. } => 11,
        Event::RunQueued { .. } => 12,
        Event::AttemptStarted { .. } => 13,
        Event::AttemptEnded { .. } => 14,
        Event::RunRetrying { .. } => 15,
        Event::RunCancelRequested { .. } => 16,
        Event::RunEnded { .. } => 17,
        Event::LogAppended { .. } => 18,
        Event::UniqueKeyReleased { .. } => 19,
        Event::WorkerChanged { .. } => 20,
        Event::WorkersReset => 21,
        Event::TriggerFired { .. } => 22,
        Event::TriggerSkipped { .. } => 23,
        Event::TriggerPaused { .. } => 24,
        Event::TriggerResumed { .. } => 25,
        Event::BackfillStarted { .. } => 26,
        Event::BackfillEnded { .. } => 27,
    }
}

fn replies() -> Vec<Reply> {
    let run = Reply::Run { run_id: id(1), phase: Phase::Running, existing: true, create_time: T0 };
    vec![
        Reply::Done,
        Reply::App(full_app()),
        Reply::AppSecret { app: full_app(), key_id: "k1".to_owned() },
        Reply::Job(full_job()),
        run,
        Reply::RunPhase(Phase::Cancelling),
        Reply::Retried { run_id: id(1), created: true, phase: Phase::Scheduled },
        Reply::TriggerFired(Effect::Skipped(SkipReason::Overlap)),
        Reply::Backfill(7),
    ]
}

/// As [`number`], for answers.
fn reply_number(reply: &Reply) -> u8 {
    match reply {
        Reply::Done => 0,
        Reply::App(_) => 1,
        Reply::AppSecret { .. } => 2,
        Reply::Job(_) => 3,
        Reply::Run { .. } => 4,
        Reply::RunPhase(_) => 5,
        Reply::Retried { .. } => 6,
        Reply::TriggerFired(_) => 7,
        Reply::Backfill(_) => 8,
    }
}

fn dedup_record(reply: Reply) -> DedupRecord {
    let fingerprint = Fingerprint { version: 1, digest: [5; 16], leaves: vec![(768, 1), (u16::MAX, u32::MAX)] };
    DedupRecord {
        method: Method::RunJob,
        principal: "app:pay".into(),
        fingerprint,
        revision: Revision(u64::MAX),
        execute_time: Timestamp(-1),
        reply,
        arrivals: 3,
        told: Some(Told { previous_attempts: 1, proxy_attempts: 2 }),
        trace: Some(Box::new(context())),
    }
}

fn hold() -> UniqueHold {
    UniqueHold { run_id: id(1), create_time: T0, until: Some(START), phase: Phase::Expired }
}

fn log_row() -> LogRow {
    let data = bytes::Bytes::from_static(b"\0\xff");
    LogRow { run_id: id(1), index: 9, number: AttemptNumber(2), stream: LogStream::System, time: T0, data }
}

fn record() -> Record {
    Record {
        revision: Revision(1),
        time: T0,
        request_id: Some(REQUEST),
        principal: "app:pay".into(),
        events: events(),
        facts: facts(),
    }
}

fn facts() -> Vec<Facts> {
    let run = full_run(Phase::Running);
    let held = run.attempts.last().cloned();
    let of_run = RunFacts { job: settle(), from: Phase::Running, labels: run.labels, held, cause: None };
    let of_job = JobFacts {
        etag: Revision(3),
        processor: processor("echo"),
        labels: labels(&[("a", "b")]).into(),
        pause: Some(Pause { note: "why".to_owned(), time: T0 }),
        create_time: T0,
    };
    let of_trigger = TriggerFacts { labels: labels(&[("a", "b")]).into() };
    vec![Facts::Run(of_run), Facts::Job(of_job), Facts::Trigger(of_trigger)]
}

/// A record as it was written before facts were kept.
#[derive(Encode)]
#[cbor(context_bound = "Known")]
struct OldRecord {
    #[n(0)]
    revision: Revision,
    #[n(1)]
    time: Timestamp,
    #[n(2)]
    request_id: Option<RequestId>,
    #[n(3)]
    principal: String,
    #[n(4)]
    events: Vec<Event>,
}

#[test]
fn a_record_of_before_facts_were_kept_has_none() {
    let Record { revision, time, request_id, principal, events, .. } = record();
    let old = OldRecord { revision, time, request_id, principal: principal.to_string(), events: events.clone() };
    let read: Record = decode(&encode(&old)).expect("it can be read");
    assert!(read.facts.is_empty());
    assert_eq!((read.revision, read.principal), (revision, principal));
}

#[track_caller]
fn round_trip<T: Encode<()> + for<'b> Decode<'b, ()> + PartialEq + Debug>(value: &T) {
    assert_eq!(&decode::<T>(&encode(value)).expect("it was encoded"), value);
}

/// Whether a newer server's value can be read: one field more in an array, of a kind that nobody knows yet.
#[track_caller]
fn tolerates_a_new_field<T: Encode<()> + for<'b> Decode<'b, ()> + PartialEq + Debug>(value: &T, header: usize) {
    let mut bytes = encode(value);
    assert!((0x80..=0x98).contains(&bytes[header]), "a short array: {:#x}", bytes[header]);
    match bytes[header] {
        // From 24 elements on their number takes a byte of its own.
        0x98 => bytes[header + 1] += 1,
        0x97 => _ = bytes.splice(header..=header, [0x98, 24]),
        _ => bytes[header] += 1,
    }
    // A map of a text to an array: nothing that a field of today could be mistaken for.
    bytes.extend([0xa1, 0x63, b'n', b'e', b'w', 0x82, 0x01, 0xf6]);
    assert_eq!(&decode::<T>(&bytes).expect("an unknown field is passed over"), value);
}

#[test]
fn every_event_is_there_and_comes_back() {
    let numbers: Vec<u8> = events().iter().map(number).collect();
    assert_eq!(numbers, (1..=27).collect::<Vec<u8>>());
    for event in events() {
        round_trip(&event);
        let bytes = encode(&event);
        let mut decoder = minicbor::Decoder::new(&bytes);
        assert_eq!(decoder.array().ok(), Some(Some(2)));
        assert_eq!(decoder.u8().ok(), Some(number(&event)), "the number on disk is for ever");
    }
}

#[test]
fn an_event_of_a_newer_server_with_one_more_field_is_read() {
    for event in events() {
        // From 24 on a number takes a byte of its own.
        tolerates_a_new_field(&event, if number(&event) < 24 { 2 } else { 3 });
    }
}

#[test]
fn every_answer_is_there_and_comes_back() {
    let numbers: Vec<u8> = replies().iter().map(reply_number).collect();
    assert_eq!(numbers, (0..=8).collect::<Vec<u8>>());
    for reply in replies() {
        round_trip(&reply);
        round_trip(&dedup_record(reply.clone()));
        assert_eq!(encode(&reply)[..2], [0x82, reply_number(&reply)], "the number on disk is for ever");
        tolerates_a_new_field(&reply, 2);
    }
}

#[test]
fn every_row_comes_back() {
    for phase in Phase::ALL {
        round_trip(&full_run(phase));
        round_trip(&UniqueHold { phase, ..hold() });
    }
    round_trip(&run_with_id(id(1), 0));
    round_trip(&full_standing());
    round_trip(&Standing::new(trigger_key("t"), T0));
    round_trip(&full_app());
    round_trip(&app_at("pay", 1));
    round_trip(&full_job());
    round_trip(&job_at(&settle(), spec(), 1));
    round_trip(&log_row());
    round_trip(&record());
    round_trip(&UniqueHold { until: None, ..hold() });
    for method in Method::ALL {
        round_trip(&method);
    }
}

#[test]
fn a_row_of_a_newer_server_with_one_more_field_is_read() {
    tolerates_a_new_field(&full_run(Phase::Running), 0);
    tolerates_a_new_field(&full_app(), 0);
    tolerates_a_new_field(&full_job(), 0);
    tolerates_a_new_field(&full_spec(), 0);
    tolerates_a_new_field(&plan(), 0);
    tolerates_a_new_field(&plan().retry, 0);
    tolerates_a_new_field(&payload("in"), 0);
    tolerates_a_new_field(&hold(), 0);
    tolerates_a_new_field(&log_row(), 0);
    tolerates_a_new_field(&full_standing(), 0);
    tolerates_a_new_field(&full_backfill(), 0);
    tolerates_a_new_field(&record(), 0);
    tolerates_a_new_field(&dedup_record(Reply::Done), 0);
    tolerates_a_new_field(&settle(), 0);
}

/// An app as it would have been written before secrets could be rotated.
#[derive(Encode)]
struct OldApp {
    #[n(0)]
    name: AppName,
    #[n(1)]
    description: String,
    #[n(2)]
    grants: Vec<Grant>,
    #[n(3)]
    etag: Revision,
    #[n(4)]
    create_time: Timestamp,
    #[n(5)]
    update_time: Timestamp,
    #[n(6)]
    secret: crate::app::Secret,
}

#[test]
fn an_option_that_an_older_server_did_not_know_is_none() {
    let App { name, description, grants, etag, create_time, update_time, secret, .. } = full_app();
    let old = OldApp { name, description, grants, etag, create_time, update_time, secret };
    let expected = App { former_secret: None, tokens_revoked_until: None, ..full_app() };
    assert_eq!(decode::<App>(&encode(&old)).expect("what is missing is optional"), expected);
}

#[test]
fn a_run_in_no_trace_is_written_as_before_there_were_any() {
    let run = Run { trace: None, ..full_run(Phase::Running) };
    assert_eq!(encode(&run)[0], 0x97, "23 fields, as there were");
    round_trip(&run);
}

#[test]
fn a_row_that_lacks_what_is_required_is_refused() {
    let bytes = encode(&(REQUEST, T0));
    let error = decode::<UniqueHold>(&bytes).expect_err("the phase is missing");
    assert!(error.what.ends_with("UniqueHold"), "{}", error.what);
}

#[test]
fn damaged_bytes_are_an_error_and_never_a_panic() {
    let bytes = encode(&full_run(Phase::Running));
    for len in 0..bytes.len() {
        assert!(decode::<Run>(&bytes[..len]).is_err(), "cut to {len}");
    }
    for index in 0..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[index] ^= 0xff;
        // Some changes make another run; none may panic.
        let _ = decode::<Run>(&bytes).is_ok();
    }
}

#[test]
fn an_unknown_kind_of_event_is_an_error() {
    assert!(decode::<Event>(&[0x82, 0x18, 0x63, 0x80]).is_err());
    assert!(decode::<Reply>(&[0x82, 0x17, 0x80]).is_err());
}

#[test]
fn encoding_into_a_buffer_appends() {
    let mut out = vec![1, 2];
    encode_into(&queued(id(1)), &mut out);
    assert_eq!((&out[..2], &out[2..]), (&[1, 2][..], &encode(&queued(id(1)))[..]));
}

#[test]
fn bytes_beside_the_log_are_not_in_it() {
    let long = bytes::Bytes::from(vec![b'x'; 10_000]);
    let number = AttemptNumber(1);
    let event = Event::LogAppended { run_id: id(1), number, stream: LogStream::Stdout, data: long };
    assert!(encode(&event).len() < 64);
}
