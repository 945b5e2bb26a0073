//! The binary as a person or a script uses it: each command once, its answer as JSON, and its exit code.

use std::{path::Path, process::Stdio};

use serde_json::Value;

use super::{
    binary::{ServerProcess, semel, signal, until},
    harness::in_time,
    wire::fresh,
};

/// A server with the app `pay`.
async fn with_app(folder: &Path) -> ServerProcess {
    let server = ServerProcess::start(folder, &[]).await;
    let (code, app) = server.json(&["app", "create", "pay"]).await;
    assert_eq!((code, text(&app, "/app/name").as_str()), (0, "pay"));
    assert!(text(&app, "/secret").starts_with("sk_"));
    server
}

/// A text in a JSON answer.
fn text(value: &Value, pointer: &str) -> String {
    let found = value.pointer(pointer).unwrap_or_else(|| panic!("no {pointer} in {value:#}"));
    found.as_str().unwrap_or_else(|| panic!("{pointer} is no text: {found}")).to_owned()
}

async fn exec_job(server: &ServerProcess, name: &str, script: &str) {
    let input = serde_json::json!({ "argv": ["/bin/sh", "-c", script] }).to_string();
    let command = ["job", "create", name, "--app", "pay", "--processor", "exec", "--payload", &input];
    let (code, made) = server.json(&command).await;
    assert_eq!((code, text(&made, "/job/name").as_str()), (0, name), "{made:#}");
}

async fn submit(server: &ServerProcess, job: &str) -> String {
    let (code, made) = server.json(&["run", "submit", job, "--app", "pay"]).await;
    assert_eq!(code, 0, "{made:#}");
    text(&made, "/run_id")
}

async fn run_state(server: &ServerProcess, run_id: &str) -> String {
    text(&server.json(&["run", "get", run_id, "--app", "pay"]).await.1, "/run/state")
}

#[tokio::test]
async fn a_run_by_hand_from_its_app_to_its_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = with_app(folder.path()).await;
    exec_job(&server, "hello", "echo hello; echo trouble >&2").await;
    exec_job(&server, "broken", "exit 3").await;
    let mut worker = server.worker("pay", "w1");

    let id = fresh();
    let mut runs = Vec::new();
    for disposition in ["EXECUTED", "REPLAYED"] {
        let command = ["run", "submit", "hello", "--app", "pay", "--wait", "--request-id", &id];
        let output = server.run(&command).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("SUCCEEDED"), "{output:?}");
        let (code, again) = server.json(&["request", "get", &id, "--app", "pay"]).await;
        assert_eq!((code, text(&again, "/request/state").as_str()), (0, "DONE"));
        let (_, answer) = server.json(&["run", "submit", "hello", "--app", "pay", "--request-id", &id]).await;
        assert_eq!(text(&answer, "/header/disposition"), "REPLAYED", "after {disposition}");
        runs.push(text(&answer, "/run_id"));
    }
    assert_eq!(runs[0], runs[1]);

    let output = server.run(&["run", "logs", &runs[0], "--app", "pay"]).await;
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hello\n", "what it wrote to its standard output");
    assert!(String::from_utf8_lossy(&output.stderr).contains("trouble"), "and the rest apart: {output:?}");
    let failed = server.run(&["run", "submit", "broken", "--app", "pay", "--wait"]).await;
    assert_eq!(failed.status.code(), Some(6), "{failed:?}");
    let (_, listed) = server.json(&["run", "list", "--app", "pay", "--state", "failed"]).await;
    let failed = text(&listed, "/runs/0/run_id");
    let (code, retried) = server.json(&["run", "retry", &failed, "--app", "pay"]).await;
    assert_eq!((code, retried["created"].as_bool()), (0, Some(true)), "{retried:#}");
    let (code, requests) = server.json(&["request", "list", "--app", "pay"]).await;
    assert!(code == 0 && requests["requests"].as_array().is_some_and(|list| list.len() >= 4), "{requests:#}");
    signal(&worker, "TERM").await;
    assert_eq!(in_time(worker.wait()).await.expect("it ends").code(), Some(0));
}

#[tokio::test]
async fn a_run_that_does_not_start_is_explained_and_cancelled() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = with_app(folder.path()).await;
    exec_job(&server, "hello", "echo hello").await;
    let run_id = submit(&server, "hello").await;
    let (code, why) = server.json(&["run", "explain", &run_id, "--app", "pay"]).await;
    assert_eq!((code, text(&why, "/explanations/0/kind").as_str()), (0, "NO_WORKER"));
    let (code, _) = server.json(&["run", "cancel", &run_id, "--app", "pay", "--reason", "not needed"]).await;
    assert_eq!((code, run_state(&server, &run_id).await.as_str()), (0, "CANCELLED"));
    let (code, refused) = server.json(&["run", "cancel", &run_id, "--app", "pay"]).await;
    assert_eq!((code, text(&refused, "/error/reason").as_str()), (3, "RUN_FINISHED"));
    for command in [&["job", "pause", "hello", "--app", "pay"], &["job", "resume", "hello", "--app", "pay"]] {
        assert_eq!(server.json(command).await.0, 0, "{command:?}");
    }
}

#[tokio::test]
async fn exit_codes_tell_scripts_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = with_app(folder.path()).await;
    let missing = ["run", "get", "0190f3e0-7b8a-7cc0-9e6f-000000000001", "--app", "pay"];
    let (code, refused) = server.json(&missing).await;
    assert_eq!((code, text(&refused, "/error/reason").as_str()), (3, "NOT_FOUND"));
    let (code, refused) = server.json(&["job", "create", "Not A Name", "--app", "pay", "--processor", "p"]).await;
    assert_eq!((code, text(&refused, "/error/reason").as_str()), (2, "INVALID"));
    assert_eq!(server.run(&["run", "nonsense"]).await.status.code(), Some(2));

    let mut nobody = server.command(&["-o", "json", "app", "list"]);
    let output = in_time(nobody.output()).await.expect("it runs");
    assert_eq!(output.status.code(), Some(4));
    let refused: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(text(&refused, "/error/auth_status"), "MISSING");
    let mut nowhere = server.command(&["-o", "json", "--timeout", "1s", "--server", "http://127.0.0.1:9", "info"]);
    let output = in_time(nowhere.output()).await.expect("it runs");
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    let refused: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(text(&refused, "/error/kind"), "TRANSPORT");
}

#[tokio::test]
async fn tokens_are_issued_checked_and_taken_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = with_app(folder.path()).await;
    let (code, issued) = server.json(&["token", "issue", "--lifetime", "10m"]).await;
    assert_eq!(code, 0);
    let (token, token_id) = (text(&issued, "/token"), text(&issued, "/token_id"));
    let check = async || {
        let mut command = server.command(&["-o", "json", "token", "check"]);
        let output = in_time(command.env("SEMEL_TOKEN", &token).output()).await.expect("it runs");
        let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        (output.status.code(), said)
    };
    let (code, good) = check().await;
    assert_eq!((code, text(&good, "/auth/status").as_str()), (Some(0), "PASSED"));
    assert_eq!(text(&good, "/auth/method"), "TOKEN");
    assert_eq!(server.json(&["token", "revoke", &token_id]).await.0, 0);
    let (code, bad) = check().await;
    assert_eq!((code, text(&bad, "/auth/status").as_str()), (Some(4), "REVOKED"));
    // Alone on its line for people, so that a script can take it as it is.
    let output = server.run(&["token", "issue"]).await;
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim_end().lines().count(), 1, "{output:?}");
}

#[tokio::test]
async fn whatever_is_asked_for_as_json_is_json() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = with_app(folder.path()).await;
    exec_job(&server, "hello", "echo hello").await;
    let run_id = submit(&server, "hello").await;
    let run_id = run_id.as_str();
    for command in [
        &["info"] as &[&str],
        &["app", "list"],
        &["app", "get", "pay"],
        &["job", "list", "--app", "pay"],
        &["job", "get", "hello", "--app", "pay"],
        &["run", "list", "--app", "pay"],
        &["run", "get", run_id, "--app", "pay"],
        &["run", "explain", run_id, "--app", "pay"],
        &["request", "list", "--app", "pay"],
        &["token", "issue"],
        &["token", "check"],
        &["config", "check"],
    ] {
        let (code, answer) = server.json(command).await;
        assert_eq!((code, answer.is_object()), (0, true), "{command:?}: {answer:#}");
    }
    for command in [&["app", "get", "none"] as &[&str], &["job", "delete", "none", "--app", "pay"]] {
        let (code, answer) = server.json(command).await;
        assert_eq!((code, answer["error"].is_object()), (3, true), "{command:?}: {answer:#}");
    }
}

async fn bare(folder: &Path, arguments: &[&str]) -> std::process::Output {
    let mut command = tokio::process::Command::new(semel());
    in_time(command.args(arguments).current_dir(folder).stdin(Stdio::null()).output()).await.expect("it runs")
}

#[tokio::test]
async fn all_faults_of_a_configuration_are_told_at_once_and_no_server_starts_with_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let faulty = "listen = \"nowhere\"\nnonsense = 1\n[engine]\nlease = \"-3s\"\n[auth]\nmode = \"maybe\"\n";
    std::fs::write(folder.path().join("semel.toml"), faulty).expect("written");
    for command in [&["config", "check"] as &[&str], &["serve"]] {
        let output = bare(folder.path(), command).await;
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        for fault in ["listen", "nonsense", "engine.lease", "auth.mode"] {
            assert!(said.contains(fault), "{command:?} does not tell of {fault}: {said}");
        }
    }
    assert!(!folder.path().join("semel-data").exists(), "nothing was made");
}

#[tokio::test]
async fn completions_are_written_for_each_shell() {
    let folder = tempfile::tempdir().expect("a folder");
    for shell in ["bash", "zsh", "fish"] {
        let output = bare(folder.path(), &["completions", shell]).await;
        assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("semel"), "{shell}");
    }
}

#[tokio::test]
async fn a_server_that_is_asked_to_stop_ends_well_with_a_worker_and_a_waiting_caller() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = with_app(folder.path()).await;
    exec_job(&server, "hello", "echo hello").await;
    let _worker = server.worker("pay", "idle");
    let (_, info) = (until(async || {
        let (_, info) = server.json(&["info"]).await;
        (info["worker_count"].as_i64() == Some(1)).then_some(((), info))
    }))
    .await;
    assert_eq!(info["worker_count"], 1);
    let begun = tokio::time::Instant::now();
    let status = server.terminate().await;
    assert_eq!(status.code(), Some(0));
    assert!(begun.elapsed() < std::time::Duration::from_secs(9), "it waited for somebody: {:?}", begun.elapsed());

    // It comes back with all that it had, and the worker comes back to it.
    server.start_again().await;
    let output = server.run(&["run", "submit", "hello", "--app", "pay", "--wait"]).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[tokio::test]
async fn a_second_server_on_the_same_data_says_what_is_wrong() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = ServerProcess::start(folder.path(), &[]).await;
    let data = server.data().display().to_string();
    let output = bare(folder.path(), &["serve", "--listen", "127.0.0.1:0", "--data-dir", &data]).await;
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(&data) && said.contains("another"), "{said}");
}
