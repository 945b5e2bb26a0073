//! What is counted, and how it is shown.

use std::time::Duration;

use semel_core::id::{AppName, JobKey, JobName, Millis, RunId, Timestamp, TriggerKey, TriggerName};

use semel_core::{
    event::{Event, Record},
    id::Revision,
    run::Outcome,
    trigger::{FireSource, SkipReason},
};

use super::Metrics;

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

#[test]
fn everything_is_there_from_the_start() {
    let text = Metrics::new().text();
    for series in ["semel_trigger_fires_total{source=\"backfill\"}", "semel_trigger_skipped_total{reason=\"quota\"}"] {
        assert_eq!(value(&text, series), Some(0.0), "{series} in {text}");
    }
    assert_eq!(value(&text, "semel_runs_ended_total{state=\"expired\"}"), Some(0.0), "{text}");
    assert!(text.contains("semel_build_info{version=") && text.ends_with("# EOF\n"), "{text}");
}

#[test]
fn what_happened_is_counted_once() {
    let metrics = Metrics::new();
    let run = Some(RunId([1; 16]));
    let events = vec![
        fired(FireSource::Schedule, 3_000, run),
        fired(FireSource::Schedule, 9_000, None),
        fired(FireSource::Hand, 0, run),
        skipped(SkipReason::Misfire, 40),
        skipped(SkipReason::Misfire, 2),
        ended(Outcome::Failed),
    ];
    metrics.count(5, &[record(events), record(vec![ended(Outcome::Failed)])], Revision(8));
    metrics.count(0, &[], Revision(8));
    let text = metrics.text();
    for (series, expected) in [
        ("semel_trigger_fires_total{source=\"schedule\"}", 1.0),
        ("semel_trigger_fires_total{source=\"hand\"}", 1.0),
        ("semel_trigger_skipped_total{reason=\"misfire\"}", 42.0),
        ("semel_trigger_lateness_seconds_sum", 3.0),
        ("semel_trigger_lateness_seconds_count", 1.0),
        ("semel_runs_ended_total{state=\"failed\"}", 2.0),
        ("semel_engine_batches_total", 1.0),
        ("semel_engine_batch_requests_sum", 5.0),
        ("semel_log_revision", 8.0),
    ] {
        assert_eq!(value(&text, series), Some(expected), "{series} in {text}");
    }
}

#[test]
fn calls_are_counted_by_method_and_code_and_nobody_can_make_series() {
    let metrics = Metrics::new();
    let calls = metrics.calls();
    calls.ended(calls.method("/p.S/Get"), Some(0), Duration::from_millis(2));
    assert!(!metrics.text().contains("rpc_method"), "no method is named yet");

    calls.name_methods(["p.S/Get".to_owned()]);
    calls.ended(calls.method("/p.S/Get"), Some(0), Duration::from_millis(2));
    calls.ended(calls.method("/p.S/Get"), Some(0), Duration::from_secs(60));
    calls.ended(calls.method("/p.S/Get"), Some(16), Duration::from_millis(1));
    calls.ended(calls.method("/p.S/Get"), Some(99), Duration::from_millis(1));
    calls.ended(calls.method("/no/such"), None, Duration::from_millis(1));
    calls.ended(calls.method("/nor/this"), None, Duration::from_millis(1));
    let text = metrics.text();
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
