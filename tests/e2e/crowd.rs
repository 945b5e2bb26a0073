//! A crowd at the door: one call, a thousand times at once. And the same for many calls at a time, each of them several
//! times, so that the copies of different calls meet in one batch.

use std::collections::{BTreeMap, BTreeSet};

use semel_client::v1::{self, Disposition};
use semel_server::server::Data;
use tokio::task::JoinSet;

use super::{
    harness::{TestServer, run_job},
    wire::{PayByWire, Wire, arrival, essence, fresh, payload, settle},
};

const COPIES: usize = 1000;
const CONNECTIONS: usize = 8;

async fn connections(pay: &PayByWire) -> Vec<Wire> {
    let mut wires = Vec::new();
    for _ in 0..CONNECTIONS {
        wires.push(pay.connect_again().await);
    }
    wires
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_copies_of_one_call_over_eight_connections_make_one_run() {
    // On disk, where a commit takes its time.
    let folder = tempfile::tempdir().expect("a folder");
    let server = TestServer::with(|settings| {
        settings.data = Data::Directory { path: folder.path().join("data"), map_size: 64 << 20 };
        settings.keyring = None;
    });
    let pay = PayByWire::on(server.await).await;
    let (wires, id) = (connections(&pay).await, fresh());
    let mut calls = JoinSet::new();
    for number in 0..COPIES {
        let (wire, id) = (wires[number % CONNECTIONS].clone(), id.clone());
        let request = v1::RunJobRequest { payload: payload("the same"), ..run_job("settle") };
        calls.spawn(async move { wire.served(&id, request).await });
    }
    let answers = calls.join_all().await;
    assert_eq!(answers.len(), COPIES);

    let executed = answers.iter().filter(|answer| arrival(answer.header.as_ref()).0 == Disposition::Executed);
    assert_eq!(executed.count(), 1, "exactly one took effect");
    let replayed = answers.iter().filter(|answer| arrival(answer.header.as_ref()).0 == Disposition::Replayed);
    assert_eq!(replayed.count(), COPIES - 1, "and all others say that it had");
    let first = essence(answers[0].clone());
    assert!(answers.iter().all(|answer| essence(answer.clone()) == first), "all answers are equal");
    let arrivals: BTreeSet<i64> = answers.iter().map(|answer| arrival(answer.header.as_ref()).1).collect();
    assert_eq!(arrivals, (1..=1000).collect(), "each arrival was counted once");

    let runs = pay.pay.runs().await;
    assert_eq!(runs.iter().map(|run| &run.run_id).collect::<Vec<_>>(), [&first.0.run_id]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_each_sent_several_times_make_one_run_each() {
    let pay = PayByWire::start().await;
    let (wires, ids) = (connections(&pay).await, (0..40).map(|_| fresh()).collect::<Vec<_>>());
    let mut calls = JoinSet::new();
    for (number, wire) in wires.iter().cycle().take(400).enumerate() {
        let (wire, id) = (wire.clone(), ids[number % ids.len()].clone());
        calls.spawn(async move {
            let answer = settle(&wire, &id).await.expect("it is served");
            (id, answer)
        });
    }
    let mut by_id: BTreeMap<String, Vec<v1::RunJobResponse>> = BTreeMap::new();
    for (id, answer) in calls.join_all().await {
        by_id.entry(id).or_default().push(answer);
    }
    for answers in by_id.values() {
        assert_eq!(answers.len(), 10);
        let executed = answers.iter().filter(|answer| arrival(answer.header.as_ref()).0 == Disposition::Executed);
        assert_eq!(executed.count(), 1);
        assert!(answers.iter().all(|answer| answer.run_id == answers[0].run_id));
    }
    let runs: BTreeSet<String> = pay.pay.runs().await.into_iter().map(|run| run.run_id).collect();
    let answered: BTreeSet<String> = by_id.values().map(|answers| answers[0].run_id.clone()).collect();
    assert_eq!((runs.len(), runs), (ids.len(), answered));
}
