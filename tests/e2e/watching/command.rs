//! `semel watch` as a person or a script uses it.

use std::path::Path;

use semel_client::{Client, WatchOptions, v1::RunJobRequest};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::{Child, ChildStdout},
};

use super::{next, opened};
use crate::e2e::{
    binary::{ServerProcess, signal},
    harness::in_time,
};

/// A server with the app `pay` and a job that no worker takes.
async fn with_job(folder: &Path) -> ServerProcess {
    let server = ServerProcess::start(folder, &[]).await;
    for command in [&["app", "create", "pay"] as &[&str], &["job", "create", "settle", "--processor", "nobody"]] {
        let (code, answer) = server.json(&[command, &["--app", "pay"]].concat()).await;
        assert_eq!(code, 0, "{answer:#}");
    }
    server
}

async fn submit(server: &ServerProcess) -> String {
    let (_, made) = server.json(&["run", "submit", "settle", "--app", "pay"]).await;
    made["run_id"].as_str().expect("an id").to_owned()
}

/// A watch that runs, and its lines.
struct Watching {
    child: Child,
    lines: tokio::io::Lines<BufReader<ChildStdout>>,
}

impl Watching {
    async fn begin(server: &ServerProcess, arguments: &[&str]) -> Self {
        let mut command = server.command(&[&["-o", "json", "watch", "--app", "pay"], arguments].concat());
        let mut child = command.env("SEMEL_SECRET_FILE", server.secret_file()).spawn().expect("it starts");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        Self { child, lines }
    }

    /// The next line of this type.
    async fn next(&mut self, name: &str) -> Value {
        loop {
            let line = in_time(self.lines.next_line()).await.expect("it is read").expect("it goes on");
            let value: Value = serde_json::from_str(&line).expect("JSON");
            if value["type"] == name {
                return value;
            }
        }
    }

    /// Its exit code, and what it said on standard error.
    async fn end(mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        in_time(self.child.stderr.take().expect("its errors").read_to_string(&mut said)).await.expect("it is read");
        (in_time(self.child.wait()).await.expect("it ends").code(), said)
    }
}

#[tokio::test]
async fn a_script_goes_on_where_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = with_job(folder.path()).await;
    let mut watching = Watching::begin(&server, &[]).await;
    watching.next("OPENED").await;
    let first = submit(&server).await;
    let line = watching.next("EVENT").await;
    assert_eq!((&line["event"]["kind"], &line["event"]["run"]["run_id"]), (&"RUN_CREATED".into(), &first.into()));
    signal(&watching.child, "INT").await;
    let (code, said) = watching.end().await;
    let token = line["resume_token"].as_str().expect("a token");
    assert_eq!(code, Some(0));
    assert!(said.contains(&format!("go on with --from {token}")), "{said}");

    let second = submit(&server).await;
    let mut watching = Watching::begin(&server, &["--from", token, "--count", "1"]).await;
    assert_eq!(watching.next("EVENT").await["event"]["run"]["run_id"], second.as_str());
    assert_eq!(watching.end().await.0, Some(0), "it ends after one event");
}

/// Runs whose events are too large for all of them to lie in the buffers on the way to a process that reads nothing.
async fn make_large(client: &Client, count: usize) -> Vec<String> {
    let submitter = client.submit_runs();
    let mut submissions = Vec::new();
    for at in 0..count {
        let labels = (0..16).map(|label| (format!("l{label}"), format!("{at:0250}"))).collect();
        let request = RunJobRequest { job: "settle".to_owned(), labels, ..Default::default() };
        submissions.push(submitter.submit(request).await.expect("it is in line"));
    }
    let mut ids = Vec::new();
    for submission in submissions {
        ids.push(in_time(submission).await.expect("a run").run_id);
    }
    ids
}

#[tokio::test]
async fn a_process_that_was_stopped_catches_up_without_a_gap_and_holds_nobody_up() {
    const RUNS: usize = 3000;
    let folder = tempfile::tempdir().expect("a folder");
    let server = with_job(folder.path()).await;
    let client = Client::connect_lazy(server.options().app("pay").credentials(server.credentials())).expect("options");
    let mut stopped = Watching::begin(&server, &[]).await;
    stopped.next("OPENED").await;
    signal(&stopped.child, "STOP").await;
    let mut other = client.watch(WatchOptions::new());
    opened(&mut other).await;
    let made = make_large(&client, RUNS).await;
    let mut told = Vec::new();
    while told.len() < RUNS {
        let item = next(&mut other).await;
        told.extend(item.event().map(|event| event.revision));
    }
    signal(&stopped.child, "CONT").await;
    for (run_id, revision) in made.iter().zip(told) {
        let line = stopped.next("EVENT").await;
        let event = &line["event"];
        assert_eq!((&event["run"]["run_id"], &event["revision"]), (&run_id.as_str().into(), &revision.into()));
    }
    signal(&stopped.child, "INT").await;
    assert_eq!(stopped.end().await.0, Some(0));
}

#[tokio::test]
async fn people_get_lines_and_an_end_in_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = with_job(folder.path()).await;
    let run_id = submit(&server).await;
    let output = server.run(&["watch", "--app", "pay", "--snapshot", "--until-idle", "100ms"]).await;
    let (lines, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(lines.lines().any(|line| line.contains(&run_id) && line.contains("QUEUED")), "{lines}");
    assert!(lines.contains("pay/settle") && said.contains("go on with --from"), "{lines} {said}");
    let output = server.run(&["watch", "--app", "pay", "--from", "1", "--kind", "run-created", "--count", "1"]).await;
    assert!(String::from_utf8_lossy(&output.stdout).contains("NEW -> QUEUED"), "{output:?}");
    let output = server.run(&["watch", "--app", "pay", "--count", "1", "--up-to", "100ms"]).await;
    assert_eq!(output.status.code(), Some(5), "fewer events than were asked for");
}

#[tokio::test]
async fn what_cannot_be_is_told_with_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = with_job(folder.path()).await;
    for (arguments, code, words) in [
        (&["--from", "1000000"] as &[&str], 2, "lies ahead"),
        (&["--from", "nonsense"], 2, "resume_token"),
        (&["--top"], 2, "needs a terminal"),
    ] {
        let output = server.run(&[&["watch", "--app", "pay"], arguments].concat()).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(code) && said.contains(words), "{arguments:?}: {said}");
        assert!(!said.contains("go on with"), "there is nothing to go on from: {said}");
    }
    let mut nobody = server.command(&["watch", "--app", "pay"]);
    assert_eq!(in_time(nobody.output()).await.expect("it runs").status.code(), Some(4));
}
