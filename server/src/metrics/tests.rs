//! What is counted, and how it is shown.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use semel_core::{
    event::{Event, Record},
    id::{AppName, JobKey, JobName, Millis, Revision, RunId, Timestamp, TriggerKey, TriggerName},
    run::Outcome,
    trigger::{FireSource, SkipReason},
};

use super::{Answered, Calls, Commit, EngineSeen, IssuerSeen, Metrics, Seen, WatchSeen};
use crate::{
    auth::{Status, Verdict},
    observe::{Ending, Facts, Head, Observer as _},
};

fn key() -> TriggerKey {
    let job = JobKey { app: AppName::parse("pay").expect("a name"), job: JobName::parse("settle").expect("a name") };
    TriggerKey { job, name: TriggerName::parse("t").expect("a name") }
}

fn fired(source: FireSource, late: i64, run_id: Option<RunId>) -> Event {
    let scheduled_time = Timestamp(0);
    Event::TriggerFired { key: key(), source, scheduled_time, waited: false, late: Millis(late), run_id }
}

fn skipped(reason: SkipReason, count: u64) -> Event {
    let (source, waited, from, to) = (FireSource::Schedule, false, Timestamp(0), Timestamp(0));
    Event::TriggerSkipped { key: key(), source, waited, reason, count, from, to }
}

fn ended(outcome: Outcome) -> Event {
    Event::RunEnded { run_id: RunId([1; 16]), outcome, reason: String::new() }
}

fn record(events: Vec<Event>) -> Record {
    Record {
        revision: Revision(7),
        time: Timestamp(0),
        request_id: None,
        principal: "".into(),
        events,
        facts: Vec::new(),
    }
}

fn value(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
}

fn commit<'a>(records: &'a [Record], waits: &'a [Millis]) -> Commit<'a> {
    Commit { records, revision: Revision(8), waits, took: None, forgot: [0; 3], is_more: false }
}

fn named() -> Metrics {
    let metrics = Metrics::new();
    metrics.name(["p.S/Get".to_owned()], ["NOT_FOUND", "OUTCOME_UNKNOWN"], ["NOT_FOUND", "FORBIDDEN", "INVALID"]);
    metrics
}

/// Tells of a call that has begun and ended.
fn call(calls: &Calls, path: &'static str, code: Option<usize>, took: Duration, facts: &Facts) {
    let head = Head {
        uri: http::Uri::from_static(path),
        version: http::Version::HTTP_2,
        peer: None,
        user_agent: None,
        traceparent: None,
        tracestate: None,
        is_web: false,
    };
    calls.begun(&head);
    calls.ended(&Ending { head: &head, facts, code, took });
}

async fn holds(metrics: &Metrics, expected: &[(&str, f64)]) {
    let text = metrics.text().await;
    for (series, expected) in expected {
        assert_eq!(value(&text, series), Some(*expected), "{series} in {text}");
    }
}

#[tokio::test]
async fn everything_is_there_from_the_start() {
    let metrics = named();
    let zero = [
        "semel_trigger_fires_total{source=\"backfill\"}",
        "semel_trigger_skipped_total{reason=\"quota\"}",
        "semel_runs_ended_total{state=\"expired\"}",
        "semel_requests_total{disposition=\"replayed\"}",
        "semel_requests_refused_total{reason=\"OUTCOME_UNKNOWN\"}",
        "semel_calls_refused_total{reason=\"INVALID\"}",
        "semel_calls_open",
        "semel_auth_outcomes_total{status=\"throttled\",method=\"none\"}",
        "semel_auth_outcomes_total{status=\"forbidden\",method=\"anonymous\"}",
        "semel_tls_reloads_total{outcome=\"failed\"}",
        "semel_forgotten_total{what=\"runs\"}",
    ];
    holds(&metrics, &zero.map(|series| (series, 0.0))).await;
    let text = metrics.text().await;
    assert!(text.contains("semel_build_info{version=") && text.ends_with("# EOF\n"), "{text}");
    // What cannot be, and what nobody has looked at.
    for absent in ["status=\"passed\",method=\"none\"", "\nsemel_runs{", "\nsemel_tls_certificate_not_after_seconds "] {
        assert!(!text.contains(absent), "{absent} in {text}");
    }
}

#[tokio::test]
async fn what_happened_is_counted_once() {
    let metrics = named();
    let run = Some(RunId([1; 16]));
    let events = vec![
        fired(FireSource::Schedule, 3_000, run),
        fired(FireSource::Schedule, 9_000, None),
        fired(FireSource::Hand, 0, run),
        skipped(SkipReason::Misfire, 40),
        skipped(SkipReason::Misfire, 2),
        ended(Outcome::Failed),
    ];
    let refused = Answered::Refused("NOT_FOUND");
    let answers = [Answered::Executed, Answered::Replayed, refused, Answered::Executed, Answered::Executed];
    metrics.answered(answers.into_iter());
    let records = [record(events), record(vec![ended(Outcome::Failed)])];
    metrics.committed(&Commit {
        took: Some(Duration::from_millis(20)),
        forgot: [7, 2, 9],
        is_more: true,
        ..commit(&records, &[Millis(1500), Millis(-3)])
    });
    metrics.answered(std::iter::empty());
    metrics.committed(&commit(&[], &[]));
    let expected = [
        ("semel_trigger_fires_total{source=\"schedule\"}", 1.0),
        ("semel_trigger_fires_total{source=\"hand\"}", 1.0),
        ("semel_trigger_skipped_total{reason=\"misfire\"}", 42.0),
        ("semel_trigger_lateness_seconds_sum", 3.0),
        ("semel_trigger_lateness_seconds_count", 1.0),
        ("semel_runs_ended_total{state=\"failed\"}", 2.0),
        ("semel_engine_batches_total", 1.0),
        ("semel_engine_batch_requests_sum", 5.0),
        ("semel_engine_commit_duration_seconds_sum", 0.02),
        ("semel_engine_commit_duration_seconds_count", 1.0),
        ("semel_run_queue_wait_seconds_sum", 1.5),
        ("semel_run_queue_wait_seconds_count", 2.0),
        ("semel_requests_total{disposition=\"executed\"}", 3.0),
        ("semel_requests_total{disposition=\"replayed\"}", 1.0),
        ("semel_requests_total{disposition=\"refused\"}", 1.0),
        ("semel_requests_refused_total{reason=\"NOT_FOUND\"}", 1.0),
        ("semel_forgotten_total{what=\"requests\"}", 7.0),
        ("semel_forgotten_total{what=\"records\"}", 9.0),
        ("semel_retention_behind_total", 1.0),
        ("semel_log_revision", 8.0),
    ];
    holds(&metrics, &expected).await;
}

#[tokio::test]
async fn calls_are_counted_by_method_and_code_and_nobody_can_make_series() {
    let metrics = Metrics::new();
    let (calls, facts) = (metrics.calls(), Facts::default());
    call(calls, "/p.S/Get", Some(0), Duration::from_millis(2), &facts);
    assert!(!metrics.text().await.contains("rpc_method"), "no method is named yet");

    metrics.name(["p.S/Get".to_owned()], [], []);
    call(calls, "/p.S/Get", Some(0), Duration::from_millis(2), &facts);
    call(calls, "/p.S/Get", Some(0), Duration::from_secs(60), &facts);
    call(calls, "/p.S/Get", Some(16), Duration::from_millis(1), &facts);
    call(calls, "/p.S/Get", Some(99), Duration::from_millis(1), &facts);
    call(calls, "/no/such", None, Duration::from_millis(1), &facts);
    call(calls, "/nor/this", None, Duration::from_millis(1), &facts);
    let text = metrics.text().await;
    let name = "rpc_server_call_duration_seconds";
    let labels = |method: &str, code: &str| format!("rpc_method=\"{method}\",rpc_response_status_code=\"{code}\"");
    let ok = labels("p.S/Get", "OK");
    for (series, expected) in [
        (format!("{name}_count{{{ok}}}"), 2.0),
        (format!("{name}_sum{{{ok}}}"), 60.002),
        (format!("{name}_bucket{{le=\"0.001\",{ok}}}"), 0.0),
        (format!("{name}_bucket{{le=\"0.0025\",{ok}}}"), 1.0),
        (format!("{name}_bucket{{le=\"10.0\",{ok}}}"), 1.0),
        (format!("{name}_bucket{{le=\"+Inf\",{ok}}}"), 2.0),
        (format!("{name}_count{{{}}}", labels("p.S/Get", "UNAUTHENTICATED")), 1.0),
        (format!("{name}_count{{{}}}", labels("p.S/Get", "UNKNOWN")), 1.0),
        (format!("{name}_count{{{}}}", labels("_OTHER", "UNKNOWN")), 2.0),
    ] {
        assert_eq!(value(&text, &series), Some(expected), "{series} in {text}");
    }
}

#[tokio::test]
async fn what_became_of_credentials_is_counted_and_who_may_not_is_told_apart() {
    let metrics = named();
    let verdict = |status| Some(Verdict::refused(status));
    let known = Verdict { method: crate::auth::Method::Token, ..Verdict::refused(Status::Passed) };
    let forbidden = Facts { verdict: Some(known.clone()), reason: Some("FORBIDDEN"), ..Facts::default() };
    let all = [
        Facts { verdict: verdict(Status::Missing), ..Facts::default() },
        Facts { verdict: verdict(Status::Throttled), reason: Some("INVALID"), ..Facts::default() },
        Facts { verdict: Some(known), ..Facts::default() },
        forbidden,
        // A call of health: nobody was judged.
        Facts::default(),
    ];
    for facts in &all {
        call(metrics.calls(), "/p.S/Get", Some(0), Duration::ZERO, facts);
    }
    let expected = [
        ("semel_auth_outcomes_total{status=\"missing\",method=\"none\"}", 1.0),
        ("semel_auth_outcomes_total{status=\"throttled\",method=\"none\"}", 1.0),
        ("semel_auth_outcomes_total{status=\"passed\",method=\"token\"}", 1.0),
        ("semel_auth_outcomes_total{status=\"forbidden\",method=\"token\"}", 1.0),
        ("semel_calls_refused_total{reason=\"FORBIDDEN\"}", 1.0),
        ("semel_calls_refused_total{reason=\"INVALID\"}", 1.0),
        ("semel_calls_open", 0.0),
    ];
    holds(&metrics, &expected).await;
}

#[tokio::test]
async fn who_asks_at_once_shares_a_look_and_what_it_did_not_see_is_absent() {
    let metrics = Metrics::new();
    let looks = Arc::new(AtomicUsize::new(0));
    let counted = looks.clone();
    metrics.look_by(Box::new(move || {
        let number = counted.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            tokio::task::yield_now().await;
            let engine = EngineSeen { runs: vec![("queued", 3)], slots: 7, ..EngineSeen::default() };
            let issuer = IssuerSeen { name: "https://idp".to_owned(), fetched: 2, failed: 1, age: None };
            Seen {
                engine: (number == 0).then_some(engine),
                watch: Some(WatchSeen { watchers: 4, behind: 9 }),
                issuers: vec![issuer],
                ..Seen::default()
            }
        })
    }));
    let (one, other) = tokio::join!(metrics.text(), metrics.text());
    assert_eq!(looks.load(Ordering::SeqCst), 1);
    for text in [&one, &other] {
        assert_eq!(value(text, "semel_runs{state=\"queued\"}"), Some(3.0), "{text}");
        assert_eq!(value(text, "semel_worker_slots"), Some(7.0), "{text}");
        assert_eq!(value(text, "semel_watch_lag_revisions"), Some(9.0), "{text}");
        assert_eq!(value(text, "semel_issuer_keys_failed_total{issuer=\"https://idp\"}"), Some(1.0), "{text}");
        // There are no keys, so they have no age; and nobody has seen a disk.
        for absent in
            ["semel_issuer_keys_age_seconds{", "\nsemel_store_used_bytes ", "\nsemel_store_flush_duration_seconds_"]
        {
            assert!(!text.contains(absent), "{absent} in {text}");
        }
    }
    metrics.live.outdate().await;
    let text = metrics.text().await;
    assert_eq!(looks.load(Ordering::SeqCst), 2);
    assert_eq!(value(&text, "semel_watchers"), Some(4.0), "{text}");
    assert!(!text.contains("semel_runs{"), "what was not seen this time is not shown as it was: {text}");
}
