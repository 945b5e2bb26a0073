//! Rows (a) to (i): between the server and its workers.

use semel_client::v1::{self, AttemptState, Disposition, RunState};
use semel_core::id::Millis;
use semel_server::{
    clock::ManualClock,
    server,
    store::{Fault, Memory},
};
use tokio::{net::TcpListener, task::JoinSet};
use tonic::Code;

use super::{again, arrivals_of_the_one_run, queue, run};
use crate::e2e::{
    harness::{TestServer, run_job, spec},
    raw_worker::{RawWorker, failed_plainly, given_back, hello, log, refers_to, succeeded},
    valve::{Valve, Which},
    wire::{PayByWire, Wire, arrival, auth_status, fresh, id_at, seconds, settle, wall},
};

/// After this long a silent worker counts as lost.
const LEASE: Millis = Millis::from_secs(30);

async fn still() -> (PayByWire, ManualClock) {
    let (server, clock) = TestServer::with_manual_clock(|_| {}).await;
    (PayByWire::on(server).await, clock)
}

/// Lets time pass, and the server do what is due.
async fn pass(pay: &PayByWire, clock: &ManualClock, by: Millis) {
    clock.advance(by);
    let engine = pay.server.running().engine();
    engine.poke();
    engine.read(|_| ()).await.expect("the engine runs");
}

async fn open(pay: &PayByWire, hello: &v1::Hello) -> RawWorker {
    RawWorker::open(&pay.pay, hello.clone()).await.expect("opens")
}

fn attempts(run: &v1::Run) -> Vec<(i64, AttemptState)> {
    run.attempts.iter().map(|attempt| (attempt.attempt, attempt.state())).collect()
}

/// There: the worker is told before the database is, and when the database fails in between, the run is handed out again
/// after 30 s. Here: the worker is told after the commit. While that is under way it knows nothing.
#[tokio::test]
async fn row_a_the_worker_is_told_before_the_run_is_marked() {
    let (server, valve) = Valve::server(|_| {}).await;
    let pay = PayByWire::on(server).await;
    let introduced = hello("echo", 1);
    let mut worker = open(&pay, &introduced).await;
    valve.shut(Which::Runs);
    let (wire, id) = (pay.pay.clone(), fresh());
    let first = id.clone();
    let call = tokio::spawn(async move { settle(&wire, &first).await });
    valve.holds().await;
    assert!(pay.pay.runs().await.is_empty(), "nobody sees what is not committed");
    valve.open();
    let run_id = call.await.expect("no panic").expect("a run").run_id;
    let assignment = worker.assignment().await;
    let found = run(&pay, &run_id).await;
    assert_eq!(
        (found.state(), attempts(&found)),
        (RunState::Running, vec![(assignment.attempt, AttemptState::Running)])
    );
}

/// The same with the crash: the commit that hands the run out fails. Whether it was lost or applied, the run ends with
/// one attempt, and the worker that was to have it is told of it once.
#[tokio::test]
async fn row_a_the_server_dies_between_the_commit_and_the_worker() {
    for applied in [false, true] {
        let (mut pay, _) = still().await;
        let introduced = hello("echo", 1);
        let worker = open(&pay, &introduced).await;
        pay.server.memory().inject(Fault::FailNextCommit { applied });
        let id = fresh();
        settle(&pay.pay, &id).await.expect_err("the engine fails");
        drop(worker);
        pay.revive().await;
        // The worker process lives, and comes back with empty hands.
        let mut worker = open(&pay, &again(&introduced, &[])).await;
        assert!(worker.opened.stale.is_empty());
        let answer = settle(&pay.pay, &id).await.expect("the retry is served");
        let expected = if applied { Disposition::Replayed } else { Disposition::Executed };
        assert_eq!(answer.header.as_ref().map(v1::ResponseHeader::disposition), Some(expected));
        let assignment = worker.assignment().await;
        assert_eq!(assignment.attempt, 1);
        worker.report(succeeded(&assignment, "")).await;
        assert!(worker.unasked().await.is_empty(), "told once");
        let found = run(&pay, &assignment.run_id).await;
        assert_eq!(attempts(&found), [(1, AttemptState::Succeeded)]);
        assert_eq!(pay.pay.runs().await.len(), 1);
    }
}

/// There: what a worker has not confirmed within 60 s is handed out again, while it may be on its way. Here: it is the
/// worker's for as long as its lease runs; nobody else gets it; and after that the first attempt is closed for good.
#[tokio::test]
async fn row_b_what_was_not_received_is_handed_out_again() {
    let (pay, clock) = still().await;
    let introduced = hello("echo", 1);
    let worker = open(&pay, &introduced).await;
    let run_id = queue(&pay).await;
    drop(worker);
    let mut other = open(&pay, &hello("echo", 1)).await;
    pass(&pay, &clock, Millis(LEASE.0 - 1)).await;
    assert!(other.unasked().await.is_empty(), "the lease still runs");
    assert_eq!(attempts(&run(&pay, &run_id).await), [(1, AttemptState::Running)]);
    pass(&pay, &clock, Millis(1)).await;
    let second = other.assignment().await;
    assert_eq!((second.run_id.as_str(), second.attempt), (run_id.as_str(), 2));
    other.report(succeeded(&second, "")).await;
    assert_eq!(attempts(&run(&pay, &run_id).await), [(1, AttemptState::Lost), (2, AttemptState::Succeeded)]);
}

/// There: a run whose worker was silent for 60 s is handed out again, while the old one lives on after its pause and
/// reports too. Here: the old one may live, but it is fenced: its report is refused and changes nothing.
#[tokio::test]
async fn row_c_the_silent_worker_lives() {
    let (pay, clock) = still().await;
    let introduced = hello("echo", 1);
    let mut paused = open(&pay, &introduced).await;
    let run_id = queue(&pay).await;
    let first = paused.assignment().await;
    let mut other = open(&pay, &hello("echo", 1)).await;
    pass(&pay, &clock, Millis(LEASE.0 - 1)).await;
    assert!(other.unasked().await.is_empty());
    pass(&pay, &clock, Millis(1)).await;
    let second = other.assignment().await;
    assert_eq!(paused.cancel_order().await.reason(), v1::cancel_attempt::Reason::LeaseStale, "it is told to stop");
    let refused = paused.submit(&fresh(), succeeded(&first, "")).await.expect_err("it is fenced");
    refused.expect(Code::FailedPrecondition, "LEASE_STALE");
    let refused = paused.submit(&fresh(), log(&first, "late")).await.expect_err("its log as well");
    refused.expect(Code::FailedPrecondition, "LEASE_STALE");
    // Nor can it speak for the attempt that took its place.
    let refused = paused.submit(&fresh(), succeeded(&second, "")).await.expect_err("that is not its own");
    refused.expect(Code::FailedPrecondition, "LEASE_STALE");
    assert_eq!(run(&pay, &run_id).await.state(), RunState::Running);
    let paused = open(&pay, &again(&introduced, &[&first])).await;
    assert_eq!(paused.opened.stale, [refers_to(&first)], "and told when it comes back");
    other.report(succeeded(&second, "")).await;
    let refused = other.submit(&fresh(), failed_plainly(&second)).await.expect_err("a terminal state binds");
    refused.expect(Code::FailedPrecondition, "LEASE_STALE");
    assert_eq!(attempts(&run(&pay, &run_id).await), [(1, AttemptState::Lost), (2, AttemptState::Succeeded)]);
}

/// There: the run that a cron trigger makes is written before the trigger's next time, and a crash in between makes it
/// twice. Here a trigger's time and its run are one commit. Triggers that recur are still to come; what there is, a run
/// with a start time, is queued and handed out once, whichever side of its commit the server dies on.
#[tokio::test]
async fn row_d_the_trigger_fires_and_the_server_dies() {
    for applied in [false, true] {
        let (mut pay, clock) = still().await;
        let start = (wall(&clock) + 60_000) / 1000;
        let start_time = Some(prost_types::Timestamp { seconds: start, nanos: 0 });
        let later = v1::RunJobRequest { start_time, ..run_job("settle") };
        let answer = pay.pay.served(&fresh(), later).await;
        assert_eq!(answer.state(), RunState::Scheduled);
        pay.server.memory().inject(Fault::FailNextCommit { applied });
        clock.advance(Millis(61_000));
        let engine = pay.server.running().engine().clone();
        engine.poke();
        engine.stopped().await;
        pay.revive().await;
        let mut worker = open(&pay, &hello("echo", 4)).await;
        let assignment = worker.assignment().await;
        assert_eq!((assignment.run_id.as_str(), assignment.attempt), (answer.run_id.as_str(), 1));
        pass(&pay, &clock, Millis(1000)).await;
        assert!(worker.unasked().await.is_empty(), "it fires once");
        worker.report(succeeded(&assignment, "")).await;
        assert_eq!(pay.pay.runs().await.len(), 1);
    }
}

/// There: two servers both take themselves for the owner, and both execute. Here: whoever takes the shard over has a
/// higher epoch, and the store takes no commit of the former owner.
#[tokio::test]
async fn row_e_two_servers_own_the_same_work() {
    let (pay, _) = still().await;
    let introduced = hello("echo", 1);
    let first_id = fresh();
    settle(&pay.pay, &first_id).await.expect("a run");
    // A second server takes the same store over, as after a pause of the first that somebody took for its end.
    let settings = pay.server.settings.clone();
    let listener = TcpListener::bind(settings.listen).await.expect("a free port");
    let store = server::open_store(&settings.data).expect("the same disk");
    let second = server::start_on(settings, listener, store).await.expect("the second starts");
    let to_second = Wire::to(&format!("http://{}", second.address())).await.bearer(&pay.secret);

    let id = fresh();
    let refused = pay.pay.refused(&id, run_job("settle")).await;
    refused.expect(Code::Unavailable, "NO_OWNER");
    let answer = settle(&to_second, &id).await.expect("the owner executes it");
    assert_eq!(arrival(answer.header.as_ref()), (Disposition::Executed, 1));
    let known = settle(&to_second, &first_id).await.expect("and knows what the first did");
    assert_eq!(known.header.as_ref().map(v1::ResponseHeader::disposition), Some(Disposition::Replayed));
    assert_eq!(to_second.runs().await.len(), 2);
    // Nor does the former owner hand out any work.
    let former = RawWorker::open(&pay.pay, introduced.clone()).await.err().expect("nobody is there");
    assert_eq!(former.code(), Code::Unavailable);
    let mut worker = RawWorker::open(&to_second, introduced).await.expect("opens");
    worker.assignment().await;
    second.shutdown().await.expect("a clean end");
}

/// There: a worker knows by the run's id whether it has the run already, but only this worker knows. Here: the server
/// says whose an attempt is. A second worker that claims it is told otherwise, and cannot report on it.
#[tokio::test]
async fn row_f_another_worker_does_not_know_that_the_run_is_taken() {
    let (pay, _) = still().await;
    let mut owner = open(&pay, &hello("echo", 1)).await;
    let run_id = queue(&pay).await;
    let assignment = owner.assignment().await;
    let mut other = open(&pay, &again(&hello("echo", 1), &[&assignment])).await;
    assert_eq!(other.opened.stale, [refers_to(&assignment)]);
    let refused = other.submit(&fresh(), succeeded(&assignment, "")).await.expect_err("it is not its own");
    refused.expect(Code::FailedPrecondition, "LEASE_STALE");
    assert!(other.unasked().await.is_empty());
    let id = fresh();
    let first = owner.submit(&id, succeeded(&assignment, "")).await.expect("it is its own");
    let again = owner.submit(&id, succeeded(&assignment, "")).await.expect("a report may be sent again");
    assert_eq!((first.disposition(), again.disposition()), (Disposition::Executed, Disposition::Replayed));
    assert_eq!(attempts(&run(&pay, &run_id).await), [(1, AttemptState::Succeeded)]);
}

/// There: parts of a run are handed out again after 15 or 60 s. Parts of runs are still to come here; what there is, an
/// attempt that its worker gives back, is handed out once more and not twice, however often that is said.
#[tokio::test]
async fn row_g_a_part_is_handed_out_again() {
    let (pay, _) = still().await;
    let introduced = hello("echo", 1);
    let mut worker = open(&pay, &introduced).await;
    let run_id = queue(&pay).await;
    let first = worker.assignment().await;
    let id = fresh();
    worker.submit(&id, given_back(&first)).await.expect("it is taken");
    let second = worker.assignment().await;
    assert_eq!(second.attempt, 2);
    let again = worker.submit(&id, given_back(&first)).await.expect("a replay");
    assert_eq!(again.disposition(), Disposition::Replayed);
    let refused = worker.submit(&fresh(), given_back(&first)).await.expect_err("the first attempt is closed");
    refused.expect(Code::FailedPrecondition, "LEASE_STALE");
    assert!(worker.unasked().await.is_empty());
    worker.report(succeeded(&second, "")).await;
    assert_eq!(attempts(&run(&pay, &run_id).await), [(1, AttemptState::Released), (2, AttemptState::Succeeded)]);
}

/// There: two who repeat a run at once both do, for nothing is compared before it is set. Here: one call is one call;
/// and of many different ones at once, exactly one starts the attempt that waits.
#[tokio::test]
async fn row_h_a_run_is_repeated_by_two_at_once() {
    let (pay, _) = still().await;
    let retry = v1::RetryPolicy { max_attempts: 5, initial_backoff: seconds(3600), ..Default::default() };
    let create = v1::CreateJobRequest {
        job: "patient".to_owned(),
        spec: Some(v1::JobSpec { retry: Some(retry), ..spec("slow") }),
        ..Default::default()
    };
    pay.pay.served(&fresh(), create).await;
    let run_id = pay.pay.served(&fresh(), run_job("patient")).await.run_id;
    let mut worker = open(&pay, &hello("slow", 4)).await;
    let first = worker.assignment().await;
    worker.report(failed_plainly(&first)).await;
    assert_eq!(run(&pay, &run_id).await.state(), RunState::Retrying);
    let request = || v1::RetryRunRequest { run_id: run_id.clone(), ..Default::default() };
    let mut calls = JoinSet::new();
    for _ in 0..32 {
        let (wire, request) = (pay.pay.clone(), request());
        calls.spawn(async move { wire.send(&fresh(), request).await });
    }
    let answers = calls.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "one starts it, all others come too late");
    let second = worker.assignment().await;
    assert_eq!((second.run_id.as_str(), second.attempt), (run_id.as_str(), 2));
    assert!(worker.unasked().await.is_empty());
    worker.report(succeeded(&second, "")).await;

    // What has ended stays what it is. One call, sent by two at once, makes one run that names it.
    let id = fresh();
    let mut calls = JoinSet::new();
    for _ in 0..32 {
        let (wire, id, request) = (pay.pay.clone(), id.clone(), request());
        calls.spawn(async move { wire.served(&id, request).await });
    }
    let answers = calls.join_all().await;
    assert!(answers.iter().all(|answer| answer.created && answer.run_id == answers[0].run_id));
    let runs = pay.pay.runs().await;
    assert_eq!(runs.len(), 2);
    assert_eq!((runs[0].retry_of.as_str(), runs[1].state()), (run_id.as_str(), RunState::Succeeded));
}

/// There: a report may come before the run is marked as handed out, and the server sleeps 277 ms in the hope that it
/// will be. Here: the worker learns of an attempt after its commit, so a report finds it however early it comes.
#[tokio::test]
async fn row_i_the_report_comes_before_the_run_is_marked() {
    let pay = PayByWire::start().await;
    let mut worker = open(&pay, &hello("echo", 1000)).await;
    let mut calls = JoinSet::new();
    for _ in 0..200 {
        let wire = pay.pay.clone();
        calls.spawn(async move { settle(&wire, &fresh()).await.expect("a run") });
    }
    let mut ids = Vec::new();
    for _ in 0..200 {
        let assignment = worker.assignment().await;
        let id = fresh();
        worker.say_as(&id, v1::work_request::Kind::Report(succeeded(&assignment, ""))).await;
        ids.push(id);
    }
    for id in &ids {
        let header = worker.acknowledged(id).await.expect("each finds its attempt");
        assert_eq!(header.disposition(), Disposition::Executed);
        assert_eq!(auth_status(Some(&header)), v1::AuthStatus::Passed);
    }
    calls.join_all().await;
    let runs = pay.pay.runs().await;
    assert!(runs.iter().all(|run| attempts(run) == [(1, AttemptState::Succeeded)]));
    assert_eq!(runs.len(), 200);
}

/// A store that is new is nobody's: an id from before it was made is not executed twice because nobody remembers it.
/// What is lost with a disk is lost; that it was, the server cannot know. This is the nearest that can be said: the two
/// stores are two servers, and an id executes once in each.
#[tokio::test]
async fn beyond_the_rows_an_id_is_remembered_by_its_store() {
    let (mut pay, clock) = still().await;
    let id = id_at(wall(&clock));
    settle(&pay.pay, &id).await.expect("a run");
    pay.restart().await;
    let again = settle(&pay.pay, &id).await.expect("a replay");
    assert_eq!(again.header.as_ref().map(v1::ResponseHeader::disposition), Some(Disposition::Replayed));
    arrivals_of_the_one_run(&pay).await;
    let elsewhere =
        PayByWire::on(TestServer::with(|settings| settings.data = server::Data::Memory(Memory::new())).await).await;
    let other = settle(&elsewhere.pay, &id).await.expect("another server");
    assert_eq!(arrival(other.header.as_ref()), (Disposition::Executed, 1));
}
