//! `semel run submit --file`: a run for each line, the same runs for the same file, and nothing sent of a file that is wrong.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use semel_client::v1;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

use super::{
    binary::ServerProcess,
    fire::all_runs,
    harness::{in_time, job, spec},
    wire::fresh,
};

/// A server with the app `pay` and its jobs `settle` and `close`.
async fn with_jobs(folder: &Path) -> ServerProcess {
    let server = ServerProcess::start(folder, &[]).await;
    let create = v1::CreateAppRequest { app: "pay".to_owned(), ..Default::default() };
    server.admin().create_app(create).await.expect("made");
    for name in ["settle", "close"] {
        job(&server.blunt("pay"), name, spec("nobody")).await;
    }
    server
}

fn file(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("runs.jsonl");
    std::fs::write(&path, text).expect("written");
    path
}

async fn submit(server: &ServerProcess, arguments: &[&str]) -> Output {
    server.run(&[&["run", "submit", "--app", "pay"], arguments].concat()).await
}

/// The same with what is piped into it.
async fn submit_piped(server: &ServerProcess, arguments: &[&str], text: &str) -> Output {
    let mut command = server.command(&[&["run", "submit", "--app", "pay", "--file", "-"], arguments].concat());
    command.env("SEMEL_SECRET_FILE", server.secret_file()).stdin(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let writing = async move {
        stdin.write_all(text.as_bytes()).await.expect("it reads");
        drop(stdin);
    };
    // All of it is written before anything is read: whoever reads slowly holds up no call.
    in_time(writing).await;
    in_time(child.wait_with_output()).await.expect("it runs")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What was printed with `-o json`, a document a line.
fn rows(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line:?}: {error}"))).collect()
}

fn dispositions(rows: &[Value]) -> BTreeSet<&str> {
    rows.iter().map(|row| row["header"]["disposition"].as_str().expect("a run")).collect()
}

/// The number of each row's line and its run.
fn runs(rows: &[Value]) -> Vec<(u64, &str)> {
    rows.iter().map(|row| (row["line"].as_u64().expect("a line"), row["run_id"].as_str().expect("a run"))).collect()
}

async fn run_count(server: &ServerProcess) -> usize {
    all_runs(&server.blunt("pay")).await.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_file_under_the_same_id_makes_no_second_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = with_jobs(folder.path()).await;
    let mut text = String::new();
    for number in 0..5000 {
        writeln!(text, r#"{{"payload": {{"json": {{"number": {number}}}}}, "start_in": "5m"}}"#).expect("written");
    }
    let path = file(folder.path(), &text);
    let (path, id) = (path.to_str().expect("text"), fresh());
    let arguments = ["settle", "--file", path, "--request-id", &id, "-o", "json"];
    let first = submit(&server, &arguments).await;
    assert_eq!((first.status.code(), said(&first).as_str()), (Some(0), ""));
    let first = rows(&first);
    assert_eq!((first.len(), dispositions(&first)), (5000, BTreeSet::from(["EXECUTED"])));
    assert!(runs(&first).iter().map(|(line, _)| *line).eq(1..=5000), "in the order of the lines");
    assert!(runs(&first).iter().map(|(_, run)| *run).is_sorted(), "and so they were made");
    assert_eq!(run_count(&server).await, 5000);

    let again = rows(&submit(&server, &arguments).await);
    assert_eq!((runs(&again), dispositions(&again)), (runs(&first), BTreeSet::from(["REPLAYED"])));
    // From a pipe it is the same file.
    let piped = rows(&submit_piped(&server, &["settle", "--request-id", &id, "-o", "json"], &text).await);
    assert_eq!((runs(&piped), dispositions(&piped)), (runs(&first), BTreeSet::from(["REPLAYED"])));
    assert_eq!(run_count(&server).await, 5000);
    let other = rows(&submit(&server, &["settle", "--file", path, "-o", "json"]).await);
    assert_eq!((other.len(), dispositions(&other)), (5000, BTreeSet::from(["EXECUTED"])), "another id is another file");
    assert_eq!(run_count(&server).await, 10_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_sees_a_row_for_each_run_and_how_to_send_the_file_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = with_jobs(folder.path()).await;
    let path = file(folder.path(), "{\"job\": \"settle\"}\n\n{\"unique_key\": \"a\"}\n{\"unique_key\": \"a\"}\n");
    let path = path.to_str().expect("text");
    let output = submit(&server, &["close", "-f", path]).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    for (line, begin) in lines.iter().zip(["    LINE  RUN ", "       1  ", "       3  ", "       4  "]) {
        assert!(line.starts_with(begin), "{text}");
    }
    assert!(lines[3].contains("QUEUED") && lines[3].contains("existing"), "{text}");
    let told = said(&output);
    assert!(told.contains("3 EXECUTED, 0 REPLAYED, auth PASSED as app:system"), "{told}");
    let id = told.split("--request-id ").nth(1).expect("the id").split_whitespace().next().expect("an id");
    let again = submit(&server, &["close", "-f", path, "--request-id", id]).await;
    assert!(said(&again).contains("0 EXECUTED, 3 REPLAYED"), "{}", said(&again));
    assert_eq!(String::from_utf8_lossy(&again.stdout), text.replace("EXECUTED", "REPLAYED"));
    assert_eq!(run_count(&server).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_file_with_wrong_lines_all_are_told_and_nothing_is_sent() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = with_jobs(folder.path()).await;
    let text = "{\"job\": \"settle\"}\nnonsense\n{\"job\": \"settle\"}\n{\"prio\": 1}\n{}\n";
    let path = file(folder.path(), text);
    let path = path.to_str().expect("text");
    let output = submit(&server, &["--file", path]).await;
    assert_eq!(output.status.code(), Some(2));
    let told = said(&output);
    for part in ["line 2: ", "line 4: ", "prio", "line 5: job is missing", "3 lines are wrong; nothing was sent"] {
        assert!(told.contains(part), "{told}");
    }
    let told = rows(&submit(&server, &["--file", path, "-o", "json"]).await);
    let lines: Vec<Option<u64>> = told.iter().map(|row| row["line"].as_u64()).collect();
    assert_eq!(lines, [Some(2), Some(4), Some(5), None], "and at the end why nothing was sent");
    assert_eq!(told[3]["error"]["exit_code"], 2);
    assert_eq!(run_count(&server).await, 0);

    // A pipe cannot be looked through before: it is sent up to the first line that is wrong, and looked at from there on.
    let (output, id) = (submit_piped(&server, &[], text).await, fresh());
    assert_eq!((output.status.code(), run_count(&server).await), (Some(2), 1), "{}", said(&output));
    let told = said(&output);
    for part in ["line 2: ", "line 4: ", "line 5: ", "1 EXECUTED, 0 REPLAYED, 3 wrong", "send the file again"] {
        assert!(told.contains(part), "{told}");
    }
    let none = submit(&server, &["--file", "no-such-file", "--request-id", &id]).await;
    assert_eq!(none.status.code(), Some(2), "{}", said(&none));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_keeps_no_other_line_from_being_made_and_may_be_mended() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = with_jobs(folder.path()).await;
    let id = fresh();
    let text =
        "{\"job\": \"settle\"}\n{\"job\": \"none\"}\n{\"job\": \"close\", \"priority\": 5000}\n{\"job\": \"close\"}\n";
    let path = file(folder.path(), text);
    let arguments = ["--file", path.to_str().expect("text"), "--request-id", &id];
    let output = submit(&server, &arguments).await;
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    let told = said(&output);
    for part in ["2 EXECUTED, 0 REPLAYED, 2 refused", "line 2       NOT_FOUND", "line 3       INVALID", "priority", &id]
    {
        assert!(told.contains(part), "{told}");
    }
    let told = rows(&submit(&server, &[&arguments[..], &["-o", "json"]].concat()).await);
    assert_eq!((told.len(), told[1]["error"]["reason"].as_str()), (4, Some("NOT_FOUND")));
    assert_eq!((told[0]["header"]["disposition"].as_str(), told[2]["line"].as_u64()), (Some("REPLAYED"), Some(3)));

    file(folder.path(), &text.replace("none", "settle").replace("5000", "50"));
    let mended = rows(&submit(&server, &[&arguments[..], &["-o", "json"]].concat()).await);
    let dispositions: Vec<&str> =
        mended.iter().map(|row| row["header"]["disposition"].as_str().expect("a run")).collect();
    assert_eq!(dispositions, ["REPLAYED", "EXECUTED", "EXECUTED", "REPLAYED"]);
    // A line that was made is not to be changed.
    file(folder.path(), &text.replace("none", "close").replace("5000", "50"));
    let changed = rows(&submit(&server, &[&arguments[..], &["-o", "json"]].concat()).await);
    assert_eq!(changed[1]["error"]["reason"].as_str(), Some("REQUEST_ID_REUSED"));
    assert_eq!(run_count(&server).await, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_was_cut_short_is_sent_again_and_each_line_is_one_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = with_jobs(folder.path()).await;
    let text: String = (0..3000).map(|number| format!("{{\"labels\": {{\"n\": \"{number}\"}}}}\n")).collect();
    let path = file(folder.path(), &text);
    let (path, id) = (path.to_str().expect("text"), fresh());
    let arguments = ["run", "submit", "settle", "--app", "pay", "--file", path, "--request-id", &id, "--timeout", "2s"];
    let mut command = server.command(&arguments);
    command.env("SEMEL_SECRET_FILE", server.secret_file()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let mut stdout = tokio::io::BufReader::new(child.stdout.take().expect("a pipe"));
    let mut seen = String::new();
    for _ in 0..200 {
        in_time(tokio::io::AsyncBufReadExt::read_line(&mut stdout, &mut seen)).await.expect("a row");
    }
    server.kill().await;
    let output = async {
        let mut rest = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut stdout, &mut rest).await.expect("text");
        child.wait_with_output().await.expect("it ends")
    };
    let output = in_time(output).await;
    server.start_again().await;
    let made = run_count(&server).await;
    // It may have come to its end before the server did.
    if made < 3000 {
        assert_eq!(output.status.code(), Some(5), "{}", said(&output));
        assert!(said(&output).contains(&format!("--request-id {id}")), "{}", said(&output));
    }
    let again = submit(&server, &["settle", "--file", path, "--request-id", &id]).await;
    assert_eq!(again.status.code(), Some(0), "{}", said(&again));
    let summary = format!("{} EXECUTED, {made} REPLAYED", 3000 - made);
    assert!(said(&again).contains(&summary), "{summary}: {}", said(&again));
    assert_eq!(run_count(&server).await, 3000);
}
