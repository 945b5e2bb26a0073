//! `semel audit`: what it shows, and what it sees of a log that somebody has changed.

use std::{fs, path::Path, process::Stdio};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::audit_of;
use crate::e2e::{
    binary::{ServerProcess, until},
    harness::in_time,
    wire::fresh,
};

struct Audited {
    server: ServerProcess,
    data: String,
}

impl Audited {
    /// A server with the app `pay`, whose job `settle` was made once and asked for twice, and a stranger.
    async fn start(folder: &Path) -> Self {
        let server = ServerProcess::start(folder, &[]).await;
        assert_eq!(server.json(&["app", "create", "pay"]).await.0, 0);
        let id = fresh();
        for _ in 0..2 {
            let make = ["job", "create", "settle", "--app", "pay", "--processor", "p", "--request-id", &id];
            assert_eq!(server.json(&make).await.0, 0);
        }
        let mut stranger = server.command(&["job", "list", "--app", "pay"]);
        assert_eq!(in_time(stranger.output()).await.expect("it runs").status.code(), Some(4));
        let data = server.data().display().to_string();
        let audited = Self { server, data };
        until(async || (audited.lines(&[]).await.len() == 6).then_some(())).await;
        audited
    }

    async fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = self.server.run(&[&["audit", "--data-dir", &self.data], arguments].concat()).await;
        let text = |bytes| String::from_utf8(bytes).expect("text");
        (output.status.code().expect("a code"), text(output.stdout), text(output.stderr))
    }

    async fn lines(&self, arguments: &[&str]) -> Vec<Value> {
        let (code, said, problems) = self.run(&[&["-o", "json"], arguments].concat()).await;
        assert_eq!((code, problems.as_str()), (0, ""));
        said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    fn file(&self) -> std::path::PathBuf {
        audit_of(&self.server.data()).join("audit-0000000000000001.jsonl")
    }
}

#[tokio::test]
async fn it_shows_what_is_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let audited = Audited::start(folder.path()).await;
    let all = audited.lines(&[]).await;
    let kinds: Vec<&str> = all.iter().filter_map(|line| line["kind"].as_str()).collect();
    assert_eq!(kinds, ["opened", "mark", "mutation", "mutation", "mutation", "refusal"]);
    for (arguments, count) in [
        (&["--app", "pay"] as &[&str], 4),
        (&["--app", "shop"], 0),
        (&["--method", "CreateJob"], 2),
        (&["--method", "AppService/CreateApp"], 1),
        (&["--principal", "app:system", "--method", "CreateJob"], 2),
        (&["--principal", "app:pay"], 0),
        (&["--refused"], 1),
        (&["--request-id", all[3]["request_id"].as_str().expect("an id")], 2),
        (&["--since", "1h"], 6),
        (&["--until", "1h"], 0),
        (&["--limit", "2"], 2),
        (&["--limit", "0"], 6),
    ] {
        assert_eq!(audited.lines(arguments).await.len(), count, "{arguments:?}");
    }
    let (_, shown, said) = audited.run(&["--limit", "3"]).await;
    assert!(shown.starts_with("TIME") && said.contains("3 earlier lines"), "{shown}{said}");
    for words in ["JobService/CreateJob settle", "EXECUTED, revision", "REPLAYED", "CREDENTIALS_MISSING", "127.0.0.1"] {
        assert!(shown.contains(words), "no {words} in {shown}");
    }
    let other = audited.server.run(&["audit", "--data-dir", "elsewhere"]).await;
    assert_eq!(other.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&other.stderr).contains("--data-dir"), "{other:?}");
}

#[tokio::test]
async fn it_goes_on_showing_what_comes() {
    let folder = tempfile::tempdir().expect("a folder");
    let audited = Audited::start(folder.path()).await;
    let arguments = ["-o", "json", "audit", "--data-dir", &audited.data, "--follow", "--method", "PauseJob"];
    let mut following = audited.server.command(&arguments);
    let mut following = following.stderr(Stdio::inherit()).spawn().expect("it runs");
    let mut lines = BufReader::new(following.stdout.take().expect("its output")).lines();
    assert_eq!(audited.server.json(&["job", "pause", "settle", "--app", "pay"]).await.0, 0);
    let line = in_time(lines.next_line()).await.expect("text").expect("a line");
    let line: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!((&line["rpc_method"], &line["target"]), (&"semel.v1.JobService/PauseJob".into(), &"settle".into()));
    following.kill().await.expect("it ends");
}

#[tokio::test]
async fn it_sees_what_was_changed_and_says_where() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut audited = Audited::start(folder.path()).await;
    let (code, good, _) = audited.run(&["--verify"]).await;
    assert!(code == 0 && good.contains("no line was changed"), "{good}");
    let (_, json, _) = audited.run(&["-o", "json", "--verify"]).await;
    let json: Value = serde_json::from_str(&json).expect("JSON");
    let hash = json["last_hash"].as_str().expect("a hash").to_owned();
    assert_eq!((json["fault_count"].as_u64(), json["lines"].as_u64()), (Some(0), Some(6)));
    assert_eq!(audited.run(&["--verify", "--expect", &hash]).await.0, 0);
    assert_eq!(audited.server.terminate().await.code(), Some(0));

    let whole = fs::read_to_string(audited.file()).expect("text");
    fs::write(audited.file(), whole.replacen("\"settle\"", "\"seized\"", 1)).expect("written");
    let (code, _, said) = audited.run(&["--verify"]).await;
    assert!(code == 1 && said.contains("audit-0000000000000001.jsonl line 4: this line was changed"), "{said}");

    let kept: Vec<&str> = whole.lines().collect();
    fs::write(audited.file(), kept[..5].join("\n") + "\n").expect("written");
    let (code, _, said) = audited.run(&["--verify"]).await;
    assert_eq!((code, said.as_str()), (0, ""), "that the end is gone shows only who knows it");
    let (code, _, said) = audited.run(&["--verify", "--expect", &hash]).await;
    assert!(code == 1 && said.contains("no line has the hash"), "{said}");

    fs::write(audited.file(), whole.replacen("{\"seq\":4", "rubbish", 1)).expect("written");
    let (code, shown, said) = audited.run(&["-o", "json"]).await;
    assert_eq!((code, shown.lines().count()), (0, kept.len() - 1), "the others are shown");
    assert!(said.contains("line 4: it is no line") && said.contains("--verify"), "{said}");
}
