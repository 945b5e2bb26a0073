//! Real commands, run to their ends. Every test waits for what it looks for; the time-outs are bounds only.

use std::{fs, path::Path};

use bytes::Bytes;

use super::*;

const LONG: Duration = Duration::from_secs(60);

fn plan(argv: &[&str]) -> Plan {
    let invocation = Invocation { argv: argv.iter().map(|word| (*word).to_owned()).collect(), ..Default::default() };
    let ids = Ids { run_id: "run".to_owned(), attempt: 3, attempt_id: "run/3".to_owned(), trigger: None, trace: None };
    Plan {
        environment: invocation.environment(&ids),
        argv: invocation.argv,
        folder: std::env::temp_dir(),
        stdin: None,
        grace: LONG,
    }
}

fn shell(script: &str) -> Plan {
    plan(&["/bin/sh", "-c", script])
}

/// Runs a command that nobody stops, and gathers its log.
async fn run_through(plan: Plan) -> (Finished, Vec<Piece>) {
    let (log, mut pieces) = mpsc::channel(PIECES_MAX);
    let gather = async {
        let mut all = Vec::new();
        while let Some(piece) = pieces.recv().await {
            all.push(piece);
        }
        all
    };
    let both = async { tokio::join!(run(plan, std::future::pending(), log), gather) };
    let (finished, pieces) = tokio::time::timeout(LONG, both).await.expect("the command should end");
    (finished.unwrap(), pieces)
}

fn message(finished: Finished) -> String {
    finished.into_outcome().unwrap_err().to_string()
}

/// Reads the process ids that a script prints, and that many lines.
async fn read_pids(pieces: &mut mpsc::Receiver<Piece>, count: usize) -> Vec<u32> {
    let mut text = String::new();
    while text.lines().count() < count || !text.ends_with('\n') {
        let piece = tokio::time::timeout(LONG, pieces.recv()).await.unwrap().expect("the script should print");
        text.push_str(std::str::from_utf8(&piece.data).unwrap());
    }
    text.lines().map(|line| line.trim().parse().unwrap()).collect()
}

/// Whether a process still does anything: one that is dead and waits to be collected does not.
fn is_alive(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
    !matches!(state, Some('Z' | 'X'))
}

async fn wait_until_dead(pids: &[u32]) {
    let dead = async {
        while pids.iter().any(|pid| is_alive(*pid)) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, dead).await.unwrap_or_else(|_| panic!("something of {pids:?} survived"));
}

/// A child, its child, and that one's child, each printing its number and then waiting for ever.
const TREE: &str =
    "echo $$; /bin/sh -c 'echo $$; /bin/sh -c \"echo \\$\\$; exec sleep 1000\" & exec sleep 1000' & exec sleep 1000";
/// The same, deaf to SIGTERM.
const DEAF: &str =
    "trap '' TERM; echo $$; /bin/sh -c 'echo $$; while :; do sleep 1000; done' & while :; do sleep 1000; done";

#[tokio::test]
async fn a_command_that_is_cancelled_leaves_no_process_behind() {
    let (log, mut pieces) = mpsc::channel(PIECES_MAX);
    let (cancel, cancelled) = tokio::sync::oneshot::channel();
    let stop = async { cancelled.await.map_or(Stop::Cancelled, |()| Stop::Cancelled) };
    let running = tokio::spawn(run(shell(TREE), stop, log));
    let pids = read_pids(&mut pieces, 3).await;
    assert!(pids.iter().all(|pid| is_alive(*pid)), "{pids:?}");
    cancel.send(()).unwrap();
    let finished = tokio::time::timeout(LONG, running).await.unwrap().unwrap().unwrap();
    assert!(matches!(finished.ended, Ended::Stopped(Stop::Cancelled)));
    wait_until_dead(&pids).await;
}

#[tokio::test]
async fn a_command_that_is_deaf_to_sigterm_is_killed_after_the_grace() {
    let (log, mut pieces) = mpsc::channel(PIECES_MAX);
    let (cancel, cancelled) = tokio::sync::oneshot::channel();
    let stop = async { cancelled.await.map_or(Stop::Cancelled, |()| Stop::TimedOut(LONG)) };
    let plan = Plan { grace: Duration::from_millis(200), ..shell(DEAF) };
    let running = tokio::spawn(run(plan, stop, log));
    let pids = read_pids(&mut pieces, 2).await;
    cancel.send(()).unwrap();
    let finished = tokio::time::timeout(LONG, running).await.unwrap().unwrap().unwrap();
    assert_eq!(message(finished), "the command did not end within 60s and was stopped");
    wait_until_dead(&pids).await;
}

#[tokio::test]
async fn a_command_may_end_in_its_own_way_within_the_grace() {
    let (log, mut pieces) = mpsc::channel(PIECES_MAX);
    let (cancel, cancelled) = tokio::sync::oneshot::channel();
    let stop = async { cancelled.await.map_or(Stop::Cancelled, |()| Stop::Cancelled) };
    // It starts nothing, for a shell whose child is ended by the same signal may say so.
    let script = "trap 'echo bye; exit 0' TERM; echo $$; while :; do :; done";
    let running = tokio::spawn(run(shell(script), stop, log));
    let pids = read_pids(&mut pieces, 1).await;
    cancel.send(()).unwrap();
    let last = tokio::time::timeout(LONG, pieces.recv()).await.unwrap().expect("it should say something at its end");
    assert_eq!(last.data, "bye\n");
    let finished = tokio::time::timeout(LONG, running).await.unwrap().unwrap().unwrap();
    assert_eq!(finished.stdout, format!("{}\nbye\n", pids[0]).into_bytes());
}

#[tokio::test]
async fn a_command_whose_future_is_dropped_is_killed_whole() {
    let (log, mut pieces) = mpsc::channel(PIECES_MAX);
    let running = tokio::spawn(run(shell(DEAF), std::future::pending(), log));
    let pids = read_pids(&mut pieces, 2).await;
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    wait_until_dead(&pids).await;
}

#[tokio::test]
async fn what_a_command_leaves_running_does_not_outlive_it() {
    let (finished, pieces) = run_through(shell("sleep 1000 & echo $!")).await;
    assert!(matches!(finished.ended, Ended::Exited(status) if status.success()));
    let pid = std::str::from_utf8(&pieces[0].data).unwrap().trim().parse().unwrap();
    wait_until_dead(&[pid]).await;
}

#[tokio::test]
async fn a_process_that_left_the_group_does_not_hold_the_attempt() {
    if !Path::new("/usr/bin/setsid").exists() {
        return;
    }
    // It keeps the pipe open and says nothing; it ends by itself when the test is long over.
    let (finished, _) = run_through(shell("/usr/bin/setsid sleep 5 & echo done")).await;
    assert_eq!(finished.stdout, b"done\n");
}

#[tokio::test]
async fn output_comes_while_the_command_runs_and_each_stream_bears_its_name() {
    let (log, mut pieces) = mpsc::channel(PIECES_MAX);
    let mut plan = shell("read line; echo \"out $line\"; read line; echo \"err $line\" >&2; exec cat");
    plan.stdin = Some("one\ntwo\nthree\n".to_owned());
    let running = tokio::spawn(run(plan, std::future::pending(), log));
    let mut seen = Vec::new();
    while let Some(piece) = tokio::time::timeout(LONG, pieces.recv()).await.unwrap() {
        seen.push((piece.stream, piece.data));
    }
    let said = |stream| -> Vec<u8> {
        seen.iter().filter(|(of, _)| *of == stream).flat_map(|(_, data)| data.to_vec()).collect()
    };
    assert_eq!(said(LogStream::Stdout), b"out one\nthree\n");
    assert_eq!(said(LogStream::Stderr), b"err two\n");
    assert_eq!(running.await.unwrap().unwrap().into_outcome().unwrap().data, Bytes::from("out one\nthree\n"));
}

#[tokio::test]
async fn of_a_large_output_all_is_logged_and_the_last_is_the_result() {
    let (finished, pieces) =
        run_through(shell("i=0; while [ $i -lt 40000 ]; do echo \"line $i of many\"; i=$((i+1)); done")).await;
    let logged: usize = pieces.iter().map(|piece| piece.data.len()).sum();
    let expected: usize = (0..40000).map(|i| format!("line {i} of many\n").len()).sum();
    assert_eq!(logged, expected);
    let result = finished.into_outcome().unwrap();
    assert_eq!(result.content_type, "text/plain; charset=utf-8");
    assert_eq!(result.data.len(), RESULT_BYTES);
    assert!(result.data.ends_with(b"line 39999 of many\n"));
}

#[tokio::test]
async fn a_large_input_that_nobody_reads_is_no_failure() {
    let mut plan = plan(&["/bin/true"]);
    plan.stdin = Some("x".repeat(1024 * 1024));
    let (finished, _) = run_through(plan).await;
    assert!(finished.into_outcome().is_ok());
}

#[tokio::test]
async fn a_failure_names_code_or_signal_and_the_last_line_of_the_standard_error() {
    let (finished, _) = run_through(shell("echo first >&2; echo 'no such record' >&2; echo >&2; exit 3")).await;
    assert_eq!(message(finished), "the command exited with code 3: no such record");
    let (finished, _) = run_through(shell("kill -9 $$")).await;
    assert_eq!(message(finished), "the command was ended by signal 9");
}

#[tokio::test]
async fn a_command_sees_nothing_of_the_workers_environment() {
    let (finished, _) = run_through(plan(&["/usr/bin/env"])).await;
    let text = String::from_utf8(finished.stdout).unwrap();
    let names: Vec<&str> = text.lines().filter_map(|line| line.split('=').next()).collect();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, ["LANG", "PATH", "SEMEL_ATTEMPT", "SEMEL_ATTEMPT_ID", "SEMEL_RUN_ID"]);
    assert!(text.contains("SEMEL_ATTEMPT_ID=run/3\n"), "{text}");
}

#[tokio::test]
async fn bytes_that_are_no_text_are_given_back_as_they_are() {
    let (finished, _) = run_through(plan(&["/usr/bin/printf", r"\377\000"])).await;
    let result = finished.into_outcome().unwrap();
    assert_eq!((result.content_type.as_str(), &result.data[..]), ("application/octet-stream", &b"\xff\x00"[..]));
}

#[tokio::test]
async fn a_program_that_is_not_there_is_a_failure_and_no_panic() {
    let (log, _pieces) = mpsc::channel(PIECES_MAX);
    let error = run(plan(&["/nowhere/at-all"]), std::future::pending(), log).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}

fn payload(text: &str) -> Payload {
    Payload { data: text.to_owned().into(), content_type: "application/json".to_owned() }
}

#[tokio::test]
async fn only_what_is_allowed_is_accepted_and_a_refusal_binds() {
    let allow = vec!["/usr/bin/wc -l".parse().unwrap()];
    let exec = Exec::new(Settings { allow, ..Settings::default() });
    assert!(exec.accept(&payload(r#"{"argv":["/usr/bin/wc","-l","x"]}"#)).is_ok());
    for argv in [
        r#"["wc","-l"]"#,
        r#"["/usr/bin/../bin/wc","-l"]"#,
        r#"["/usr/bin/../bin/sh","-c","id"]"#,
        r#"["/usr/bin/wc","--files0-from=x","-l"]"#,
        r#"["/usr/bin/wc"]"#,
        r#"["/usr/bin/wc -l"]"#,
    ] {
        let error = exec.accept(&payload(&format!(r#"{{"argv":{argv}}}"#))).unwrap_err();
        let expected = ProcessError::permanent(error.to_string());
        assert_eq!(error, expected, "{argv}");
        assert!(error.to_string().contains(r#"["/usr/bin/wc","-l"]"#), "{argv}: {error}");
    }
    let injected = r#"{"argv":["/usr/bin/wc","-l"],"env":{"LD_PRELOAD":"/x.so"}}"#;
    let error = exec.accept(&payload(injected)).unwrap_err();
    assert_eq!(error, ProcessError::permanent(error.to_string()));
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_said() {
    let exec = Exec::new(Settings::default());
    let invocation =
        Invocation { argv: vec!["/bin/true".to_owned()], cwd: Some("/nowhere/at-all".into()), ..Invocation::default() };
    let ids = Ids { run_id: "r".to_owned(), attempt: 1, attempt_id: "r/1".to_owned(), trigger: None, trace: None };
    let error = exec.plan(invocation, &ids).await.unwrap_err();
    assert_eq!(error, ProcessError::failed("exec: there is no folder /nowhere/at-all on this worker"));
}

#[test]
fn the_shorter_of_the_operators_limit_and_the_attempts_deadline_holds() {
    let exec = Exec::new(Settings { timeout: Duration::from_secs(60), ..Settings::default() });
    assert_eq!(exec.time(None), Duration::from_secs(60));
    assert_eq!(exec.time(Some(Duration::from_secs(5))), Duration::from_secs(5));
    assert_eq!(exec.time(Some(Duration::from_secs(600))), Duration::from_secs(60));
    let exec = Exec::new(Settings { timeout: Duration::MAX, ..Settings::default() });
    assert_eq!(exec.time(None), TIMEOUT_MAX);
}
