//! A backup that is made while callers submit holds all that was acknowledged before it was begun; the store that is made
//! of it executes nothing again that the backup does not know.

use std::path::Path;

use semel_client::v1::{self, Disposition, RequestState};

use super::{Load, Told, prepare, send_again};
use crate::e2e::{binary::ServerProcess, fire::all_runs};

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

/// The acknowledged ones.
fn acknowledged(told: &[Told]) -> impl Iterator<Item = (&Told, &String)> {
    told.iter().filter_map(|told| Some((told, told.run_id.as_ref()?)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_is_whole_and_what_came_after_it_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let lost = folder.path().join("lost");
    std::fs::create_dir(&lost).expect("a folder");
    let mut server = ServerProcess::start(&lost, &[]).await;
    prepare(&server).await;
    let mut first = Load::begin(&server, 0);
    first.acknowledged(300).await;
    let before = first.end().await;

    let mut load = Load::begin(&server, 0);
    load.acknowledged(20).await;
    let backup = folder.path().join("backup");
    let data = server.data();
    let (code, manifest) = server.json(&["backup", "--data-dir", text(&data), "--to", text(&backup)]).await;
    assert_eq!(code, 0, "{manifest}");
    load.acknowledged(20).await;
    let during = load.end().await;
    let mut last = Load::begin(&server, 0);
    last.acknowledged(50).await;
    let after = last.end().await;
    server.kill().await;

    let new = folder.path().join("new");
    std::fs::create_dir(&new).expect("a folder");
    let mut restored = ServerProcess::start_nothing(&new);
    let (code, _) = restored_json(&restored, &backup).await;
    assert_eq!(code, 0);
    restored.start_again().await;
    let client = restored.blunt("pay");
    let runs = all_runs(&client).await;
    for (told, run_id) in acknowledged(&before) {
        let answer = send_again(&client, told.id, 0).await.unwrap_or_else(|error| panic!("{}: {error}", told.id));
        assert_eq!(answer.header.expect("a header").disposition(), Disposition::Replayed, "{}", told.id);
        assert_eq!(answer.run_id, *run_id);
    }
    // What came meanwhile is there, and shown again, or it is not, and then it is refused for good.
    let mut refused = 0;
    for told in during.iter().chain(&after) {
        let is_there = runs.iter().any(|(id, _)| *id == told.id.to_string());
        match send_again(&client, told.id, 0).await {
            Ok(answer) => {
                assert!(is_there && told.run_id.as_ref() == Some(&answer.run_id), "{} is executed again", told.id);
            }
            Err(error) => {
                assert_eq!(error.reason(), Some("REQUEST_ID_EXPIRED"), "{error}");
                assert!(!is_there && error.to_string().contains("restored"), "{error}");
                refused += 1;
            }
        }
    }
    assert!(refused >= after.len(), "what came after the backup is not in it");
    let look = v1::GetRequestRequest { target_request_id: after[0].id.to_string(), ..Default::default() };
    let record = client.get_request(look).await.expect("an answer").request.expect("a record");
    assert_eq!(record.state(), RequestState::Expired, "nobody can say that it did not take effect");
    assert_eq!(all_runs(&client).await, runs, "nothing was made by all that");

    let fresh = send_again(&client, client.mint_request_id(), 0).await.expect("it goes on");
    assert!(runs.iter().all(|(_, run_id)| *run_id != fresh.run_id));
    let revision = fresh.header.expect("a header").revision;
    assert!(revision > manifest["revision"].as_i64().expect("a number") + 1_000_000_000, "{revision}");
}

async fn restored_json(server: &ServerProcess, backup: &Path) -> (i32, serde_json::Value) {
    let data = server.data();
    let output = server.command(&["-o", "json", "restore", "--from", text(backup), "--data-dir", text(&data)]);
    let output = { output }.output().await.expect("it runs");
    let value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (output.status.code().expect("a code"), value)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_a_killed_server_has_what_stands_in_its_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let old = folder.path().join("old");
    std::fs::create_dir(&old).expect("a folder");
    let mut server = ServerProcess::start(&old, &[]).await;
    prepare(&server).await;
    let mut load = Load::begin(&server, 0);
    load.acknowledged(100).await;
    let told = load.end().await;
    server.kill().await;
    let backup = folder.path().join("backup");
    let data = server.data();
    let made = server.command(&["backup", "--data-dir", text(&data), "--to", text(&backup)]).output().await;
    let made = made.expect("it runs");
    assert!(made.status.success(), "{made:?}");
    let new = folder.path().join("new");
    std::fs::create_dir(&new).expect("a folder");
    let mut restored = ServerProcess::start_nothing(&new);
    assert_eq!(restored_json(&restored, &backup).await.0, 0);
    restored.start_again().await;
    super::reckon(&restored, &told, 0).await;
}

#[tokio::test]
async fn a_restore_says_what_is_wrong_and_how_to_go_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = ServerProcess::start(folder.path(), &[]).await;
    let (code, said) = restored_json(&server, folder.path()).await;
    assert_eq!(code, 1);
    assert!(said["error"]["message"].as_str().expect("text").contains("has no manifest"), "{said}");
    let backup = folder.path().join("backup");
    let data = server.data();
    assert_eq!(server.json(&["backup", "--data-dir", text(&data), "--to", text(&backup)]).await.0, 0);
    let (code, said) = restored_json(&server, &backup).await;
    assert_eq!(code, 1, "a server runs there");
    assert!(said["error"]["message"].as_str().expect("text").contains("is not empty"), "{said}");
    let output = server.run(&["backup", "--data-dir", text(&data), "--to", text(&backup)]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("is not empty"), "{output:?}");
}
