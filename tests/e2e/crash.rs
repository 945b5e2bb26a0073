//! What is left of a process that was killed without a word: of the server, every call that it acknowledged and not one
//! twice; of a worker, a run that another one ends.

use std::{collections::BTreeMap, path::Path, time::Duration};

use semel_client::{
    Client, RequestId, RetryOptions,
    v1::{self, AttemptState, Disposition, RequestState, RunState},
};
use tokio::{sync::watch, task::JoinSet, time::Instant};

use super::{
    binary::{ServerProcess, signal, some_moment, until},
    fire::{By, all_runs, number_from, once, runs_until, whole_machine},
    harness::{in_time, job, run_job, spec},
    raw_worker::{RawWorker, hello_again, succeeded},
    wire::{Wire, fresh},
};

/// Callers at once, and the clients that they share: one half makes calls, the other submits runs over streams.
const CALLERS: usize = 256;
const CLIENTS: [By; 8] = [By::Call, By::Stream, By::Call, By::Stream, By::Call, By::Stream, By::Call, By::Stream];
/// Calls of one caller in one round at most: all that was made is looked at one by one, and all of it again at the end.
const CALLS_MAX: usize = 3;
/// The server is killed within so long after a number of answers that the dice say, while others are still under way; the
/// load is over too soon, or not begun, at most moments that a clock would say.
const KILLED_WITHIN: Duration = Duration::from_millis(10);
/// Where calls wait for a server that is not there, it goes within so long after the callers have begun.
const GONE_WITHIN: Duration = Duration::from_millis(100);
/// In one round out of so many it is killed while it starts, up to so often.
const STARTING_ONE_IN: u32 = 3;
const STARTS_KILLED_MAX: u32 = 3;
/// In so many rounds calls by either way are cut, before they took effect and after.
const ROUNDS_ENOUGH: usize = 30;
/// Fewer rounds go on until some call took effect and was cut, up to so many times as many.
const MORE_MAX: usize = 5;
/// How long callers go on who do not give up when a server dies.
const STUBBORN: Duration = Duration::from_secs(10);

/// A call of a caller, and the run that it was told of, if it was told.
#[derive(Clone, Debug)]
struct Told {
    by: By,
    id: RequestId,
    run_id: Option<String>,
}

/// Submits until the server is gone, or for so many calls.
async fn submit(client: Client, by: By, answers: watch::Sender<usize>) -> Vec<Told> {
    let mut told = Vec::new();
    for _ in 0..CALLS_MAX {
        let id = client.mint_request_id();
        let run_id = once(&client, id, by).await.ok().map(|answer| answer.run_id);
        let cut = run_id.is_none();
        told.push(Told { by, id, run_id });
        if cut {
            break;
        }
        answers.send_modify(|count| *count += 1);
    }
    told
}

/// Callers at once, and their clients.
struct Callers {
    clients: Vec<Client>,
    calls: JoinSet<Vec<Told>>,
    /// How many calls are answered by now.
    answers: watch::Sender<usize>,
}

impl Callers {
    fn begin(client: impl Fn(By) -> Client) -> Self {
        let clients: Vec<Client> = CLIENTS.into_iter().map(client).collect();
        let answers = watch::Sender::new(0);
        let submit = |number: usize| {
            let which = number % clients.len();
            submit(clients[which].clone(), CLIENTS[which], answers.clone())
        };
        Self { calls: (0..CALLERS).map(submit).collect(), clients, answers }
    }

    /// What they were told in the end, and how many answers came over streams.
    async fn end(self) -> (Vec<Told>, u64) {
        let told = in_time(self.calls.join_all()).await.into_iter().flatten().collect();
        (told, self.clients.iter().map(Client::streamed_runs).sum())
    }
}

/// What a server that was killed owes to its callers, given the runs that are there: the request id and the run id of
/// each. Says what it has broken.
fn owed(told: &[Told], runs: &[(String, String)]) -> Result<(), String> {
    let there: BTreeMap<&String, &String> = runs.iter().map(|(id, run_id)| (id, run_id)).collect();
    if there.len() != runs.len() {
        return Err("a call was doubled".to_owned());
    }
    let told: BTreeMap<String, &Told> = told.iter().map(|told| (told.id.to_string(), told)).collect();
    if let Some(foreign) = there.keys().find(|id| !told.contains_key(**id)) {
        return Err(format!("there is a run that nobody asked for: {foreign}"));
    }
    for (id, told) in told {
        match (&told.run_id, there.get(&id)) {
            (Some(_), None) => return Err(format!("an acknowledged call is lost: {id}")),
            (Some(told), Some(made)) if told != *made => {
                return Err(format!("{id} has another run than it was told of"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// How many calls were cut, and how many of those had taken effect.
#[derive(Clone, Copy, Debug, Default)]
struct Cut {
    cut: usize,
    in_effect: usize,
}

impl Cut {
    fn and(self, other: Self) -> Self {
        Self { cut: self.cut + other.cut, in_effect: self.in_effect + other.in_effect }
    }
}

/// A server that is killed again and again, and what it owes to its callers.
struct Killed {
    server: ServerProcess,
    random: fastrand::Rng,
    /// How long the last start took.
    start: Duration,
    /// The run of each call that was settled, by its id.
    made: BTreeMap<String, String>,
    cut: BTreeMap<By, Cut>,
    /// Answers that came over streams.
    streamed: u64,
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

    /// A client that takes the first word of the server.
    fn blunt(&self, by: By) -> Client {
        let options = self.server.options().app("pay").credentials(self.server.credentials());
        let options = options.retry(RetryOptions::none()).stream_under_load(by == By::Stream);
        Client::connect_lazy(options).expect("options")
    }

    /// Killed under load: every caller is cut in the middle of a call, or between two.
    async fn under_load(&mut self) -> Vec<Told> {
        let callers = Callers::begin(|by| self.blunt(by));
        let enough = self.random.usize(..CALLERS * (CALLS_MAX - 1));
        in_time(callers.answers.subscribe().wait_for(|answers| *answers >= enough)).await.expect("it is held here");
        some_moment(self.moment(KILLED_WITHIN)).await;
        self.server.kill().await;
        let (told, streamed) = callers.end().await;
        self.streamed += streamed;
        told
    }

    /// Killed while it starts, several times, before callers who send their calls again until they are answered; and once
    /// more after they were.
    async fn while_it_starts(&mut self) -> Vec<Told> {
        let stubborn =
            self.server.options().app("pay").credentials(self.server.credentials()).overall_timeout(STUBBORN);
        let stubborn = |by| stubborn.clone().stream_under_load(by == By::Stream);
        let callers = Callers::begin(|by| Client::connect_lazy(stubborn(by)).expect("options"));
        some_moment(self.moment(GONE_WITHIN)).await;
        self.server.kill().await;
        for _ in 0..self.random.u32(1..=STARTS_KILLED_MAX) {
            self.server.spawn();
            some_moment(self.moment(self.start)).await;
            self.server.kill().await;
        }
        self.start_again().await;
        let (told, streamed) = callers.end().await;
        self.streamed += streamed;
        self.server.kill().await;
        told
    }

    /// Looks at every call of a round after the restart. What is there is there for both, as a run and as a record, and is
    /// shown again; what is not is done now. The first to ask again comes by the way that the call did not take: an id is
    /// the same call by either.
    async fn settle(&mut self, told: Vec<Told>) {
        let (by_call, by_stream) = (self.blunt(By::Call), self.blunt(By::Stream));
        let runs = runs_until(&by_call, |id| self.made.contains_key(id)).await;
        owed(&told, &runs).unwrap_or_else(|broken| panic!("{broken}"));
        let there: BTreeMap<String, String> = runs.into_iter().collect();
        let mut settling = JoinSet::new();
        for told in told {
            let run_id = there.get(&told.id.to_string()).cloned();
            if told.run_id.is_none() {
                let cut = self.cut.entry(told.by).or_default();
                cut.cut += 1;
                cut.in_effect += usize::from(run_id.is_some());
            }
            let (client, by) = match told.by {
                By::Call => (by_stream.clone(), By::Stream),
                By::Stream => (by_call.clone(), By::Call),
            };
            settling.spawn(async move { settle(&client, told.id, by, run_id).await });
        }
        self.made.extend(in_time(settling.join_all()).await);
    }

    /// What was cut by either way, together.
    fn all_cut(&self) -> Cut {
        self.cut.values().fold(Cut::default(), |sum, cut| sum.and(*cut))
    }

    /// All calls of all rounds: one run each, and each is shown again.
    async fn reckon(self) {
        let client = self.blunt(By::Call);
        let found = all_runs(&client).await;
        assert_eq!(found.len(), self.made.len(), "one run for each call");
        assert!(found.into_iter().collect::<BTreeMap<_, _>>() == self.made, "and it is the one that was told of");
        let mut calls = self.made.iter().peekable();
        while calls.peek().is_some() {
            let mut again = JoinSet::new();
            for (id, run_id) in calls.by_ref().take(CALLERS) {
                let (client, id, run_id) = (client.clone(), id.parse().expect("an id"), run_id.clone());
                again.spawn(async move { retry(&client, id, By::Call, Disposition::Replayed, Some(&run_id)).await });
            }
            in_time(again.join_all()).await;
        }
    }
}

/// The first retry of a call after the restart, given the run that it had made by then. Gives its id, and the run that it
/// has now.
async fn settle(client: &Client, id: RequestId, by: By, made: Option<String>) -> (String, String) {
    let look = v1::GetRequestRequest { target_request_id: id.to_string(), ..Default::default() };
    let record = client.get_request(look).await.expect("an answer").request.expect("a record");
    let (state, disposition) = match made {
        Some(_) => (RequestState::Done, Disposition::Replayed),
        None => (RequestState::Unknown, Disposition::Executed),
    };
    assert_eq!(record.state(), state, "{id}: run and record are there together or not at all");
    (id.to_string(), retry(client, id, by, disposition, made.as_ref()).await)
}

async fn retry(client: &Client, id: RequestId, by: By, wanted: Disposition, made: Option<&String>) -> String {
    let answer = once(client, id, by).await.expect("an answer");
    assert_eq!(answer.header.expect("a header").disposition(), wanted, "{id} by {by:?}");
    assert!(made.is_none_or(|made| *made == answer.run_id), "{id} has another run than before");
    answer.run_id
}

#[test]
fn a_call_that_is_lost_doubled_or_mixed_up_is_noticed() {
    let told = |last: char, run_id: Option<&str>| {
        let id = format!("01980000-0000-7abc-8def-01234567890{last}").parse().expect("an id");
        Told { by: By::Call, id, run_id: run_id.map(str::to_owned) }
    };
    let calls = [told('1', Some("a")), told('2', Some("b")), told('3', None), told('4', None)];
    let run = |last: char, run_id: &str| (format!("01980000-0000-7abc-8def-01234567890{last}"), run_id.to_owned());
    let check = |runs: &[(String, String)]| owed(&calls, runs);
    assert_eq!(check(&[run('1', "a"), run('2', "b"), run('4', "d")]), Ok(()));
    for (runs, broken) in [
        (&[run('1', "a")][..], "an acknowledged call is lost"),
        (&[run('1', "a"), run('2', "b"), run('2', "b2")], "a call was doubled"),
        (&[run('1', "a"), run('2', "b"), run('4', "d"), run('4', "e")], "a call was doubled"),
        (&[run('1', "b"), run('2', "a")], "another run than it was told of"),
        (&[run('1', "a"), run('2', "b"), run('5', "e")], "nobody asked for"),
    ] {
        let said = check(runs).expect_err(broken);
        assert!(said.contains(broken), "{said}");
    }
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
    let (made, cut) = (BTreeMap::new(), BTreeMap::new());
    let mut killed = Killed { server, random, start, made, cut, streamed: 0 };
    for round in 0.. {
        if round >= rounds && (killed.all_cut().in_effect > 0 || round >= rounds * MORE_MAX) {
            break;
        }
        let told = match killed.random.u32(..STARTING_ONE_IN) {
            0 => killed.while_it_starts().await,
            _ => killed.under_load().await,
        };
        killed.start_again().await;
        killed.settle(told).await;
    }
    let (made, streamed) = (killed.made.len(), killed.streamed);
    println!("{made} calls, {streamed} answers over streams, {:?}; the last start took {:?}", killed.cut, killed.start);
    let each: Vec<Cut> = killed.cut.values().copied().collect();
    let all = killed.all_cut();
    // In a few rounds either may not have happened by both ways.
    for Cut { cut, in_effect } in if rounds < ROUNDS_ENOUGH { vec![all] } else { each } {
        assert!(cut > in_effect, "no call was ever cut before it took effect: this shows nothing");
        assert!(in_effect > 0, "no call ever took effect and was cut before its answer: this shows nothing");
    }
    assert!(streamed > made as u64 / 10, "only {streamed} of {made} were answered over a stream: this shows little");
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
    let wire = Wire::to(&format!("http://{}", server.address())).await.bearer(secret.trim_end());
    let hello = hello_again(&before.attempts[0].worker_id, "exec", 0);
    let mut late = RawWorker::open(&wire, hello).await.expect("the stream opens");
    let assignment = v1::Assignment { run_id: run_id.clone(), attempt: 1, ..Default::default() };
    let refused = late.submit(&fresh(), succeeded(&assignment, "late")).await.expect_err("refused");
    assert_eq!(refused.reason, "LEASE_STALE");
    assert_eq!(run_of(&client, &run_id).await, before);
}
