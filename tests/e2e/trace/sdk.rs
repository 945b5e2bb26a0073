//! The Rust client: what a program says of its spans goes with its calls, and a processor is told the span of its attempt.

use semel_client::{
    CallOptions, Client,
    v1::{self, TraceContext},
    worker::{Context, Worker},
};
use tokio::sync::{mpsc, oneshot};

use super::*;
use crate::e2e::{crew::PayByClient, harness::in_time, wire::fresh};

fn context(number: u8) -> TraceContext {
    TraceContext { traceparent: parent(number), tracestate: "a=1".to_owned() }
}

/// A client of `pay` whose calls stand under a span.
async fn client(pay: &PayByWire, number: u8) -> Client {
    let options = pay.server.options().app("pay");
    let options = options.credentials(semel_client::Credentials::Token(pay.secret.clone()));
    Client::connect(options.trace_context(move || Some(context(number)))).await.expect("it connects")
}

#[tokio::test]
async fn a_trace_goes_through_the_client_to_the_processor_and_back() {
    let (pay, collector) = traced(|_| {}).await;
    let client = client(&pay, 1).await;
    let (told, mut hears) = mpsc::unbounded_channel();
    let process = move |cx: Context| {
        let told = told.clone();
        async move {
            told.send(cx.trace_context().cloned()).expect("the test listens");
            Ok(v1::Payload::default())
        }
    };
    let worker = Worker::builder(client.clone()).processor("echo", process).slots(1).build().expect("a worker");
    let (stop, stopped) = oneshot::channel::<()>();
    let working = tokio::spawn(worker.run(async {
        let _ = stopped.await;
    }));
    client.run_job(run_job("settle")).await.expect("it runs");
    let heard = in_time(hears.recv()).await.expect("it was processed");
    let spans = collector.spans(&trace_id(1), 4).await;
    let attempt = only(&spans, "attempt");
    assert_eq!(named(heard.as_ref()), (trace_id(1), attempt.span_id.clone()));
    assert_eq!(heard.expect("a place").tracestate, "a=1");
    assert_eq!(only(&spans, "report").parent_span_id, attempt.span_id);
    assert_eq!(only(&spans, "semel.v1.JobService/RunJob").parent_span_id, CALLER);
    let _ = stop.send(());
    in_time(working).await.expect("no panic").expect("a clean end");
}

#[tokio::test]
async fn what_is_said_for_one_call_goes_over_what_is_said_for_all_also_on_a_stream() {
    let (pay, collector) = traced(|_| {}).await;
    let client = client(&pay, 1).await;
    let own = CallOptions { trace_context: Some(context(2)), ..CallOptions::default() };
    client.with_options(own.clone()).run_job(run_job("settle")).await.expect("it runs");
    collector.spans(&trace_id(2), 1).await;
    let submission = client.submit_runs().submit(run_job("settle")).await;
    submission.expect("it is taken").await.expect("it runs");
    let spans = collector.spans(&trace_id(1), 1).await;
    assert_eq!(spans[0].name, "semel.v1.JobService/SubmitRuns");
    // What stands in the request itself goes over both.
    let mut request = run_job("settle");
    request.header = Some(v1::RequestHeader { request_id: fresh(), trace_context: Some(context(3)), client: None });
    client.with_options(own).run_job(request).await.expect("it runs");
    collector.spans(&trace_id(3), 1).await;
}

#[tokio::test]
async fn without_a_trace_a_processor_is_told_of_none() {
    let pay = PayByClient::start().await;
    crate::e2e::harness::job(&pay.client, "settle", crate::e2e::harness::spec("p")).await;
    let mut worker = pay.worker("p", 1).await;
    pay.submit("settle").await;
    assert_eq!(worker.assignment().await.trace_context, None);
}
