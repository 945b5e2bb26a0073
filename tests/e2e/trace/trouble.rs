//! A collector that is not there, and none at all: the server goes on as if nothing were.

use semel_faults::Port;

use super::*;
use crate::e2e::{
    harness::in_time,
    raw_worker::{RawWorker, hello, succeeded},
    tls::Authority,
    wire::fresh,
};

#[tokio::test]
async fn without_a_collector_what_callers_say_is_carried_on_all_the_same() {
    let pay = PayByWire::start().await;
    let mut worker = RawWorker::open(&pay.pay, hello("echo", 1)).await.expect("it opens");
    let id = fresh();
    run(&pay.pay, &id, &[("traceparent", &*parent(1)), ("tracestate", "a=1")]).await.expect("it runs");
    let work = worker.assignment().await;
    let context = work.trace_context.clone().expect("a place");
    assert_eq!((context.traceparent, context.tracestate.as_str()), (parent(1), "a=1"));
    worker.report(succeeded(&work, "42")).await;
    let record = pay.pay.look_up(&id).await.request.expect("a record");
    assert_eq!(record.trace_context.expect("a place").traceparent, parent(1));
    run(&pay.pay, &fresh(), &[]).await.expect("it runs");
    assert_eq!(worker.assignment().await.trace_context, None);
}

#[tokio::test]
async fn a_collector_that_is_not_there_disturbs_nobody_and_may_come_later() {
    // A port where nobody listens yet.
    let port = Port::reserve().expect("a free port");
    let server =
        TestServer::with(|settings| settings.otlp = Some(telling(&format!("http://{}", port.address())))).await;
    let mut pay = PayByWire::on(server).await;
    for number in 1..=20 {
        run(&pay.pay, &fresh(), &[("traceparent", &*parent(number))]).await.expect("it runs");
    }
    let collector = Collector::start_at(port.address()).await;
    in_time(async {
        // What came before it may be lost; what comes now is not for ever.
        while collector.all().is_empty() {
            run(&pay.pay, &fresh(), &[("traceparent", &*parent(21))]).await.expect("it runs");
        }
    })
    .await;
    drop(collector);
    // Its end is bounded, whatever the collector does.
    run(&pay.pay, &fresh(), &[("traceparent", &*parent(22))]).await.expect("it runs");
    in_time(pay.server.running.take().expect("it runs").shutdown()).await.expect("a clean end");
}

#[tokio::test]
async fn what_waits_at_the_end_is_sent() {
    let (mut pay, collector) = traced(|settings| {
        // Longer than the test may take.
        settings.otlp.as_mut().expect("set").interval = std::time::Duration::from_secs(3600);
    })
    .await;
    run(&pay.pay, &fresh(), &[("traceparent", &*parent(1))]).await.expect("it runs");
    in_time(pay.server.running.take().expect("it runs").shutdown()).await.expect("a clean end");
    assert!(collector.all().iter().any(|span| span.trace_id == trace_id(1)), "it was sent before the end");
}

#[tokio::test]
async fn a_collector_with_tls_is_told_once_somebody_vouches_for_it() {
    let (authority, other) = (Authority::new(), Authority::new());
    let collector = Collector::start_with_tls(authority.issue_server()).await;
    let telling_by = async |authority: &Authority| {
        let mut told = telling(&format!("https://localhost:{}", collector.address.port()));
        told.ca = Some(authority.pem_file());
        PayByWire::on(TestServer::with(|settings| settings.otlp = Some(told)).await).await
    };
    let deceived = telling_by(&other).await;
    run(&deceived.pay, &fresh(), &[("traceparent", &*parent(1))]).await.expect("it runs");
    let pay = telling_by(&authority).await;
    run(&pay.pay, &fresh(), &[("traceparent", &*parent(2))]).await.expect("it runs");
    let spans = collector.spans(&trace_id(2), 1).await;
    assert_eq!(spans[0].parent_span_id, CALLER);
    let mut deceived = deceived;
    in_time(deceived.server.running.take().expect("it runs").shutdown()).await.expect("a clean end");
    assert!(collector.all().iter().all(|span| span.trace_id != trace_id(1)), "it was told what nobody vouched for");
}
