//! The client's watch.

use std::{collections::BTreeMap, time::Duration};

use semel_client::{
    Client, Credentials, RetryOptions, WatchOptions,
    v1::{self, RunState, SnapshotScope, event::Subject},
    watch::{ResumeToken, SnapshotCause, Told},
};
use semel_core::id::Millis;
use semel_faults::{Fault, Plan, Port, Proxy};

use super::{Heard, echo, make, next, opened};
use crate::e2e::{
    crew::PayByClient,
    faults::faulty,
    harness::{in_time, job, spec},
};

/// How many runs are watched through breaks.
const RUNS: usize = 3000;

async fn pay() -> PayByClient {
    let pay = PayByClient::start().await;
    job(&pay.client, "settle", spec("echo")).await;
    pay
}

/// Streams that are refused, reset and cut off with their connections, again and again.
fn breaks() -> Plan {
    let plan = Plan::calm().seed(4).with(Fault::ResetWithin, 500).with(Fault::CutAfter, 200);
    plan.with(Fault::Refuse, 60).with(Fault::ResetBefore, 60).with(Fault::CutBefore, 30)
}

/// A client that comes back quickly, behind a proxy.
async fn behind(proxy: &Proxy, pay: &PayByClient) -> Client {
    let retry = RetryOptions {
        backoff_first: Duration::from_millis(1),
        backoff_max: Duration::from_millis(20),
        ..RetryOptions::default()
    };
    let credentials = Credentials::Secret { app: "pay".to_owned(), secret: pay.secret.clone() };
    let options = semel_client::Options::new(proxy.endpoint()).app("pay").credentials(credentials).retry(retry);
    Client::connect_lazy(options).expect("options")
}

#[tokio::test]
async fn through_cuts_and_resets_every_step_of_thousands_of_runs_comes_once_and_in_order() {
    let pay = pay().await;
    let proxy = faulty(&pay.server, breaks()).await;
    let client = behind(&proxy, &pay).await;
    let mut all = client.watch(WatchOptions::new());
    let mut ends = client.watch(WatchOptions::new().job("settle").terminal_only());
    opened(&mut all).await;
    opened(&mut ends).await;
    let worker = echo(&pay.client);
    let made = tokio::spawn({
        let client = pay.client.clone();
        async move { make(&client, RUNS).await }
    });
    let all = tokio::spawn(async move {
        let mut heard = Heard::default();
        heard.until(&mut all, RUNS).await;
        heard
    });
    let mut told: BTreeMap<String, i64> = BTreeMap::new();
    while told.len() < RUNS {
        let item = next(&mut ends).await;
        let Some(event) = item.event() else { continue };
        let Some(Subject::Run(run)) = &event.subject else { panic!("{event:?}") };
        assert_eq!(run.to_state(), RunState::Succeeded);
        assert!(told.insert(run.run_id.clone(), event.revision).is_none(), "{} has ended twice", run.run_id);
    }
    let mut ids = in_time(made).await.expect("they are made");
    ids.sort();
    assert!(ids.iter().eq(told.keys()), "each run that was made has ended once");
    let heard = in_time(all).await.expect("it hears all");
    // Made, started, ended.
    assert_eq!((heard.states.len(), heard.events), (RUNS, 3 * RUNS));
    let broken = proxy.counts().faults.values().sum::<u64>();
    assert!(broken > 10, "only {broken} streams were broken off");
    worker.abort();
}

#[tokio::test]
async fn a_program_that_stops_again_and_again_goes_on_with_the_next_event() {
    let pay = pay().await;
    let mut watch = pay.client.watch(WatchOptions::new());
    opened(&mut watch).await;
    let worker = echo(&pay.client);
    make(&pay.client, 400).await;
    let mut heard = Heard::default();
    let mut random = fastrand::Rng::with_seed(9);
    while heard.ended < 400 {
        let mut stored = None;
        for _ in 0..random.usize(1..120) {
            let item = next(&mut watch).await;
            let Some(event) = item.event() else { continue };
            heard.hear(event);
            stored = item.resume_token().map(|token| token.to_string());
            if heard.ended == 400 {
                break;
            }
        }
        let Some(stored) = stored else { continue };
        let token: ResumeToken = stored.parse().expect("what was written down is read back");
        watch = pay.client.watch(WatchOptions::new().resume(token));
    }
    assert_eq!(heard.events, 3 * 400);
    worker.abort();
}

#[tokio::test]
async fn a_program_that_is_slow_loses_nothing_and_holds_up_no_other_call() {
    let pay = pay().await;
    let mut watch = pay.client.watch(WatchOptions::new().buffer_bytes(16 * 1024));
    opened(&mut watch).await;
    let worker = echo(&pay.client);
    let ids = make(&pay.client, 2000).await;
    // The same connection serves all of this while nobody takes what the watch has ready.
    in_time(pay.client.wait_until_finished("pay", ids.last().expect("one").as_str())).await.expect("it ends");
    let mut heard = Heard::default();
    heard.until(&mut watch, 2000).await;
    assert_eq!((heard.states.len(), heard.events), (2000, 6000));
    worker.abort();
}

#[tokio::test]
async fn a_restart_of_the_server_is_no_gap() {
    let port = Port::reserve().expect("a free port");
    let mut pay = PayByClient::with(|settings| settings.listen = port.address()).await;
    job(&pay.client, "settle", spec("echo")).await;
    let mut watch = pay.client.watch(WatchOptions::new().terminal_only());
    opened(&mut watch).await;
    let cancel = async |pay: &PayByClient| {
        let run_id = pay.submit("settle").await;
        pay.cancel(&run_id).await;
        run_id
    };
    let mut cancelled = vec![cancel(&pay).await];
    pay.server.restart().await;
    cancelled.push(cancel(&pay).await);
    for expected in cancelled {
        let event = loop {
            let item = next(&mut watch).await;
            if let Some(event) = item.event() {
                break event.clone();
            }
        };
        let Some(Subject::Run(run)) = event.subject else { panic!("{event:?}") };
        assert_eq!((run.run_id, run.to_state), (expected, RunState::Cancelled.into()));
    }
}

#[tokio::test]
async fn credentials_that_end_are_renewed_and_nothing_is_lost() {
    let (pay, clock) = PayByClient::with_manual_clock(|_| {}).await;
    job(&pay.client, "settle", spec("nobody")).await;
    let mut watch = pay.client.watch(WatchOptions::new());
    opened(&mut watch).await;
    for _ in 0..3 {
        let run_id = pay.submit("settle").await;
        let told = loop {
            if let Some(event) = next(&mut watch).await.event() {
                break event.subject.clone();
            }
        };
        assert!(matches!(told, Some(Subject::Run(run)) if run.run_id == run_id && run.from_state == 0));
        clock.advance(Millis::from_secs(2 * 3600));
        pay.tick().await;
    }
}

#[tokio::test]
async fn a_snapshot_tells_each_run_once_with_what_happens_meanwhile() {
    let pay = pay().await;
    let worker = echo(&pay.client);
    let before = make(&pay.client, 500).await;
    let client = pay.client.clone();
    let meanwhile = tokio::spawn(async move { make(&client, 500).await });
    let mut watch = pay.client.watch(WatchOptions::new().snapshot(SnapshotScope::All));
    let mut states: BTreeMap<String, RunState> = BTreeMap::new();
    let mut whole = false;
    let ended = |states: &BTreeMap<String, RunState>| states.values().filter(|s| **s == RunState::Succeeded).count();
    while !whole || ended(&states) < 1000 {
        match next(&mut watch).await.told {
            Told::SnapshotBegin(cause) => assert_eq!(cause, SnapshotCause::Asked),
            Told::Run(run) => assert!(states.insert(run.run_id.clone(), run.state()).is_none(), "told twice"),
            Told::SnapshotEnd { .. } => whole = true,
            Told::Event(event) => {
                if let Some(Subject::Run(run)) = event.subject {
                    // One that changed while the rows were read is not among them: only its events tell of it.
                    if let Some(before) = states.insert(run.run_id.clone(), run.to_state()) {
                        assert_eq!(before, run.from_state());
                    }
                }
            }
            _ => {}
        }
    }
    in_time(meanwhile).await.expect("they are made");
    assert_eq!((states.len(), states.contains_key(&before[0])), (1000, true));
    worker.abort();
}

#[tokio::test]
async fn what_may_not_be_watched_is_told_by_its_reason() {
    let pay = pay().await;
    pay.server.app("shop").await;
    let mut watch = pay.client.watch(WatchOptions::new().app("shop"));
    let error = in_time(watch.next()).await.expect("an error").expect_err("it is another's");
    assert_eq!((error.reason(), error.auth_status()), (Some("FORBIDDEN"), v1::AuthStatus::Forbidden));
    let mut watch = pay.client.watch(WatchOptions::new().start_at(1_000_000));
    let error = in_time(watch.next()).await.expect("an error").expect_err("it lies ahead");
    assert_eq!(error.violations().first().map(|(field, _)| field.as_str()), Some("from_revision"));
}
