//! Who is refused first, step by step: the engine stands still, and its queue fills.

use semel_client::v1;
use semel_server::engine::Handle;
use tonic::Code;

use crate::e2e::{
    harness::{in_time, run_job},
    raw_worker::{RawWorker, Submission, hello, log, succeeded},
    valve::{Valve, Which},
    wire::{PayByWire, Wire, fresh, settle},
};

const QUEUE_MAX: usize = 6;

/// Until so many wishes wait.
async fn until_waiting(engine: &Handle, count: usize) {
    in_time(async {
        while engine.load().waiting != count {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Calls that will be answered later.
async fn call(pay: &PayByWire, count: usize) -> Vec<tokio::task::JoinHandle<v1::RunJobResponse>> {
    let engine = pay.server.running().engine();
    let before = engine.load().waiting;
    let calls = (0..count).map(|_| {
        let wire = pay.pay.clone();
        tokio::spawn(async move { settle(&wire, &fresh()).await.expect("it is served") })
    });
    let calls = calls.collect();
    until_waiting(engine, before + count).await;
    calls
}

async fn overloaded<M: semel_client::Method>(wire: &Wire, id: &str, message: M) {
    wire.refused(id, message).await.expect(Code::ResourceExhausted, "OVERLOADED").says_when();
}

#[tokio::test]
async fn lists_go_first_then_wishes_and_what_workers_say_stays() {
    let (server, valve) = Valve::server(|settings| settings.engine.bounds.queue_max = QUEUE_MAX).await;
    let pay = PayByWire::on(server).await;
    let mut worker = RawWorker::open(&pay.pay, hello("echo", 1)).await.expect("the stream opens");
    let run_id = settle(&pay.pay, &fresh()).await.expect("it is served").run_id;
    let assignment = worker.assignment().await;
    valve.shut(Which::Requests);
    let wire = pay.pay.clone();
    let first = tokio::spawn(async move { settle(&wire, &fresh()).await.expect("it is served") });
    valve.holds().await;
    let engine = pay.server.running().engine().clone();

    let list_runs = || v1::ListRunsRequest { app: "pay".to_owned(), ..Default::default() };
    let explain = || v1::ExplainRunRequest { run_id: run_id.clone(), ..Default::default() };
    let early = call(&pay, QUEUE_MAX / 2 - 1).await;
    pay.pay.served("", list_runs()).await;
    let mut late = call(&pay, 1).await;
    overloaded(&pay.pay, "", list_runs()).await;
    overloaded(&pay.pay, "", v1::ListRequestsRequest { app: "pay".to_owned(), ..Default::default() }).await;
    overloaded(&pay.pay, "", v1::ListJobsRequest { app: "pay".to_owned(), ..Default::default() }).await;
    overloaded(&pay.pay, "", v1::GetRunLogsRequest { run_id: run_id.clone(), ..Default::default() }).await;
    overloaded(&pay.pay, "", explain()).await;
    late.extend(call(&pay, QUEUE_MAX / 2).await);
    let id = fresh();
    overloaded(&pay.pay, &id, run_job("settle")).await;
    // What became of a request can be learnt all the same.
    let record = pay.pay.look_up(&id).await.request.expect("a record");
    assert_eq!(record.state(), v1::RequestState::Unknown, "a refusal records nothing");

    // The worker's stream takes what it says, though nobody can be served.
    let (piece, report) = (fresh(), fresh());
    worker.say_as(&piece, Submission::kind(log(&assignment, "a line\n"))).await;
    worker.say_as(&report, Submission::kind(succeeded(&assignment, "done"))).await;
    in_time(async {
        while engine.load().worker_places < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let load = engine.load();
    assert_eq!((load.waiting, load.refused_wishes, load.refused_looks), (QUEUE_MAX, 1, 5), "{load:?}");

    valve.open();
    worker.acknowledged(&piece).await.expect("it is taken");
    let reported = worker.acknowledged(&report).await.expect("it is taken").revision;
    first.await.expect("it is served");
    for call in early.into_iter().chain(late) {
        let served = call.await.expect("it is served").header.expect("a header").revision;
        assert!(served > reported, "workers went first, who came last");
    }
    settle(&pay.pay, &id).await.expect("there is room again, under the same id");
    pay.pay.served("", list_runs()).await;
    pay.pay.served("", explain()).await;
    let load = engine.load();
    assert_eq!((load.waiting, load.looks, load.worker_places), (0, 0, 0), "{load:?}");
}
