//! What is left of a process that was killed without a word: of the server, every call that it acknowledged and not one
//! twice; of a worker, a run that another one ends.

use std::{collections::BTreeMap, path::Path, time::Duration};

use semel_client::{
    Client, RequestId,
    v1::{self, AttemptState, Disposition, RequestState, RunState},
};
use tokio::{task::JoinSet, time::Instant};

use super::{
    binary::{ServerProcess, signal, some_moment, until},
    harness::{in_time, job, run_job, spec},
    raw_worker::{RawWorker, hello_again, succeeded},
    wire::{Wire, fresh},
};

/// How often the server is killed, and for how long altogether at most.
const ROUNDS: u64 = 16;
const ROUNDS_TIME: Duration = Duration::from_secs(20);
const CALLERS: usize = 4;
/// Calls of one caller in one round at most: what was made is looked at one by one.
const CALLS_MAX: usize = 40;

/// A call of a caller, and the run that it was told of, if it was told.
type Told = (RequestId, Option<String>);

/// Submits until the server is gone.
async fn submit_until_cut(client: Client) -> Vec<Told> {
    let mut told = Vec::new();
    for _ in 0..CALLS_MAX {
        let id = client.mint_request_id();
        match client.with_request_id(id).run_job(run_job("settle")).await {
            Ok(answer) => told.push((id, Some(answer.run_id))),
            Err(_) => {
                told.push((id, None));
                break;
            }
        }
    }
    told
}

/// Sends a call again after the restart: what is there is shown again, what is not is done now, and from then on it is
/// there. Gives the run.
async fn settle(client: &Client, (id, told): &Told) -> String {
    let look = v1::GetRequestRequest { target_request_id: id.to_string(), ..Default::default() };
    let record = client.get_request(look).await.expect("an answer").request.expect("a record");
    let known = record.state() == RequestState::Done;
    assert!(known || record.state() == RequestState::Unknown, "nothing is under way after a restart: {record:?}");
    assert!(known || told.is_none(), "an acknowledged call is lost: {id}");
    let wanted = if known { Disposition::Replayed } else { Disposition::Executed };
    let first = client.with_request_id(*id).run_job(run_job("settle")).await.expect("an answer");
    assert_eq!(first.header.as_ref().expect("a header").disposition(), wanted, "{id}");
    assert!(told.as_ref().is_none_or(|told| *told == first.run_id), "{id} has another run than it was told of");
    let again = client.with_request_id(*id).run_job(run_job("settle")).await.expect("an answer");
    assert_eq!(again.header.expect("a header").disposition(), Disposition::Replayed);
    assert_eq!(again.run_id, first.run_id);
    first.run_id
}

/// All runs of the app by the request that made them.
async fn all_runs(client: &Client) -> Vec<(String, String)> {
    let (mut runs, mut page_token) = (Vec::new(), String::new());
    loop {
        let page = Some(v1::PageRequest { page_size: 500, page_token });
        let listed = client.list_runs(v1::ListRunsRequest { page, ..Default::default() }).await.expect("a list");
        runs.extend(listed.runs.into_iter().map(|run| (run.request_id, run.run_id)));
        page_token = listed.page.unwrap_or_default().next_page_token;
        if page_token.is_empty() {
            return runs;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_at_any_moment_has_done_each_call_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = ServerProcess::start(folder.path(), &[]).await;
    server
        .admin()
        .create_app(v1::CreateAppRequest { app: "pay".to_owned(), ..Default::default() })
        .await
        .expect("made");
    let client = server.blunt("pay");
    job(&client, "settle", v1::JobSpec { max_running: 1, ..spec("p") }).await;

    let mut made = BTreeMap::new();
    let (mut cut, begun) = (0, Instant::now());
    for round in 0..ROUNDS {
        if begun.elapsed() > ROUNDS_TIME {
            break;
        }
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            callers.spawn(submit_until_cut(server.blunt("pay")));
        }
        // Any moment will do; these spread over the first calls and the middle of the load.
        some_moment(Duration::from_millis(1 + round * round % 97)).await;
        server.kill().await;
        let told: Vec<Told> = in_time(callers.join_all()).await.into_iter().flatten().collect();
        server.start_again().await;
        let client = server.blunt("pay");
        for told in &told {
            cut += u32::from(told.1.is_none());
            made.insert(told.0.to_string(), settle(&client, told).await);
        }
    }
    assert!(cut > 0, "no call was ever cut: this test shows nothing");
    let found = all_runs(&server.blunt("pay")).await;
    assert_eq!(found.len(), made.len(), "one run for each call");
    assert_eq!(found.into_iter().collect::<BTreeMap<_, _>>(), made);
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
