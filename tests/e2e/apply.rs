//! `semel apply` and `semel job export`: files become jobs, a second time there is nothing to do, and a mistake is told with
//! its line.

use std::{
    fs,
    path::{Path, PathBuf},
};

use semel_client::v1;
use serde_json::Value;

use super::{
    binary::ServerProcess,
    harness::{job, spec},
    wire::fresh,
};

const ALL: &str = include_str!("../../server/src/cli/job/export/all.yaml");

async fn with_app(folder: &Path) -> ServerProcess {
    let server = ServerProcess::start(folder, &[]).await;
    let create = v1::CreateAppRequest { app: "pay".to_owned(), ..Default::default() };
    server.admin().create_app(create).await.expect("made");
    server
}

fn file(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, text).expect("written");
    path.to_str().expect("text").to_owned()
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/triggers")
}

async fn apply(server: &ServerProcess, path: &str, more: &[&str]) -> (i32, Value) {
    server.json(&[&["--app", "pay", "apply", "-f", path], more].concat()).await
}

/// A field of each job, in the order of the documents.
fn each<'a>(answer: &'a Value, field: &str) -> Vec<&'a str> {
    answer["jobs"].as_array().expect("jobs").iter().map(|job| job[field].as_str().expect("text")).collect()
}

async fn etags(server: &ServerProcess) -> Vec<(String, String)> {
    let list = v1::ListJobsRequest { app: "pay".to_owned(), ..Default::default() };
    let jobs = server.blunt("pay").call(list).await.expect("a list").jobs;
    jobs.into_iter().map(|job| (job.name, job.etag)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_example_passes_and_a_folder_is_applied_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = with_app(folder.path()).await;
    let mut files: Vec<PathBuf> =
        fs::read_dir(examples()).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    assert!(files.len() >= 8, "{files:?}");
    for file in &files {
        let (code, answer) = apply(&server, file.to_str().expect("text"), &["--dry-run"]).await;
        assert_eq!((code, answer["dry_run"].as_bool()), (0, Some(true)), "{}: {answer}", file.display());
        assert!(each(&answer, "plan").iter().all(|plan| *plan == "create"), "{answer}");
    }
    assert!(etags(&server).await.is_empty(), "a dry run makes nothing");

    let (all, id) = (examples(), fresh());
    let all = all.to_str().expect("text");
    let (code, first) = apply(&server, all, &["--request-id", &id]).await;
    assert_eq!((code, first["request_id"].as_str()), (0, Some(id.as_str())), "{first}");
    assert!(each(&first, "outcome").iter().all(|outcome| *outcome == "EXECUTED"), "{first}");
    let made = etags(&server).await;
    assert_eq!(made.len(), each(&first, "job").len());

    let (code, second) = apply(&server, all, &[]).await;
    assert_eq!(code, 0);
    assert!(each(&second, "outcome").iter().all(|outcome| *outcome == "UNCHANGED"), "{second}");
    let (code, again) = apply(&server, all, &["--request-id", &id]).await;
    assert_eq!(code, 0);
    assert!(each(&again, "outcome").iter().all(|outcome| *outcome == "REPLAYED"), "{again}");
    assert_eq!(etags(&server).await, made, "nothing was touched");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_exported_is_unchanged_when_it_is_applied() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = with_app(folder.path()).await;
    let text = format!("{ALL}---\napp: pay\njob: small\nprocessor: exec\n");
    let (code, answer) = apply(&server, &file(folder.path(), "jobs.yaml", &text), &[]).await;
    assert_eq!(code, 0, "{answer}");
    let exported = server.run(&["--app", "pay", "job", "export", "--all"]).await;
    assert_eq!(exported.status.code(), Some(0));
    let exported = String::from_utf8(exported.stdout).expect("text");
    let (code, answer) = apply(&server, &file(folder.path(), "exported.yaml", &exported), &[]).await;
    assert_eq!((code, each(&answer, "outcome")), (0, vec!["UNCHANGED", "UNCHANGED"]), "{answer}\n{exported}");
    let one = server.run(&["--app", "pay", "job", "export", "small"]).await;
    assert_eq!(String::from_utf8_lossy(&one.stdout), "app: pay\njob: small\nprocessor: exec\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_names_the_fields_that_differ_and_only_they_change() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = with_app(folder.path()).await;
    job(&server.blunt("pay"), "bystander", spec("nobody")).await;
    let text = "job: a\nprocessor: exec\nlabels: {team: pay}\ntriggers: {t: {cron: '0 2 * * *'}}\n";
    let path = file(folder.path(), "jobs.yaml", text);
    assert_eq!(apply(&server, &path, &[]).await.0, 0);
    file(folder.path(), "jobs.yaml", &text.replace("0 2", "0 3").replace("processor", "priority: 2\nprocessor"));
    let (code, plan) = apply(&server, &path, &["--dry-run"]).await;
    assert_eq!((code, each(&plan, "plan")), (0, vec!["change"]), "{plan}");
    let changes: Vec<String> = plan["jobs"][0]["changes"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|change| format!("{}: {} -> {}", change["field"], change["old"], change["new"]))
        .collect();
    let cron = r#""triggers.t.cron": "\"0 2 * * *\"" -> "\"0 3 * * *\"""#;
    assert_eq!(changes, [cron, r#""priority": null -> "2""#]);
    let shown = server.run(&["--app", "pay", "apply", "-f", &path, "--dry-run"]).await;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("priority: (none) -> 2") && shown.contains("jobs.yaml:1"), "{shown}");
    assert_eq!(apply(&server, &path, &[]).await.0, 0);
    assert_eq!(each(&apply(&server, &path, &["--dry-run"]).await.1, "plan"), ["unchanged"]);
    assert!(etags(&server).await.iter().any(|(name, _)| name == "bystander"), "what stands in no file stays");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mistakes_are_told_with_their_lines_and_nothing_is_sent() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = with_app(folder.path()).await;
    let text = "job: good\nprocessor: exec\n---\njob: a\nprocessor: exec\ntriggers:\n  t:\n    cron: 61 * * * *\n";
    let path = file(folder.path(), "jobs.yaml", text);
    let output = server.run(&["--app", "pay", "apply", "-f", &path]).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("jobs.yaml:8:5: triggers.t.cron") && said.contains("nothing was sent"), "{said}");
    let (code, answer) = apply(&server, &path, &["--dry-run"]).await;
    assert_eq!((code, answer["error"]["mistakes"][0]["line"].as_u64()), (2, Some(8)), "{answer}");
    assert!(etags(&server).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_is_refused_does_not_keep_the_others_from_theirs() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = with_app(folder.path()).await;
    // Each file is good by itself; that the jobs follow each other in a circle only the server can see.
    let follows =
        |job: &str, other: &str| format!("job: {job}\nprocessor: exec\ntriggers: {{t: {{after: {{job: {other}}}}}}}\n");
    let text = format!("{}---\n{}---\njob: c\nprocessor: exec\n", follows("a", "b"), follows("b", "a"));
    let path = file(folder.path(), "jobs.yaml", &text);
    let (code, answer) = apply(&server, &path, &[]).await;
    assert_eq!((code, each(&answer, "outcome")), (3, vec!["EXECUTED", "REFUSED", "EXECUTED"]), "{answer}");
    assert_eq!(answer["jobs"][1]["error"]["reason"].as_str(), Some("TRIGGER_CYCLE"));
    let output = server.run(&["--app", "pay", "apply", "-f", &path]).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("2 unchanged, 1 refused") && said.contains("jobs.yaml:5"), "{said}");

    // Two names for one app: what the first document changes, the second one was planned without.
    let text = "app: system\njob: x\nprocessor: exec\n";
    let path = file(folder.path(), "x.yaml", text);
    assert_eq!(server.json(&["apply", "-f", &path]).await.0, 0);
    file(folder.path(), "x.yaml", &format!("{text}priority: 1\n---\njob: x\nprocessor: exec\npriority: 2\n"));
    let (code, answer) = server.json(&["apply", "-f", &path]).await;
    assert_eq!((code, each(&answer, "outcome")), (3, vec!["EXECUTED", "REFUSED"]), "{answer}");
    assert_eq!(answer["jobs"][1]["error"]["reason"].as_str(), Some("ETAG_MISMATCH"));

    // The same id with other files is another request: it is refused, and nothing is changed by it.
    let id = fresh();
    let path = file(folder.path(), "other.yaml", "job: d\nprocessor: exec\n");
    assert_eq!(apply(&server, &path, &["--request-id", &id]).await.0, 0);
    file(folder.path(), "other.yaml", "job: d\nprocessor: http\n");
    let (code, answer) = apply(&server, &path, &["--request-id", &id]).await;
    assert_eq!((code, answer["jobs"][0]["error"]["reason"].as_str()), (3, Some("REQUEST_ID_REUSED")), "{answer}");
}
