//! Items of a stream say where they stand themselves, each for itself.

use semel_client::v1;

use super::*;
use crate::e2e::{
    raw_submitter::{RawSubmitter, item},
    raw_worker::{RawWorker, hello},
    wire::fresh,
};

fn traced_item(id: &str, number: u8) -> v1::RunJobRequest {
    let mut item = item(id);
    let context = v1::TraceContext { traceparent: parent(number), tracestate: "a=1".to_owned() };
    item.header.get_or_insert_default().trace_context = Some(context);
    item
}

#[tokio::test]
async fn each_item_of_a_stream_is_a_call_of_its_own_in_its_own_trace() {
    let (pay, collector) = traced(|_| {}).await;
    let mut worker = RawWorker::open(&pay.pay, hello("echo", 3)).await.expect("it opens");
    let mut submitter = RawSubmitter::open(&pay.pay).await.expect("it opens");
    let ids = [fresh(), fresh()];
    let bad = v1::RunJobRequest { job: "nowhere".to_owned(), ..traced_item(&fresh(), 3) };
    submitter.send(vec![traced_item(&ids[0], 1), traced_item(&ids[1], 2), bad.clone()]).await;
    let run = submitter.served(&ids[0]).await;
    submitter.served(&ids[1]).await;
    submitter.refused(&bad.header.expect("a header").request_id).await;

    let name = "semel.v1.JobService/SubmitRuns";
    for (number, id) in [(1, &ids[0]), (2, &ids[1])] {
        let work = worker.assignment().await;
        let spans = collector.spans(&trace_id(number), 2).await;
        let submit = only(&spans, name);
        assert_eq!(
            (submit.parent_span_id.as_slice(), says(submit, "semel.request_id")),
            (CALLER.as_slice(), id.clone())
        );
        assert_eq!(says(submit, "rpc.response.status_code"), "OK");
        assert_eq!(only(&spans, "wait").parent_span_id, submit.span_id);
        assert_eq!(named(work.trace_context.as_ref()).0, trace_id(number));
    }
    let refused = collector.spans(&trace_id(3), 1).await;
    assert_eq!(says(only(&refused, name), "rpc.response.status_code"), "NOT_FOUND");

    // Sent again by another try: linked to the first.
    submitter.send(vec![traced_item(&ids[0], 4)]).await;
    assert_eq!(submitter.served(&ids[0]).await.run_id, run.run_id);
    let replay = collector.spans(&trace_id(4), 1).await;
    assert_eq!(says(&replay[0], "semel.disposition"), "REPLAYED");
    assert_eq!(replay[0].links.iter().map(|link| link.trace_id.clone()).collect::<Vec<_>>(), [trace_id(1)]);
}
