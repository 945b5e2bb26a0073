//! What is left of a process that was killed without a word: of the server, every call that it acknowledged and not one
//! twice; of a worker, a run that another one ends.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use semel_client::{
    Client, RequestId,
    v1::{self, AttemptState, Disposition, RequestState, RunState},
};
use tokio::{task::JoinSet, time::Instant};

use super::{
    binary::{ServerProcess, signal, some_moment, until},
    fire::{all_runs, number_from, runs_until, whole_machine},
    harness::{in_time, job, run_job, spec},
    raw_worker::{RawWorker, hello_again, succeeded},
    wire::{Wire, fresh},
};

/// Callers at once, and the connections that they share.
const CALLERS: usize = 256;
const CONNECTIONS: usize = 8;
/// Calls of one caller in one round at most: all that was made is looked at one by one, and all of it again at the end.
const CALLS_MAX: usize = 3;
/// The server is killed within so long after the callers have begun; sooner where they are done by then.
const KILLED_WITHIN: Duration = Duration::from_millis(400);
/// In one round out of so many it is killed while it starts, up to so often.
const STARTING_ONE_IN: u32 = 3;
const STARTS_KILLED_MAX: u32 = 3;
/// How long callers go on who do not give up when a server dies.
const STUBBORN: Duration = Duration::from_secs(10);

/// A call of a caller, and the run that it was told of, if it was told.
#[derive(Clone)]
struct Told {
    id: RequestId,
    run_id: Option<String>,
}

/// Submits until the server is gone, or for so many calls.
async fn submit(client: Client) -> Vec<Told> {
    let mut told = Vec::new();
    for _ in 0..CALLS_MAX {
        let id = client.mint_request_id();
        let run_id = client.with_request_id(id).run_job(run_job("settle")).await.ok().map(|answer| answer.run_id);
        let cut = run_id.is_none();
        told.push(Told { id, run_id });
        if cut {
            break;
        }
    }
    told
}

fn callers(client: impl Fn() -> Client) -> JoinSet<Vec<Told>> {
    let clients: Vec<Client> = (0..CONNECTIONS).map(|_| client()).collect();
    (0..CALLERS).map(|number| submit(clients[number % CONNECTIONS].clone())).collect()
}

/// A server that is killed again and again, and what it owes to its callers.
struct Killed {
    server: ServerProcess,
    random: fastrand::Rng,
    /// How long the last start took.
    start: Duration,
    /// Within how long it is killed.
    within: Duration,
    /// The run of each call that was settled, by its id.
    made: BTreeMap<String, String>,
    cut: usize,
    lost: usize,
}

impl Killed {
    fn moment(&mut self, within: Duration) -> Duration {
        within.mul_f64(self.random.f64())
    }

    async fn start_again(&mut self) {
        let begun = Instant::now();
        self.server.start_again().await;
        self.start = begun.elapsed();
    }

    /// Killed under load: every caller is cut in the middle of a call, or between two.
    async fn under_load(&mut self) -> Vec<Told> {
        let callers = callers(|| self.server.blunt("pay"));
        let moment = self.moment(self.within);
        some_moment(moment).await;
        self.server.kill().await;
        let told: Vec<Told> = in_time(callers.join_all()).await.into_iter().flatten().collect();
        if told.iter().all(|told| told.run_id.is_some()) {
            self.within = moment;
        }
        told
    }

    /// Killed while it starts, several times, before callers who send their calls again until they are answered; and once
    /// more after they were.
    async fn while_it_starts(&mut self) -> Vec<Told> {
        let stubborn =
            self.server.options().app("pay").credentials(self.server.credentials()).overall_timeout(STUBBORN);
        let callers = callers(|| Client::connect_lazy(stubborn.clone()).expect("options"));
        some_moment(self.moment(self.within / 4)).await;
        self.server.kill().await;
        for _ in 0..self.random.u32(1..=STARTS_KILLED_MAX) {
            self.server.spawn();
            some_moment(self.moment(self.start)).await;
            self.server.kill().await;
        }
        self.start_again().await;
        let told = in_time(callers.join_all()).await.into_iter().flatten().collect();
        self.server.kill().await;
        told
    }

    /// Looks at every call of a round after the restart. What is there is there for both, as a run and as a record, and is
    /// shown again; what is not is done now.
    async fn settle(&mut self, told: Vec<Told>) {
        let client = self.server.blunt("pay");
        let runs = runs_until(&client, |id| self.made.contains_key(id)).await;
        let there: BTreeMap<String, String> = runs.iter().cloned().collect();
        assert_eq!(there.len(), runs.len(), "a call was doubled");
        let asked: BTreeSet<String> = told.iter().map(|told| told.id.to_string()).collect();
        assert!(there.keys().all(|id| asked.contains(id)), "there are runs that nobody asked for");
        self.cut += told.iter().filter(|told| told.run_id.is_none()).count();
        self.lost += asked.len() - there.len();
        let mut settling = JoinSet::new();
        for told in told {
            let (client, run_id) = (client.clone(), there.get(&told.id.to_string()).cloned());
            settling.spawn(async move { settle(&client, told, run_id).await });
        }
        self.made.extend(in_time(settling.join_all()).await);
    }

    /// All calls of all rounds: one run each, and each is shown again.
    async fn reckon(self) {
        let client = self.server.blunt("pay");
        let found = all_runs(&client).await;
        assert_eq!(found.len(), self.made.len(), "one run for each call");
        assert!(found.into_iter().collect::<BTreeMap<_, _>>() == self.made, "and it is the one that was told of");
        let mut calls = self.made.iter().peekable();
        while calls.peek().is_some() {
            let mut again = JoinSet::new();
            for (id, run_id) in calls.by_ref().take(CALLERS) {
                let (client, id, run_id) = (client.clone(), id.parse().expect("an id"), run_id.clone());
                again.spawn(async move { retry(&client, id, Disposition::Replayed, Some(&run_id)).await });
            }
            in_time(again.join_all()).await;
        }
    }
}

/// The first retry of a call after the restart, given the run that it had made by then. Gives its id, and the run that it
/// has now.
async fn settle(client: &Client, told: Told, made: Option<String>) -> (String, String) {
    let id = told.id;
    assert!(made.is_some() || told.run_id.is_none(), "an acknowledged call is lost: {id}");
    assert!(told.run_id.is_none() || told.run_id == made, "{id} has another run than it was told of");
    let look = v1::GetRequestRequest { target_request_id: id.to_string(), ..Default::default() };
    let record = client.get_request(look).await.expect("an answer").request.expect("a record");
    let (state, disposition) = match made {
        Some(_) => (RequestState::Done, Disposition::Replayed),
        None => (RequestState::Unknown, Disposition::Executed),
    };
    assert_eq!(record.state(), state, "{id}: run and record are there together or not at all");
    (id.to_string(), retry(client, id, disposition, made.as_ref()).await)
}

async fn retry(client: &Client, id: RequestId, wanted: Disposition, made: Option<&String>) -> String {
    let answer = client.with_request_id(id).run_job(run_job("settle")).await.expect("an answer");
    assert_eq!(answer.header.expect("a header").disposition(), wanted, "{id}");
    assert!(made.is_none_or(|made| *made == answer.run_id), "{id} has another run than before");
    answer.run_id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_at_any_moment_has_done_each_call_once() {
    let _machine = whole_machine().await;
    let rounds = number_from("SEMEL_CRASH_ROUNDS", 6);
    let seed = number_from("SEMEL_CRASH_SEED", fastrand::usize(..));
    println!("SEMEL_CRASH_ROUNDS={rounds} SEMEL_CRASH_SEED={seed}");
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = ServerProcess::start_nothing(folder.path());
    let begun = Instant::now();
    server.start_again().await;
    let start = begun.elapsed();
    let create = v1::CreateAppRequest { app: "pay".to_owned(), ..Default::default() };
    server.admin().create_app(create).await.expect("made");
    job(&server.blunt("pay"), "settle", v1::JobSpec { max_running: 1, ..spec("p") }).await;

    let random = fastrand::Rng::with_seed(seed as u64);
    let within = KILLED_WITHIN;
    let mut killed = Killed { server, random, start, within, made: BTreeMap::new(), cut: 0, lost: 0 };
    for _ in 0..rounds {
        let told = match killed.random.u32(..STARTING_ONE_IN) {
            0 => killed.while_it_starts().await,
            _ => killed.under_load().await,
        };
        killed.start_again().await;
        killed.settle(told).await;
    }
    let (made, cut, lost) = (killed.made.len(), killed.cut, killed.lost);
    println!("{made} calls, {cut} cut, of which {lost} without effect; the last start took {:?}", killed.start);
    assert!(cut > 0, "no call was ever cut: this test shows nothing");
    assert!(lost < cut, "no call ever took effect and was cut before its answer: this test shows nothing");
    killed.reckon().await;
}

#[tokio::test]
async fn a_crash_in_the_first_start_locks_nobody_out() {
    for moment in 0..12 {
        let folder = tempfile::tempdir().expect("a folder");
        let mut server = ServerProcess::start_nothing(folder.path());
        server.spawn();
        // From the first file to the last: each round is cut a little later in the course of the start.
        let mark = ["data/lock", "data/keys.json", "data/admin-secret.pending", "data/admin-secret"][moment % 4];
        // Some of these files are there for a moment only.
        let seen = [folder.path().join(mark), folder.path().join("ready")];
        until(async || seen.iter().any(|file| file.exists()).then_some(())).await;
        some_moment(Duration::from_micros(500 * u64::try_from(moment / 4).expect("small"))).await;
        server.kill().await;
        server.start_again().await;
        let listed = server.blunt("system").list_apps(v1::ListAppsRequest::default()).await;
        listed.unwrap_or_else(|error| panic!("cut at {mark} ({moment}): {error}"));
        assert!(!folder.path().join("data/admin-secret.pending").exists());
    }
}

/// A job whose runs begin by writing a line and end when a file is there.
async fn gated_job(server: &ServerProcess, folder: &Path) -> Client {
    server
        .admin()
        .create_app(v1::CreateAppRequest { app: "pay".to_owned(), ..Default::default() })
        .await
        .expect("made");
    let client = server.blunt("pay");
    let script = "echo begun >> begun; while [ ! -e go ]; do sleep 0.02; done; echo done";
    let input = serde_json::json!({ "argv": ["/bin/sh", "-c", format!("cd '{}'; {script}", folder.display())] });
    let payload = v1::Payload { data: input.to_string().into(), content_type: "application/json".to_owned() };
    job(&client, "settle", v1::JobSpec { payload: Some(payload), ..spec("exec") }).await;
    client
}

async fn begun(folder: &Path, times: usize) {
    until(async || {
        let text = std::fs::read_to_string(folder.join("begun")).unwrap_or_default();
        (text.lines().count() >= times).then_some(())
    })
    .await;
}

async fn run_of(client: &Client, run_id: &str) -> v1::Run {
    let request = v1::GetRunRequest { run_id: run_id.to_owned(), ..Default::default() };
    client.get_run(request).await.expect("an answer").run.expect("a run")
}

fn states(run: &v1::Run) -> (RunState, Vec<AttemptState>) {
    (run.state(), run.attempts.iter().map(v1::Attempt::state).collect())
}

const SHORT_LEASE: [(&str, &str); 1] = [("SEMEL_ENGINE_LEASE", "2s")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_run_of_a_killed_worker_goes_to_another_and_ends_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = ServerProcess::start(folder.path(), &SHORT_LEASE).await;
    let client = gated_job(&server, folder.path()).await;
    let mut first = server.worker("pay", "first");
    let run_id = client.run_job(run_job("settle")).await.expect("made").run_id;
    begun(folder.path(), 1).await;
    first.kill().await.expect("killed");
    let _second = server.worker("pay", "second");
    begun(folder.path(), 2).await;
    std::fs::write(folder.path().join("go"), "").expect("written");
    let run = in_time(client.wait_until_finished("pay", &run_id)).await.expect("an answer");
    assert_eq!(states(&run), (RunState::Succeeded, vec![AttemptState::Lost, AttemptState::Succeeded]));
    assert_eq!((run.attempts[0].worker_name.as_str(), run.attempts[1].worker_name.as_str()), ("first", "second"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_wakes_after_its_lease_has_no_say_any_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = ServerProcess::start(folder.path(), &SHORT_LEASE).await;
    let client = gated_job(&server, folder.path()).await;
    let mut paused = server.worker("pay", "paused");
    let run_id = client.run_job(run_job("settle")).await.expect("made").run_id;
    begun(folder.path(), 1).await;
    signal(&paused, "STOP").await;
    let mut second = server.worker("pay", "second");
    begun(folder.path(), 2).await;
    // Both end now: the program of the paused worker as well, which is only told when it wakes.
    std::fs::write(folder.path().join("go"), "").expect("written");
    let run = in_time(client.wait_until_finished("pay", &run_id)).await.expect("an answer");
    assert_eq!(states(&run), (RunState::Succeeded, vec![AttemptState::Lost, AttemptState::Succeeded]));
    let before = run_of(&client, &run_id).await;

    signal(&paused, "CONT").await;
    // It works again: with the other one gone, the next run is its own in the end. The server may learn a moment later
    // that the other one is gone, and hand it the run first.
    second.kill().await.expect("killed");
    let next = client.run_job(run_job("settle")).await.expect("made").run_id;
    let next = in_time(client.wait_until_finished("pay", &next)).await.expect("an answer");
    let last = next.attempts.last().expect("an attempt");
    assert_eq!((next.state(), last.worker_name.as_str()), (RunState::Succeeded, "paused"));
    assert_eq!(run_of(&client, &run_id).await, before, "what it had to say late changed nothing");
    paused.kill().await.expect("killed");

    // The late report, word for word, from the worker that held the attempt.
    let secret = std::fs::read_to_string(server.secret_file()).expect("the secret");
    let wire = Wire::to(&format!("http://{}", server.address)).await.bearer(secret.trim_end());
    let hello = hello_again(&before.attempts[0].worker_id, "exec", 0);
    let mut late = RawWorker::open(&wire, hello).await.expect("the stream opens");
    let assignment = v1::Assignment { run_id: run_id.clone(), attempt: 1, ..Default::default() };
    let refused = late.submit(&fresh(), succeeded(&assignment, "late")).await.expect_err("refused");
    assert_eq!(refused.reason, "LEASE_STALE");
    assert_eq!(run_of(&client, &run_id).await, before);
}
