//! What each fault of the fault-injecting proxy is, from both sides: what the caller gets, and how often the server saw the
//! call. Also how other tests come by such a proxy.

use std::{net::SocketAddr, time::Duration};

use semel_client::v1::{AuthStatus, Disposition};
use semel_faults::{Draw, Fault, Plan, Proxy, Way};
use semel_proto::v1;
use tonic::{Code, Status};

use super::{
    harness::{PATIENCE, TestServer, in_time, run_job},
    raw_submitter::{RawSubmitter, ids, items},
    raw_worker::{RawWorker, hello},
    wire::{PayByWire, Refused, Wire, arrival, fresh, settle},
};

/// For how long a caller waits that is not answered.
const SHORT: Duration = Duration::from_millis(700);

/// A proxy in front of a server. Ends when it is dropped.
pub(crate) async fn faulty(server: &TestServer, plan: Plan) -> Proxy {
    proxy_to(server.running().address(), plan).await
}

/// The same for a server anywhere.
pub(crate) async fn proxy_to(server: SocketAddr, plan: Plan) -> Proxy {
    Proxy::start(SocketAddr::from(([127, 0, 0, 1], 0)), server, plan).await.expect("a free port")
}

/// How many calls it has passed on, repetitions included.
pub(crate) fn passed_on(proxy: &Proxy) -> u64 {
    proxy.counts().sent
}

/// What a caller gets whose one call meets a fault, and the id of that call.
async fn one_call(pay: &PayByWire, proxy: &Proxy) -> (String, Result<v1::RunJobResponse, Status>) {
    let wire = Wire::to(&proxy.endpoint()).await.bearer(&pay.secret);
    let id = fresh();
    let answer = wire.send_within(&id, run_job("settle"), SHORT).await;
    (id, answer)
}

/// How often the server has seen a call, and whether it took effect by then.
async fn seen(pay: &PayByWire, id: &str) -> (bool, i64) {
    let answer = settle(&pay.pay, id).await.expect("a run");
    let (disposition, arrivals) = arrival(answer.header.as_ref());
    (disposition == Disposition::Replayed, arrivals - 1)
}

#[tokio::test]
async fn each_fault_is_what_it_says() {
    let pay = PayByWire::start().await;
    for fault in Fault::of_calls() {
        let proxy = faulty(&pay.server, Plan::first([Draw::new(fault, 0)])).await;
        let (id, answer) = in_time(one_call(&pay, &proxy)).await;
        let served = matches!(
            fault,
            Fault::StripAnswer
                | Fault::StripRequest
                | Fault::Respell
                | Fault::TwiceAtOnce
                | Fault::TwiceAfter
                | Fault::TwiceLater
        );
        assert_eq!(answer.is_ok(), served, "{fault}: {answer:?}");
        if fault == Fault::TwiceLater {
            proxy.send_kept().await;
        }
        let wanted = match fault {
            // Whether the call is still on its way then is open, and so is whether it gets there at all.
            Fault::ResetDuring | Fault::CutServer | Fault::TwiceAtOnce => None,
            Fault::StripCredentials | Fault::ResetBefore | Fault::Refuse | Fault::CutBefore => Some((false, 0)),
            Fault::TwiceAfter | Fault::TwiceLater => Some((true, 2)),
            _ => Some((true, 1)),
        };
        let seen = seen(&pay, &id).await;
        assert!(wanted.is_none_or(|wanted| wanted == seen), "{fault}: the server saw {seen:?} instead of {wanted:?}");
        assert_eq!(proxy.counts().of(fault), 1, "{fault} is counted");
        assert_eq!(proxy.counts().faults.values().sum::<u64>(), 1, "and no other is");
        // The fault was for one call: the next one gets through, over a new connection if need be.
        let again = Wire::to(&proxy.endpoint()).await.bearer(&pay.secret);
        settle(&again, &fresh()).await.unwrap_or_else(|status| panic!("after {fault}: {status}"));
    }
    assert_eq!(pay.pay.runs().await.len(), 2 * Fault::of_calls().count(), "one run for each id");
}

#[tokio::test]
async fn a_refusal_that_was_stripped_has_its_code_and_nothing_else() {
    let pay = PayByWire::start().await;
    let proxy = faulty(&pay.server, Plan::always(Fault::StripAnswer)).await;
    let wire = Wire::to(&proxy.endpoint()).await.bearer(&pay.secret);
    let status = wire.send(&fresh(), run_job("none")).await.expect_err("there is no such job");
    assert_eq!((status.code(), status.message(), status.details().len()), (Code::NotFound, "", 0));
}

#[tokio::test]
async fn a_refusal_that_was_respelt_says_the_same() {
    let pay = PayByWire::start().await;
    let proxy = faulty(&pay.server, Plan::always(Fault::Respell)).await;
    let wire = Wire::to(&proxy.endpoint()).await.bearer(&pay.secret);
    let status = wire.send(&fresh(), run_job("none")).await.expect_err("there is no such job");
    Refused::of(&status).expect_with(Code::NotFound, "NOT_FOUND", AuthStatus::Passed);
}

#[tokio::test]
async fn a_delayed_answer_misses_the_deadline_and_is_there_afterwards() {
    let pay = PayByWire::start().await;
    let proxy = faulty(&pay.server, Plan::first([Draw::new(Fault::Delay, 0)])).await;
    let wire = Wire::to(&proxy.endpoint()).await.bearer(&pay.secret);
    let id = fresh();
    let late = wire.send_within(&id, run_job("settle"), Duration::from_millis(300)).await.expect_err("too late");
    assert!(matches!(late.code(), Code::DeadlineExceeded | Code::Cancelled), "{late}");
    let answer = wire.send_within(&id, run_job("settle"), PATIENCE).await.expect("a run");
    assert_eq!(arrival(answer.header.as_ref()), (Disposition::Replayed, 2));
}

#[tokio::test]
async fn streams_are_passed_on_in_both_directions_and_meet_with_faults_while_they_open() {
    let pay = PayByWire::start().await;
    let calm = faulty(&pay.server, Plan::calm()).await;
    let wire = Wire::to(&calm.endpoint()).await.bearer(&pay.secret);
    let mut worker = RawWorker::open(&wire, hello("echo", 1)).await.expect("the stream opens");
    let made = settle(&wire, &fresh()).await.expect("a run");
    assert_eq!(worker.assignment().await.run_id, made.run_id, "what the server sends gets through");
    assert_eq!((calm.counts().streams, calm.counts().calls), (1, 1));
    assert!(calm.counts().messages >= 3, "the worker's hello, the server's, and the assignment: {:?}", calm.counts());

    for fault in Fault::of_openings() {
        let proxy = faulty(&pay.server, Plan::first([Draw::new(fault, 0)])).await;
        let wire = Wire::to(&proxy.endpoint()).await.bearer(&pay.secret);
        let opened = RawSubmitter::open(&wire).await;
        let opens = matches!(fault, Fault::StripAnswer | Fault::StripTrailers | Fault::StripRequest);
        assert_eq!(opened.is_ok(), opens, "{fault}");
        assert_eq!(proxy.counts().of_opening(fault), 1, "{fault}");
        assert_eq!(proxy.counts().faults.values().sum::<u64>(), 0, "{fault} was done to a stream that opened");
    }
}

/// Sends two items, each in a message of its own, and the second only when the first is answered, over a stream of which
/// one message meets with a fault. Gives what was answered, item by item, until nothing more came.
async fn two_items(pay: &PayByWire, proxy: &Proxy, ids: &[String]) -> Vec<String> {
    let wire = Wire::to(&proxy.endpoint()).await.bearer(&pay.secret);
    let mut submitter = RawSubmitter::open(&wire).await.expect("its first message gets through");
    let mut heard = Vec::new();
    for id in ids {
        let message = v1::SubmitRunsRequest { runs: items(std::slice::from_ref(id)), ..Default::default() };
        // Whether the stream has ended by now is what the answers say.
        let _ = submitter.up.send(message).await;
        while let Ok(Some(result)) = tokio::time::timeout(SHORT, submitter.next()).await {
            heard.push(result.request_id);
        }
    }
    heard
}

#[tokio::test]
async fn each_fault_to_a_message_is_what_it_says() {
    let pay = PayByWire::start().await;
    for fault in Fault::of_messages() {
        // The server's first message says that the stream is open; its second answers the caller's first.
        let message = if fault.way() == Some(Way::Up) { 0 } else { 1 };
        let plan = Plan::in_stream(Draw::new(fault, 0), message).hold_for(SHORT * 3 / 2);
        let proxy = faulty(&pay.server, plan).await;
        let ids = ids(2);
        let heard = two_items(&pay, &proxy, &ids).await;
        let (one, other) = (&ids[0], &ids[1]);
        let wanted = match fault {
            Fault::DropMessage | Fault::DropAnswer => vec![other],
            Fault::RepeatMessage | Fault::RepeatAnswer => vec![one, one, other],
            // Held back beyond the first look, and there with the second.
            Fault::HoldMessage | Fault::HoldAnswer => vec![one, other],
            _ => vec![],
        };
        assert_eq!(heard.iter().collect::<Vec<_>>(), wanted, "{fault}");
        let (took_effect, arrivals) = seen(&pay, one).await;
        let never = matches!(fault, Fault::DropMessage | Fault::CutServerWithin);
        let wanted = if fault == Fault::RepeatMessage { 2 } else { i64::from(!never) };
        assert_eq!((took_effect, arrivals), (!never, wanted), "{fault}: whether the server had it");
        assert_eq!(proxy.counts().of(fault), 1, "{fault} is counted");
        assert_eq!(proxy.counts().faults.values().sum::<u64>(), 1, "and no other is");
    }
}
