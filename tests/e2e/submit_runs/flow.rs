//! Callers that are slow, dead or unbounded, and servers that stop: nobody else pays for them, and nothing is lost or
//! doubled.

use std::time::Duration;

use semel_client::v1::{self, Disposition, RequestState};
use tokio::{task::JoinHandle, time::timeout};
use tonic::{Code, transport::Endpoint};

use crate::e2e::{
    harness::{in_time, run_job},
    raw_submitter::{RawSubmitter, ids, item, items, refusal_of, run_of, under},
    valve::{Valve, Which},
    wire::{PayByWire, Refused, Wire, fresh, settle},
};

/// What one stream may have outstanding at most, with the message that goes beyond.
const OUTSTANDING_MAX: i64 = 4096 + 1000;
/// What streams may have in the engine together.
const SHARED_MAX: usize = 4096;

async fn live_runs(pay: &PayByWire) -> i64 {
    pay.admin.served("", v1::GetServerInfoRequest::default()).await.live_run_count
}

/// A connection that takes little before somebody reads.
async fn narrow(pay: &PayByWire) -> Wire {
    let endpoint = Endpoint::from_shared(pay.server.endpoint()).expect("an endpoint");
    let channel = endpoint.initial_stream_window_size(65_535).connect().await.expect("connects");
    Wire { channel, authorization: None }.bearer(&pay.secret)
}

/// A caller that submits so many and reads nothing, and what it submits.
struct Slow {
    submitter: RawSubmitter,
    ids: Vec<String>,
    sending: JoinHandle<()>,
}

impl Slow {
    async fn start(wire: &Wire, count: usize) -> Self {
        let submitter = RawSubmitter::open(wire).await.expect("opens");
        let ids = ids(count);
        let (up, messages) = (submitter.up.clone(), ids.chunks(100).map(items).collect::<Vec<_>>());
        let sending = tokio::spawn(async move {
            for runs in messages {
                up.send(v1::SubmitRunsRequest { runs, ..Default::default() }).await.expect("the stream is open");
            }
        });
        Self { submitter, ids, sending }
    }
}

#[tokio::test]
async fn callers_that_read_nothing_are_read_no_further_and_others_are_served() {
    let pay = PayByWire::start().await;
    let wire = narrow(&pay).await;
    let mut slow = Vec::new();
    for wire in [&wire, &wire, &narrow(&pay).await] {
        slow.push(Slow::start(wire, 24_000).await);
    }
    // They are read as far as the bound; then others go on as if they were not there: on a connection of their own, on
    // the same connection, by calls, and by streams.
    let others = [wire.clone(), pay.pay.clone()];
    let mut submitters = Vec::new();
    for other in &others {
        submitters.push(RawSubmitter::open(other).await.expect("opens"));
    }
    let mut served = 0;
    loop {
        let before = in_time(live_runs(&pay)).await;
        for _ in 0..20 {
            for (other, submitter) in others.iter().zip(&mut submitters) {
                in_time(settle(other, &fresh())).await.expect("it is served");
                submitter.submit(&fresh()).await;
                served += 2;
            }
        }
        let taken = live_runs(&pay).await - served;
        // 64 KiB of answers each, and what the server's own messages on their way hold, have left it.
        assert!(taken < 3 * (OUTSTANDING_MAX + 4000), "{taken} of the slow callers' items were taken");
        if before == live_runs(&pay).await - 80 && taken >= 3 * 4096 {
            break;
        }
    }
    for Slow { submitter, ids, sending } in &mut slow {
        assert!(!sending.is_finished(), "the caller is held back");
        for id in ids {
            assert_eq!(submitter.served(id).await.disposition(), Disposition::Executed);
        }
        in_time(sending).await.expect("all was sent");
    }
    assert_eq!(live_runs(&pay).await, served + 72_000);
}

#[tokio::test]
async fn what_a_dead_caller_had_submitted_takes_effect_once() {
    let (server, valve) = Valve::server(|_| {}).await;
    let mut pay = PayByWire::on(server).await;
    let ids = ids(100);
    let wire = pay.connect_again().await;
    let submitter = RawSubmitter::open(&wire).await.expect("opens");
    valve.shut(Which::Requests);
    submitter.send(items(&ids)).await;
    valve.holds().await;
    // Once the last one is in the engine, the caller dies with its connection.
    wait_for(&pay, ids.last().expect("an id"), RequestState::UnderWay).await;
    drop((submitter, wire));
    valve.open();
    wait_for(&pay, ids.last().expect("an id"), RequestState::Done).await;
    assert_eq!(pay.pay.runs().await.len(), ids.len());

    pay.restart().await;
    let mut again = RawSubmitter::open(&pay.pay).await.expect("opens");
    again.send(items(&ids)).await;
    for id in &ids {
        assert_eq!(again.served(id).await.disposition(), Disposition::Replayed);
    }
    assert_eq!(pay.pay.runs().await.len(), ids.len());
}

async fn wait_for(pay: &PayByWire, id: &str, state: RequestState) {
    in_time(async {
        while pay.pay.look_up(id).await.request.expect("a record").state() != state {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn streams_leave_room_in_the_engine_for_calls() {
    let (server, valve) = Valve::server(|_| {}).await;
    let pay = PayByWire::on(server).await;
    let mut first = RawSubmitter::open(&pay.connect_again().await).await.expect("opens");
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(RawSubmitter::open(&pay.connect_again().await).await.expect("opens"));
    }
    valve.shut(Which::Requests);
    let first_ids = ids(SHARED_MAX);
    for part in first_ids.chunks(500) {
        first.send(items(part)).await;
    }
    wait_for(&pay, first_ids.last().expect("an id"), RequestState::UnderWay).await;
    let mut other_ids = Vec::new();
    for other in &others {
        let ids = ids(1000);
        other.send(items(&ids)).await;
        other_ids.push(ids);
    }
    // Streams have what they may have: others wait, and none of them is refused. Calls are still taken.
    let mut calls = Vec::new();
    for _ in 0..50 {
        let (wire, id) = (pay.pay.clone(), fresh());
        let call = (id.clone(), tokio::spawn(async move { settle(&wire, &id).await }));
        wait_for(&pay, &call.0, RequestState::UnderWay).await;
        calls.push(call.1);
    }
    for ids in &other_ids {
        let state = pay.pay.look_up(&ids[0]).await.request.expect("a record").state();
        assert_eq!(state, RequestState::Unknown, "it is not in the engine yet");
    }
    valve.open();
    for call in calls {
        in_time(call).await.expect("no panic").expect("it is served");
    }
    for id in &first_ids {
        first.served(id).await;
    }
    for (other, ids) in others.iter_mut().zip(&other_ids) {
        for id in ids {
            assert_eq!(other.served(id).await.disposition(), Disposition::Executed);
        }
    }
}

#[tokio::test]
async fn a_server_that_stops_answers_what_it_has_taken_and_sends_the_rest_elsewhere() {
    let (server, valve) = Valve::server(|_| {}).await;
    let mut pay = PayByWire::on(server).await;
    let mut submitter = RawSubmitter::open(&pay.pay).await.expect("opens");
    let (taken, late) = (ids(20), ids(20));
    valve.shut(Which::Requests);
    submitter.send(items(&taken)).await;
    valve.holds().await;
    wait_for(&pay, taken.last().expect("an id"), RequestState::UnderWay).await;
    pay.server.running().drain().await;
    // The server may have ended its side of the stream by now.
    let _ = submitter.up.send(v1::SubmitRunsRequest { runs: items(&late), ..Default::default() }).await;
    valve.open();
    let (mut results, end) = submitter.end().await;
    end.expect("a good end");
    assert!(submitter.is_going_away, "it says so before the end");
    let rest = results.split_off(taken.len());
    for (result, id) in results.into_iter().zip(&taken) {
        run_of(result, id);
    }
    for (result, id) in rest.into_iter().zip(&late) {
        refusal_of(result, id).expect(Code::Unavailable, "DRAINING");
    }
    let refused = RawSubmitter::open(&pay.pay).await.err().expect("no new stream");
    Refused::of(&refused).expect(Code::Unavailable, "DRAINING");

    pay.restart().await;
    let mut elsewhere = RawSubmitter::open(&pay.pay).await.expect("opens");
    elsewhere.send(items(&[taken.as_slice(), late.as_slice()].concat())).await;
    for id in &taken {
        assert_eq!(elsewhere.served(id).await.disposition(), Disposition::Replayed);
    }
    for id in &late {
        assert_eq!(elsewhere.served(id).await.disposition(), Disposition::Executed);
    }
}

#[tokio::test]
async fn a_message_beyond_the_bounds_ends_the_stream_and_nothing_of_it_is_taken() {
    let pay = PayByWire::start().await;
    let large = v1::Payload { data: vec![0; 1 << 20].into(), content_type: String::new() };
    let large = || v1::RunJobRequest { payload: Some(large.clone()), ..run_job("settle") };
    let too_many = items(&ids(1001));
    let too_large = ids(5).iter().map(|id| under(id, large())).collect();
    for (number, runs) in [(1, too_many), (2, too_large)] {
        let mut submitter = RawSubmitter::open(&pay.connect_again().await).await.expect("opens");
        let before = fresh();
        submitter.send(vec![item(&before)]).await;
        submitter.send(runs).await;
        let (results, end) = submitter.end().await;
        let [result] = results.try_into().expect("what came before is answered");
        run_of(result, &before);
        let refused = Refused::of(&end.expect_err("it ends with a refusal"));
        refused.expect(Code::InvalidArgument, "INVALID");
        assert_eq!(refused.violations.len(), 1);
        assert_eq!(pay.pay.runs().await.len(), number);
    }
    // What fits is taken, however large.
    let mut submitter = RawSubmitter::open(&pay.pay).await.expect("opens");
    let three = ids(3);
    for _ in 0..5 {
        submitter.send(three.iter().map(|id| under(id, large())).collect()).await;
    }
    for id in three.iter().cycle().take(15) {
        submitter.served(id).await;
    }
}

#[tokio::test]
async fn an_idle_stream_stays_open_and_is_left_alone() {
    let pay = PayByWire::start().await;
    let mut submitter = RawSubmitter::open(&pay.pay).await.expect("opens");
    // Longer than the credentials are looked at: nothing comes that was not asked for.
    let quiet = timeout(Duration::from_millis(2500), submitter.result()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    submitter.submit(&fresh()).await;
}
