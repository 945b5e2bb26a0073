//! What a server that was killed had not written is written at its next start; and a server that must not lose a line stops
//! when it does.

use std::{fs, path::Path};

use semel_client::v1;
use semel_server::{
    logs::audit::{Events, Kind, Line, verify},
    server::Error,
};

use super::{Logged, audit_lines, audit_of, mutations};
use crate::e2e::{
    binary::ServerProcess,
    harness::{in_time, run_job, spec},
    raw_submitter::RawSubmitter,
    wire::fresh,
};

/// Cuts the file of a log off in the middle of one of its last lines, as if these had not come to the disk.
fn forget(folder: &Path, lines: usize) {
    let path = folder.join("audit-0000000000000001.jsonl");
    let text = fs::read_to_string(&path).expect("text");
    let kept: Vec<&str> = text.lines().collect();
    let (last, before) = kept[..kept.len() - lines + 1].split_last().expect("a line");
    fs::write(&path, format!("{}\n{}", before.join("\n"), &last[..last.len() / 2])).expect("written");
}

#[tokio::test]
async fn a_killed_server_writes_what_it_had_not_written_when_it_starts_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = ServerProcess::start(folder.path(), &[]).await;
    let audit = audit_of(&server.data());
    let admin = server.blunt("pay");
    admin.create_app(v1::CreateAppRequest { app: "pay".to_owned(), ..Default::default() }).await.expect("an app");
    for number in 0..8 {
        let create =
            v1::CreateJobRequest { job: format!("job-{number}"), spec: Some(spec("echo")), ..Default::default() };
        admin.create_job(create).await.expect("a job");
        // Runs are nobody's business here, and are looked through all the same.
        admin.run_job(run_job(&format!("job-{number}"))).await.expect("a run");
    }
    let pause = v1::PauseJobRequest { job: "job-7".to_owned(), ..Default::default() };
    admin.pause_job(pause).await.expect("paused");
    server.kill().await;
    let before = audit_lines(&audit);
    let made = |lines: &[Line]| mutations(lines).len();
    // What was written when it was killed depends on the machine; what is missing is made sure of.
    let known = made(&before);
    if known > 4 {
        forget(&audit, 4);
    }
    server.start_again().await;
    let lines = audit_lines(&audit);
    let targets: Vec<_> =
        lines.iter().filter(|line| line.kind == Kind::Mutation).map(|line| line.target.clone()).collect();
    let jobs = (0..8).map(|number| Some(format!("job-{number}")));
    let expected: Vec<_> = std::iter::once(None).chain(jobs).chain([Some("job-7".to_owned())]).collect();
    assert_eq!(targets, expected, "each once, in order: {lines:#?}");
    let recovered: Vec<&Line> = lines.iter().filter(|line| line.recovered).collect();
    assert!(recovered.len() >= 4, "{lines:#?}");
    assert!(
        recovered
            .iter()
            .all(|line| line.principal.as_deref() == Some("app:system") && line.app.as_deref() == Some("pay"))
    );
    let report = verify(&audit, None).expect("it can be read");
    assert_eq!(report.fault_count, 0, "{report:?}");

    // A clean end leaves nothing to be written.
    assert_eq!(server.terminate().await.code(), Some(0));
    server.start_again().await;
    assert_eq!(made(&audit_lines(&audit)), expected.len());
}

#[tokio::test]
async fn a_server_that_must_not_lose_a_line_stops_when_it_does_and_loses_nothing() {
    let mut logged = Logged::with(|settings| {
        settings.audit.events = Some(Events::All);
        settings.audit.bytes_max = 1 << 20;
        settings.audit.is_required = true;
    })
    .await;
    // Folders in the place of the next file, wherever that begins.
    let in_the_way: Vec<_> = (100..2_000).map(|seq| logged.audit().join(format!("audit-{seq:016}.jsonl"))).collect();
    for path in &in_the_way {
        fs::create_dir(path).expect("a folder");
    }
    let submitter = RawSubmitter::open(&logged.pay.pay).await.expect("it opens");
    let ids: Vec<String> = (0..900).map(|_| fresh()).collect();
    let item = |id: &String| v1::RunJobRequest {
        header: Some(v1::RequestHeader { request_id: id.clone(), ..Default::default() }),
        ..run_job("settle")
    };
    submitter.send(ids.iter().map(item).collect()).await;
    let error = in_time(logged.pay.server.running().failed()).await;
    assert!(matches!(&error, Error::AuditLost(_)), "{error}");
    assert!(error.to_string().contains("audit.required"), "{error}");
    drop(submitter);
    logged.stop().await;
    for path in &in_the_way {
        fs::remove_dir(path).expect("removed");
    }
    logged.pay.restart().await;
    let runs = logged.pay.pay.runs().await.len();
    logged.stop().await;
    let lines = audit_lines(&logged.audit());
    let written = mutations(&lines).iter().filter(|(method, _)| *method == "semel.v1.JobService/RunJob").count();
    assert!(runs >= 300, "{runs} runs");
    assert!(written >= runs, "{runs} runs, and {written} lines of them");
    assert_eq!(verify(&logged.audit(), None).expect("it can be read").fault_count, 0);
}
