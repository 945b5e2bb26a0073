//! Under fire: many calls by many callers while everything goes wrong that may, and the reckoning afterwards: each call
//! answered, one run for each, none more. What these tests share stands here; which fire it is, in a file each.

mod gateway;
mod ground;
mod modes;
mod proxies;
mod streams;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use semel_client::{
    Client, Error, Options, RequestId,
    v1::{self, AuthStatus, Disposition, RequestHeader, RequestState},
};
use tokio::{
    sync::{Mutex, MutexGuard, watch},
    task::JoinSet,
};

use super::{
    harness::run_job,
    wire::{arrival, auth_status},
};

/// Callers at once.
const CALLERS: usize = 96;
/// The clients that they share, so that a cut connection meets some of them.
const CLIENTS: usize = 6;
/// An answer that takes longer is not waited for.
const REQUEST_TIMEOUT: Duration = Duration::from_millis(700);
/// A caller whose client has given up by itself tries again so often at most: only then is something wrong.
const TRIES_MAX: u32 = 50;

/// How many calls each of these tests makes. The gate makes 10,000.
fn calls() -> usize {
    number_from("SEMEL_FIRE_CALLS", 1500)
}

/// A number that the environment may set.
pub(crate) fn number_from(variable: &str, otherwise: usize) -> usize {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{variable} is no number")))
}

/// To be held by each test that takes the whole machine: two of them at once would only wait for each other.
pub(crate) async fn whole_machine() -> MutexGuard<'static, ()> {
    static MACHINE: Mutex<()> = Mutex::const_new(());
    MACHINE.lock().await
}

/// How a run travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum By {
    /// By a call. While many of these are under way on a client, they share its stream by themselves.
    Call,
    /// Submitted: over the client's stream whenever that is to be had.
    Stream,
}

/// What a caller learnt of its call in the end.
#[derive(Clone, Debug)]
struct Answered {
    id: RequestId,
    /// Which client made it.
    client: usize,
    run_id: String,
    replayed: bool,
    arrivals: i64,
    auth: AuthStatus,
    /// When the credentials end, in seconds.
    expires: i64,
    /// How often the client gave up before.
    given_up: u32,
}

/// Calls `settle` under one id until it is known what became of it.
async fn call(client: &Client, number: usize, by: By) -> Answered {
    let id = client.mint_request_id();
    let mut known_done = false;
    for given_up in 0..TRIES_MAX {
        match once(client, id, by).await {
            Ok(answer) => {
                let header = answer.header.as_ref();
                let (disposition, arrivals) = arrival(header);
                let replayed = disposition == Disposition::Replayed;
                assert!(replayed || !known_done, "{id} was done before, and executed again");
                let ends = header.and_then(|header| header.auth.as_ref()?.expire_time);
                return Answered {
                    id,
                    client: number,
                    run_id: answer.run_id,
                    replayed,
                    arrivals,
                    auth: auth_status(header),
                    expires: ends.map_or(0, |time| time.seconds),
                    given_up,
                };
            }
            Err(error) => known_done |= is_done(client, id, &error).await,
        }
    }
    panic!("{id} is not answered after {TRIES_MAX} calls with all their retries");
}

/// One logical call, with all its retries.
pub(crate) async fn once(client: &Client, id: RequestId, by: By) -> Result<v1::RunJobResponse, Error> {
    match by {
        By::Call => client.with_request_id(id).run_job(run_job("settle")).await,
        By::Stream => {
            let header = Some(RequestHeader { request_id: id.to_string(), ..Default::default() });
            client.submit_runs().submit(v1::RunJobRequest { header, ..run_job("settle") }).await?.await
        }
    }
}

/// What a caller does whose client has given up: it asks what became of the call.
async fn is_done(client: &Client, id: RequestId, error: &Error) -> bool {
    let reason = error.reason().unwrap_or_default();
    assert!(!reason.starts_with("REQUEST_ID"), "the id is good: {error}");
    let look = v1::GetRequestRequest { target_request_id: id.to_string(), ..Default::default() };
    let found = client.get_request(look).await.ok().and_then(|answer| answer.request);
    // Without an answer, or while it is under way, the caller knows as much as before.
    found.is_some_and(|record| record.state() == RequestState::Done)
}

/// Makes so many calls, by many callers at once; `answers` says how many are answered by now.
async fn fire(options: impl Fn() -> Options, calls: usize, answers: &watch::Sender<usize>) -> Vec<Answered> {
    let clients: Vec<Client> = (0..CLIENTS).map(|_| hasty(options().connections(2))).collect();
    let begun = Arc::new(AtomicUsize::new(0));
    let mut callers = JoinSet::new();
    for number in 0..CALLERS {
        let (number, client) = (number % CLIENTS, clients[number % CLIENTS].clone());
        let (begun, answers) = (Arc::clone(&begun), answers.clone());
        callers.spawn(async move {
            let mut answered = Vec::new();
            while begun.fetch_add(1, Ordering::SeqCst) < calls {
                answered.push(call(&client, number, By::Call).await);
                answers.send_modify(|count| *count += 1);
            }
            answered
        });
    }
    callers.join_all().await.into_iter().flatten().collect()
}

/// A client that does not wait long.
fn hasty(options: Options) -> Client {
    let options = options.request_timeout(REQUEST_TIMEOUT).overall_timeout(Duration::from_secs(20));
    Client::connect_lazy(options).expect("options")
}

/// Waits until so many calls are answered.
async fn answered(answers: &watch::Sender<usize>, count: usize) {
    answers.subscribe().wait_for(|answered| *answered >= count).await.expect("the test holds the other end");
}

/// All runs of the app: the id of the request that made each, and its own.
pub(crate) async fn all_runs(client: &Client) -> Vec<(String, String)> {
    runs_until(client, |_| false).await
}

/// The runs of the app from the newest back to the first that is known.
pub(crate) async fn runs_until(client: &Client, known: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    let (mut runs, mut page_token) = (Vec::new(), String::new());
    loop {
        let page = Some(v1::PageRequest { page_size: 1000, page_token });
        let listed = client.list_runs(v1::ListRunsRequest { page, ..Default::default() }).await.expect("a list");
        for run in listed.runs {
            if known(&run.request_id) {
                return runs;
            }
            runs.push((run.request_id, run.run_id));
        }
        page_token = listed.page.unwrap_or_default().next_page_token;
        if page_token.is_empty() {
            return runs;
        }
    }
}

/// The reckoning: as many runs as calls, each made by another call, and each caller was told of its own.
async fn reckon(direct: &Client, answered: &[Answered], calls: usize) {
    assert_eq!(answered.len(), calls, "each call is answered");
    let told: BTreeMap<String, String> =
        answered.iter().map(|answer| (answer.id.to_string(), answer.run_id.clone())).collect();
    assert_eq!(told.len(), calls, "each under an id of its own");
    let runs = all_runs(direct).await;
    assert_eq!(runs.len(), calls, "exactly as many runs as calls");
    let distinct: BTreeSet<&String> = runs.iter().map(|(_, run_id)| run_id).collect();
    assert_eq!(distinct.len(), calls, "each with an id of its own");
    assert!(runs.into_iter().collect::<BTreeMap<_, _>>() == told, "each caller was told of the run of its call");
}
