//! What operators see: metrics that agree with what callers are told, and whether the server lives and serves.

pub(crate) mod moves;
mod refused;
mod scenes;
mod work;

use std::{collections::BTreeSet, net::SocketAddr};

use semel_client::v1::{self, OverlapRule, trigger_spec::When};
use semel_core::id::Millis;
use semel_server::{
    admin::{Admin, Readiness},
    clock::ManualClock,
    server::Settings,
    store::Fault,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{
    crew::PayByClient,
    harness::{in_time, job, run_job, spec},
    raw_watcher::{RawWatcher, of},
    wire::{fresh, seconds, wall},
};

/// What is answered on the admin listener: the status, the content type and the body.
async fn http(address: SocketAddr, method: &str, path: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let request = format!("{method} {path} HTTP/1.1\r\nhost: semel\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut text = String::new();
    in_time(stream.read_to_string(&mut text)).await.expect("text");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let form = head.lines().find_map(|line| line.strip_prefix("content-type: ")).unwrap_or_default();
    (status, form.to_owned(), body.to_owned())
}

async fn scrape(address: SocketAddr) -> String {
    let (status, form, text) = http(address, "GET", "/metrics").await;
    assert_eq!((status, form.starts_with("application/openmetrics-text")), (200, true), "{form}");
    text
}

/// The value of one series.
fn value(text: &str, series: &str) -> i64 {
    let found = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    let number: f64 = found.unwrap_or_else(|| panic!("no {series} in {text}")).parse().expect("a number");
    #[expect(clippy::cast_possible_truncation, reason = "a count")]
    let whole = number as i64;
    whole
}

pub(crate) fn with_admin(settings: &mut Settings) {
    settings.admin_listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
}

fn admin(pay: &PayByClient) -> SocketAddr {
    pay.server.running().admin_address().expect("it listens")
}

fn every(secs: i64, rule: OverlapRule, max: i32) -> v1::TriggerSpec {
    let overlap = Some(v1::Overlap { rule: rule.into(), max });
    v1::TriggerSpec { when: Some(When::Rate(v1::FixedRate { period: seconds(secs) })), overlap, ..Default::default() }
}

async fn triggered(pay: &PayByClient, name: &str, trigger: v1::TriggerSpec) -> v1::Job {
    let definition = v1::JobSpec { triggers: [("t".to_owned(), trigger)].into(), ..spec("p") };
    job(&pay.client, name, definition).await
}

/// What all triggers say of their times, added up.
async fn told(pay: &PayByClient) -> v1::TriggerCounters {
    let answer = pay.client.list_triggers(v1::ListTriggersRequest::default()).await.expect("a list");
    let mut sum = v1::TriggerCounters::default();
    for counters in answer.triggers.iter().filter_map(|trigger| trigger.counters.as_ref()) {
        sum.fired += counters.fired;
        sum.fired_by_hand += counters.fired_by_hand;
        sum.backfilled += counters.backfilled;
        sum.skipped_overlap += counters.skipped_overlap;
        sum.dropped_buffer += counters.dropped_buffer;
        sum.missed += counters.missed;
        sum.missed_paused += counters.missed_paused;
        sum.skipped_quota += counters.skipped_quota;
        sum.replaced += counters.replaced;
    }
    sum
}

/// Makes times of triggers come to all that they can come to, but to being replaced.
async fn times_of_triggers(pay: &PayByClient, clock: &ManualClock) {
    let name = |job: &str| (job.to_owned(), "t".to_owned());
    triggered(pay, "beside", every(1, OverlapRule::Parallel, 100)).await;
    triggered(pay, "skips", every(1, OverlapRule::Skip, 0)).await;
    triggered(pay, "waits", every(1, OverlapRule::BufferOne, 0)).await;
    let paused = triggered(pay, "paused", every(1, OverlapRule::Skip, 0)).await;
    let (job, trigger) = name("paused");
    pay.client.pause_trigger(v1::PauseTriggerRequest { job, trigger, ..Default::default() }).await.expect("paused");
    for _ in 0..4 {
        clock.advance(Millis(1000));
        pay.tick().await;
    }
    // Longer than what counts as in time: what was missed is told so.
    clock.advance(Millis(60_000));
    pay.tick().await;
    let (job, trigger) = name("paused");
    pay.client.resume_trigger(v1::ResumeTriggerRequest { job, trigger, ..Default::default() }).await.expect("resumed");
    let (job, trigger) = name("skips");
    let overlap = Some(v1::Overlap { rule: OverlapRule::Parallel.into(), max: 10 });
    let by_hand = v1::FireTriggerRequest { job, trigger, overlap, ..Default::default() };
    pay.client.fire_trigger(by_hand).await.expect("it fires");
    let (job, trigger) = name("paused");
    let backfill = v1::BackfillTriggerRequest {
        job,
        trigger,
        from_time: paused.create_time,
        overlap: Some(v1::Overlap { rule: OverlapRule::Parallel.into(), max: 3 }),
        ..Default::default()
    };
    pay.client.backfill_trigger(backfill).await.expect("it begins");
    // And until the app has as many runs as it may.
    for _ in 0..40 {
        clock.advance(Millis(1000));
        pay.tick().await;
    }
}

#[tokio::test]
async fn what_became_of_the_times_of_triggers_agrees_with_what_they_say_themselves() {
    let (pay, clock) = PayByClient::with_manual_clock(|settings| {
        with_admin(settings);
        settings.engine.limits.live_runs_per_app_max = 30;
    })
    .await;
    times_of_triggers(&pay, &clock).await;
    let (told, text) = (told(&pay).await, scrape(admin(&pay)).await);
    for (series, count) in [
        ("semel_trigger_fires_total{source=\"schedule\"}", told.fired),
        ("semel_trigger_fires_total{source=\"hand\"}", told.fired_by_hand),
        ("semel_trigger_fires_total{source=\"backfill\"}", told.backfilled),
        ("semel_trigger_skipped_total{reason=\"overlap\"}", told.skipped_overlap),
        ("semel_trigger_skipped_total{reason=\"buffer\"}", told.dropped_buffer),
        ("semel_trigger_skipped_total{reason=\"misfire\"}", told.missed),
        ("semel_trigger_skipped_total{reason=\"paused\"}", told.missed_paused),
        ("semel_trigger_skipped_total{reason=\"quota\"}", told.skipped_quota),
        ("semel_trigger_lateness_seconds_count", told.fired),
    ] {
        assert!(count > 0, "nothing to compare for {series}: {told:?}");
        assert_eq!(value(&text, series), count, "{series}; the triggers say {told:?}");
    }
    assert_eq!(value(&text, "semel_trigger_skipped_total{reason=\"replaced\"}"), told.replaced);
    let revision = pay.server.running().engine().committed().0;
    assert_eq!(value(&text, "semel_log_revision"), i64::try_from(revision).expect("small"));
}

#[tokio::test]
async fn what_is_due_at_a_start_is_counted_as_well() {
    let (mut pay, clock) = PayByClient::with_manual_clock(with_admin).await;
    triggered(&pay, "beside", every(1, OverlapRule::Parallel, 100)).await;
    pay.server.running.take().expect("it runs").shutdown().await.expect("a clean end");
    clock.advance(Millis(3_000));
    pay.server.restart().await;
    pay.client = pay.server.client("pay", &pay.secret).await;
    pay.tick().await;
    let (told, text) = (told(&pay).await, scrape(admin(&pay)).await);
    assert_eq!((told.fired, value(&text, "semel_trigger_fires_total{source=\"schedule\"}")), (3, 3));
}

#[tokio::test]
async fn runs_are_counted_by_how_they_end() {
    let pay = PayByClient::with(with_admin).await;
    job(&pay.client, "settle", spec("p")).await;
    let cancelled = pay.submit("settle").await;
    pay.submit("settle").await;
    pay.cancel(&cancelled).await;
    // Refused: nothing was made.
    pay.client.run_job(run_job("nothing")).await.expect_err("there is no such job");
    let text = scrape(admin(&pay)).await;
    assert_eq!(value(&text, "semel_runs_created_total"), 2);
    assert_eq!(value(&text, "semel_runs_ended_total{state=\"cancelled\"}"), 1);
    assert_eq!(value(&text, "semel_runs_ended_total{state=\"succeeded\"}"), 0);
    assert!(value(&text, "semel_engine_batches_total") >= 4, "{text}");
}

#[tokio::test]
async fn what_there_is_is_told_as_it_stands() {
    let (pay, clock) = PayByClient::with_manual_clock(with_admin).await;
    job(&pay.client, "settle", spec("p")).await;
    let mut worker = pay.worker("p", 3).await;
    let mut again = run_job("settle");
    again.header = Some(v1::RequestHeader { request_id: fresh(), ..Default::default() });
    let first = pay.submit_with(again.clone()).await;
    assert_eq!(pay.submit_with(again).await, first);
    worker.assignment().await;
    let waits = v1::JobSpec { processor: "other".to_owned(), ..Default::default() };
    job(&pay.client, "waits", waits).await;
    pay.submit("waits").await;
    clock.advance(Millis(7000));
    pay.submit("waits").await;
    let start_time = Some(prost_types::Timestamp { seconds: wall(&clock) / 1000 + 60, nanos: 0 });
    pay.submit_with(v1::RunJobRequest { start_time, ..run_job("settle") }).await;
    let watchers =
        [RawWatcher::watch(&pay.wire().await, of("pay")).await, RawWatcher::watch(&pay.wire().await, of("pay")).await];
    // A look that takes too long, because the machine does, is left out, and the next one is taken a second later.
    let text = in_time(async {
        loop {
            let text = scrape(admin(&pay)).await;
            if text.contains("\nsemel_runs{") && text.contains("\nsemel_log_oldest_revision ") {
                return text;
            }
        }
    })
    .await;
    for (series, expected) in [
        ("semel_runs{state=\"queued\"}", 2),
        ("semel_runs{state=\"running\"}", 1),
        ("semel_runs{state=\"scheduled\"}", 1),
        ("semel_runs{state=\"retrying\"}", 0),
        ("semel_runs_oldest_queued_age_seconds", 7),
        ("semel_workers{state=\"connected\"}", 1),
        ("semel_worker_slots", 3),
        ("semel_worker_slots_free", 2),
        ("semel_watchers", 2),
        ("semel_watch_lag_revisions", 0),
        // The app, two jobs, four runs.
        ("semel_window_requests", 7),
        ("semel_requests_total{disposition=\"executed\"}", 7),
        ("semel_requests_total{disposition=\"replayed\"}", 1),
        ("semel_requests_total{disposition=\"refused\"}", 0),
        ("semel_run_queue_wait_seconds_count", 1),
        ("semel_log_oldest_revision", 1),
        ("semel_engine_queue_requests", 0),
    ] {
        assert_eq!(value(&text, series), expected, "{series} in {text}");
    }
    // The worker's stream and those of the watchers, once the calls have ended whose answers are here already.
    in_time(async { while value(&scrape(admin(&pay)).await, "semel_calls_open") != 3 {} }).await;
    drop(watchers);
}

#[tokio::test]
async fn the_position_of_the_log_is_told_before_anything_is_committed() {
    let server = crate::e2e::harness::TestServer::with(with_admin).await;
    let position = server.running().engine().committed().0;
    let text = scrape(server.running().admin_address().expect("it listens")).await;
    assert!(position > 0 && value(&text, "semel_log_revision") == i64::try_from(position).expect("small"), "{text}");
}

#[tokio::test]
async fn while_the_store_is_loaded_it_lives_and_is_not_ready() {
    let admin = Admin::open(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("it listens");
    let (status, _, text) = http(admin.address(), "GET", "/readyz").await;
    assert_eq!((status, text.as_str()), (503, "loading the store\n"));
    assert_eq!(http(admin.address(), "GET", "/healthz").await.0, 200);
    admin.set(Readiness::Serving);
    assert_eq!(http(admin.address(), "GET", "/readyz").await.0, 200);
}

#[tokio::test]
async fn it_says_whether_it_serves_as_long_as_it_lives() {
    let mut pay = PayByClient::with(with_admin).await;
    let address = admin(&pay);
    assert_eq!(http(address, "GET", "/readyz").await.0, 200);
    assert_eq!(http(address, "HEAD", "/healthz").await, (200, "text/plain; charset=utf-8".to_owned(), String::new()));
    assert_eq!(http(address, "POST", "/metrics").await.0, 405);
    let (status, _, text) = http(address, "GET", "/").await;
    assert_eq!((status, text.contains("/metrics")), (404, true));

    pay.server.running().drain().await;
    let (status, _, text) = http(address, "GET", "/readyz").await;
    assert_eq!((status, text.as_str()), (503, "about to stop\n"));
    assert_eq!(http(address, "GET", "/healthz").await.0, 200);
    pay.server.restart().await;
    assert_eq!(http(admin(&pay), "GET", "/readyz").await.0, 200);

    pay.server.memory().inject(Fault::FailNextCommit { applied: false });
    let blunt = pay.server.blunt_client("pay", &pay.secret).await;
    let request = v1::CreateJobRequest { job: "settle".to_owned(), spec: Some(spec("p")), ..Default::default() };
    blunt.create_job(request).await.expect_err("the store fails");
    in_time(pay.server.running().failed()).await;
    let (status, _, text) = http(admin(&pay), "GET", "/readyz").await;
    assert_eq!((status, text.contains("failed")), (503, true));
}

#[tokio::test]
async fn the_page_of_metrics_names_what_there_is_and_nothing_else() {
    let pay = PayByClient::with(with_admin).await;
    let text = scrape(admin(&pay)).await;
    // OpenMetrics declares a family without the suffix that its series have.
    let shown: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .map(|(family, kind)| match kind {
            "counter" => format!("{family}_total"),
            "info" => format!("{family}_info"),
            _ => family.to_owned(),
        })
        .collect();
    let page = include_str!("../../docs/METRICS.md");
    let table = page.lines().skip_while(|line| !line.starts_with("| name |"));
    let named: BTreeSet<String> = table
        .take_while(|line| line.starts_with('|'))
        .filter_map(|line| Some(line.strip_prefix("| `")?.split('`').next()?.to_owned()))
        .collect();
    assert_eq!(named, shown, "docs/METRICS.md on the left, what there is on the right");
    assert_eq!(moves::not_on_the_page(&text), [""; 0], "docs/METRICS.md names other values of their labels");
    let strange = "semel_runs{state=\"lost\"} 1\nsemel_runs{state=\"queued\"} 1\nrpc_server_call_duration_seconds_count{x=\"y\"} 1";
    assert_eq!(moves::not_on_the_page(strange), ["semel_runs{state=\"lost\"}"], "what is strange is found");
}

#[tokio::test]
async fn every_call_is_measured_by_its_method_and_how_it_ended() {
    let pay = PayByClient::with(with_admin).await;
    let count = |text: &str, method: &str, code: &str| {
        let labels = format!("{{rpc_method=\"{method}\",rpc_response_status_code=\"{code}\"}}");
        let series = format!("rpc_server_call_duration_seconds_count{labels}");
        if text.contains(&series) { value(text, &series) } else { 0 }
    };
    let (create, run) = ("semel.v1.JobService/CreateJob", "semel.v1.JobService/RunJob");
    job(&pay.client, "settle", spec("p")).await;
    pay.submit("settle").await;
    pay.submit("settle").await;
    pay.client.run_job(run_job("nothing")).await.expect_err("there is no such job");
    let stranger = pay.server.blunt_client("pay", "sk_nobody").await;
    stranger.run_job(run_job("settle")).await.expect_err("nobody knows it");
    // The answer may be here a moment before its call is counted.
    let text = in_time(async {
        loop {
            let text = scrape(admin(&pay)).await;
            if count(&text, run, "UNAUTHENTICATED") > 0 {
                return text;
            }
        }
    })
    .await;
    assert_eq!(
        (count(&text, create, "OK"), count(&text, run, "OK"), count(&text, run, "NOT_FOUND")),
        (1, 2, 1),
        "{text}"
    );
}
