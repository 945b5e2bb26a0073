//! One trace spans submit, wait, attempt and report, and a replay is linked to the first.

use opentelemetry_proto::tonic::trace::v1::{span::SpanKind, status::StatusCode};
use semel_client::v1;
use semel_core::id::Millis;
use tonic::Code;

use super::{collector::said, *};
use crate::e2e::{
    crew::PayByClient,
    harness::{job, spec},
    raw_worker::{RawWorker, failed_plainly, hello, succeeded},
    wire::{fresh, seconds, settle},
};

const RUN_JOB: &str = "semel.v1.JobService/RunJob";

#[tokio::test]
async fn one_trace_spans_submit_wait_attempt_and_report_and_a_replay_is_linked_to_the_first() {
    let (pay, collector) = traced(|_| {}).await;
    let id = fresh();
    let mut worker = RawWorker::open(&pay.pay, hello("echo", 1)).await.expect("it opens");
    let headers = [("traceparent", &*parent(1)), ("tracestate", "a=1"), ("tracestate", "b=2")];
    let answer = run(&pay.pay, &id, &headers).await.expect("it runs");
    let work = worker.assignment().await;
    worker.report(succeeded(&work, "42")).await;

    let spans = collector.spans(&trace_id(1), 4).await;
    let (submit, wait) = (only(&spans, RUN_JOB), only(&spans, "wait"));
    let (attempt, report) = (only(&spans, "attempt"), only(&spans, "report"));
    // The caller's span is the parent of the call's, and that one's children are what became of the run.
    assert_eq!((submit.parent_span_id.as_slice(), submit.kind), (CALLER.as_slice(), SpanKind::Server.into()));
    assert_eq!((&wait.parent_span_id, &attempt.parent_span_id), (&submit.span_id, &submit.span_id));
    assert_eq!((wait.kind, attempt.kind), (SpanKind::Internal.into(), SpanKind::Producer.into()));
    // The worker is told the attempt's span, under which its own is to stand; its report stands there too.
    assert_eq!(named(work.trace_context.as_ref()), (trace_id(1), attempt.span_id.clone()));
    assert_eq!(work.trace_context.as_ref().expect("a place").tracestate, "a=1,b=2");
    assert_eq!((&report.parent_span_id, report.kind), (&attempt.span_id, SpanKind::Server.into()));
    assert!(spans.iter().all(|span| span.trace_state == "a=1,b=2" && span.status.is_none()), "{spans:#?}");
    assert!(wait.end_time_unix_nano <= attempt.start_time_unix_nano);

    for (key, value) in [
        ("rpc.system.name", "grpc"),
        ("rpc.method", RUN_JOB),
        ("rpc.response.status_code", "OK"),
        ("semel.request_id", &id),
        ("semel.app", "pay"),
        ("semel.principal", "app:pay"),
        ("semel.run_id", &answer.run_id),
        ("semel.disposition", "EXECUTED"),
        ("semel.arrivals", "1"),
        ("network.peer.address", "127.0.0.1"),
    ] {
        assert_eq!(says(submit, key), value, "{key}");
    }
    for span in [wait, attempt, report] {
        assert_eq!((says(span, "semel.run_id"), says(span, "semel.attempt")), (answer.run_id.clone(), "1".to_owned()));
    }
    assert_eq!(
        (says(attempt, "semel.attempt_state"), says(attempt, "semel.worker_id")),
        ("SUCCEEDED".to_owned(), worker.id)
    );
    assert_eq!(says(report, "semel.disposition"), "EXECUTED");

    // The run and the request can be found by their trace.
    let run_id = answer.run_id.clone();
    let get = v1::GetRunRequest { app: "pay".to_owned(), run_id, ..Default::default() };
    let known = pay.pay.served("", get).await.run.expect("a run");
    assert_eq!(named(known.trace_context.as_ref()), (trace_id(1), submit.span_id.clone()));
    let record = pay.pay.look_up(&id).await.request.expect("a record");
    assert_eq!(named(record.trace_context.as_ref()), (trace_id(1), submit.span_id.clone()));

    // The call again, from another span: one of its own, linked to the first, and nothing beside it.
    let again = super::run(&pay.pay, &id, &[("traceparent", &*parent(2))]).await.expect("it is replayed");
    assert_eq!(again.run_id, answer.run_id);
    let replay = collector.spans(&trace_id(2), 1).await;
    let [replay] = replay.as_slice() else { panic!("one span: {replay:#?}") };
    assert_eq!((replay.name.as_str(), replay.parent_span_id.as_slice()), (RUN_JOB, CALLER.as_slice()));
    assert_eq!(
        (says(replay, "semel.disposition"), says(replay, "semel.arrivals")),
        ("REPLAYED".to_owned(), "2".to_owned())
    );
    let [link] = replay.links.as_slice() else { panic!("one link: {replay:#?}") };
    assert_eq!((&link.trace_id, &link.span_id), (&submit.trace_id, &submit.span_id));

    assert_eq!(said(&collector.resource(), "service.name"), "semel");
    assert_eq!(collector.metadata().get("x-api-key").expect("it knows the server"), "hunter2");
}

#[tokio::test]
async fn a_worker_that_names_a_span_of_its_own_reports_under_it() {
    let (pay, collector) = traced(|_| {}).await;
    let mut worker = RawWorker::open(&pay.pay, hello("echo", 1)).await.expect("it opens");
    super::run(&pay.pay, &fresh(), &[("traceparent", &*parent(1))]).await.expect("it runs");
    let work = worker.assignment().await;
    let own = format!("00-{}01-{}-01", "a1".repeat(15), "c3".repeat(8));
    worker.report_under(&own, succeeded(&work, "42")).await;
    let spans = collector.spans(&trace_id(1), 4).await;
    assert_eq!(only(&spans, "report").parent_span_id, [0xc3; 8]);
}

#[tokio::test]
async fn each_attempt_has_a_wait_and_a_span_of_its_own_also_after_a_restart() {
    let (mut pay, collector) = traced(|_| {}).await;
    let retry = v1::RetryPolicy { max_attempts: 2, initial_backoff: seconds(0), ..Default::default() };
    let update = v1::UpdateJobRequest {
        job: "settle".to_owned(),
        spec: Some(v1::JobSpec { retry: Some(retry), ..spec("echo") }),
        ..Default::default()
    };
    pay.pay.served(&fresh(), update).await;
    super::run(&pay.pay, &fresh(), &[("traceparent", &*parent(1))]).await.expect("it runs");
    // What the run's trace is was kept with it.
    pay.restart().await;
    let mut worker = RawWorker::open(&pay.pay, hello("echo", 1)).await.expect("it opens");
    let first = worker.assignment().await;
    worker.report(failed_plainly(&first)).await;
    let second = worker.assignment().await;
    worker.report(succeeded(&second, "42")).await;

    let spans = collector.spans(&trace_id(1), 7).await;
    let of = |name: &str| spans.iter().filter(|span| span.name == name).collect::<Vec<_>>();
    let (waits, attempts, reports) = (of("wait"), of("attempt"), of("report"));
    assert_eq!((waits.len(), attempts.len(), reports.len(), spans.len()), (2, 2, 2, 7), "{spans:#?}");
    for (attempt, work) in attempts.iter().zip([&first, &second]) {
        assert_eq!(named(work.trace_context.as_ref()), (trace_id(1), attempt.span_id.clone()));
        assert_eq!(says(attempt, "semel.attempt"), work.attempt.to_string());
    }
    let status = attempts[0].status.as_ref().expect("it has failed");
    assert_eq!((status.code(), status.message.as_str()), (StatusCode::Error, "no luck"));
    assert_eq!(says(attempts[0], "semel.attempt_state"), "FAILED");
    assert!(attempts[1].status.is_none());
    assert!(waits[1].start_time_unix_nano >= attempts[0].end_time_unix_nano, "the second wait follows the first try");
}

#[tokio::test]
async fn what_its_caller_does_not_record_is_carried_on_and_not_drawn() {
    let (pay, collector) = traced(|settings| settings.otlp.as_mut().expect("set").sample_ratio = 1.0).await;
    let mut worker = RawWorker::open(&pay.pay, hello("echo", 2)).await.expect("it opens");
    let silent = parent(1).replace("-01", "-00");
    super::run(&pay.pay, &fresh(), &[("traceparent", &*silent)]).await.expect("it runs");
    let work = worker.assignment().await;
    assert_eq!(work.trace_context.as_ref().expect("a place").traceparent, silent);
    worker.report(succeeded(&work, "42")).await;
    // What follows is drawn, so what came before would be there too.
    super::run(&pay.pay, &fresh(), &[("traceparent", &*parent(2))]).await.expect("it runs");
    collector.spans(&trace_id(2), 2).await;
    assert!(collector.all().iter().all(|span| span.trace_id != trace_id(1)), "{:#?}", collector.all());
}

#[tokio::test]
async fn a_call_that_says_nothing_of_a_trace_begins_one_as_the_ratio_has_it() {
    let (pay, collector) = traced(|settings| settings.otlp.as_mut().expect("set").sample_ratio = 1.0).await;
    let id = fresh();
    settle(&pay.pay, &id).await.expect("it runs");
    let begun = collector.span(|span| says(span, "semel.request_id") == id).await;
    assert_eq!((begun.parent_span_id.len(), begun.name.as_str()), (0, RUN_JOB));
    // What is no traceparent is as good as nothing: it is no reason to refuse a call.
    let id = fresh();
    super::run(&pay.pay, &id, &[("traceparent", "00-zz-zz-01")]).await.expect("it runs");
    let begun = collector.span(|span| says(span, "semel.request_id") == id).await;
    assert!(begun.parent_span_id.is_empty());
    // A read begins none.
    pay.pay.runs().await;
    let id = fresh();
    settle(&pay.pay, &id).await.expect("it runs");
    collector.span(|span| says(span, "semel.request_id") == id).await;
    assert!(collector.all().iter().all(|span| !span.name.contains("ListRuns")));
}

#[tokio::test]
async fn a_refusal_is_no_error_of_the_servers() {
    let (pay, collector) = traced(|_| {}).await;
    let headers = [("traceparent", &*parent(1))];
    let refused = super::run(&pay.nobody, &fresh(), &headers).await.expect_err("nobody");
    assert_eq!(refused.code(), Code::Unauthenticated);
    let spans = collector.spans(&trace_id(1), 1).await;
    assert_eq!(
        (says(&spans[0], "rpc.response.status_code"), says(&spans[0], "semel.reason")),
        ("UNAUTHENTICATED".to_owned(), "CREDENTIALS_MISSING".to_owned())
    );
    assert!(spans[0].status.is_none() && says(&spans[0], "error.type").is_empty());
}

#[tokio::test]
async fn a_run_that_a_trigger_made_has_a_trace_of_its_own() {
    let collector = Collector::start().await;
    let (pay, clock) = PayByClient::with_manual_clock(|settings| {
        let otlp = telling(&format!("http://{}", collector.address));
        settings.otlp = Some(Settings { sample_ratio: 1.0, ..otlp });
    })
    .await;
    let rate = v1::trigger_spec::When::Rate(v1::FixedRate { period: seconds(3600) });
    let trigger = v1::TriggerSpec { when: Some(rate), ..Default::default() };
    job(&pay.client, "nightly", v1::JobSpec { triggers: [("t".to_owned(), trigger)].into(), ..spec("p") }).await;
    clock.advance(Millis::from_secs(3600));
    pay.tick().await;
    let mut worker = pay.worker("p", 1).await;
    let work = worker.assignment().await;
    worker.report(succeeded(&work, "42")).await;

    let (trace_id, attempt_id) = named(work.trace_context.as_ref());
    let spans = collector.spans(&trace_id, 3).await;
    let (whole, wait, attempt) = (only(&spans, "run"), only(&spans, "wait"), only(&spans, "attempt"));
    assert!(whole.parent_span_id.is_empty());
    assert_eq!((&wait.parent_span_id, &attempt.parent_span_id), (&whole.span_id, &whole.span_id));
    assert_eq!(attempt.span_id, attempt_id);
    assert_eq!((says(whole, "semel.state"), says(whole, "semel.job")), ("SUCCEEDED".to_owned(), "nightly".to_owned()));
    let run = pay.run(&work.run_id).await;
    assert_eq!(named(run.trace_context.as_ref()), (trace_id, whole.span_id.clone()));
}
