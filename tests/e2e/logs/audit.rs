//! Who changed what, and who was refused: each thing once, whoever waited for its answer.

use std::collections::BTreeSet;

use semel_client::v1;
use semel_server::logs::audit::{Events, Kind, Line, verify};
use tokio::task::JoinSet;

use super::{Logged, audit_lines, is_of, mutations, shop};
use crate::e2e::{
    harness::{in_time, run_job, spec},
    raw_submitter::RawSubmitter,
    raw_worker::{RawWorker, hello, succeeded},
    wire::{fresh, settle},
};

fn create(job: &str) -> v1::CreateJobRequest {
    v1::CreateJobRequest { app: "pay".to_owned(), job: job.to_owned(), spec: Some(spec("echo")), ..Default::default() }
}

#[tokio::test]
async fn what_an_admin_does_is_written_each_time_and_runs_are_not() {
    let mut logged = Logged::start().await;
    let pay = &logged.pay;
    settle(&pay.pay, &fresh()).await.expect("it runs");
    let id = fresh();
    let first = pay.pay.served(&id, create("other")).await.header.expect("a header");
    pay.pay.served(&id, create("other")).await;
    let lines = logged.told(2, is_of(&id)).await;
    let [done, again] = lines.as_slice() else { panic!("two lines") };
    assert_eq!((done.kind, done.disposition.as_deref(), done.arrivals), (Kind::Mutation, Some("EXECUTED"), None));
    assert_eq!((again.kind, again.disposition.as_deref(), again.arrivals), (Kind::Mutation, Some("REPLAYED"), Some(2)));
    for line in &lines {
        assert_eq!(line.revision.map(u64::cast_signed), Some(first.revision));
        assert_eq!((line.principal.as_deref(), line.app.as_deref()), (Some("app:pay"), Some("pay")));
        assert_eq!(line.target.as_deref(), Some("other"));
        assert_eq!(line.rpc_method.as_deref(), Some("semel.v1.JobService/CreateJob"));
        assert_eq!(
            (line.auth_method.as_deref(), line.network_peer_address.as_deref()),
            (Some("APP_SECRET"), Some("127.0.0.1"))
        );
    }
    assert!(again.execute_time.as_ref().is_some_and(|time| *time <= again.time) && done.execute_time.is_none());
    logged.stop().await;
    let lines = audit_lines(&logged.audit());
    assert_eq!(
        mutations(&lines),
        [
            ("semel.v1.AppService/CreateApp", "EXECUTED"),
            ("semel.v1.JobService/CreateJob", "EXECUTED"),
            ("semel.v1.JobService/CreateJob", "EXECUTED"),
            ("semel.v1.JobService/CreateJob", "REPLAYED"),
        ]
    );
    assert_eq!((lines[0].kind, lines.last().map(|line| line.kind)), (Kind::Opened, Some(Kind::Closed)));
}

#[tokio::test]
async fn with_all_events_the_items_of_streams_are_written_and_what_workers_report() {
    let mut logged = Logged::with(|settings| settings.audit.events = Some(Events::All)).await;
    let pay = &logged.pay.pay;
    let mut submitter = RawSubmitter::open(pay).await.expect("it opens");
    let ids: Vec<String> = (0..3).map(|_| fresh()).collect();
    let item = |id: &String, job| v1::RunJobRequest {
        header: Some(v1::RequestHeader { request_id: id.clone(), ..Default::default() }),
        ..run_job(job)
    };
    submitter.send(vec![item(&ids[0], "settle"), item(&ids[1], "nowhere"), item(&ids[2], "settle")]).await;
    for _ in &ids {
        submitter.result().await;
    }
    let mut worker = RawWorker::open(pay, hello("echo", 1)).await.expect("it opens");
    let assignment = worker.assignment().await;
    let report = fresh();
    worker.submit(&report, succeeded(&assignment, "done")).await.expect("it is taken");
    for (id, method) in
        [(&ids[0], "JobService/RunJob"), (&ids[2], "JobService/RunJob"), (&report, "WorkerService/Work.report")]
    {
        let lines = logged.told(1, is_of(id)).await;
        assert_eq!(
            (lines[0].kind, lines[0].rpc_method.as_deref()),
            (Kind::Mutation, Some(&*format!("semel.v1.{method}")))
        );
        assert_eq!(lines[0].network_peer_address.as_deref(), Some("127.0.0.1"));
    }
    let refused = logged.told(1, is_of(&ids[1])).await;
    assert_eq!((refused[0].kind, refused[0].reason.as_deref()), (Kind::Refusal, Some("NOT_FOUND")));
    drop((worker, submitter));
    logged.stop().await;
    assert_eq!(verify(&logged.audit(), None).expect("it can be read").fault_count, 0);
}

#[tokio::test]
async fn refusals_of_credentials_and_rights_are_written_and_a_flood_of_them_is_counted() {
    let logged = Logged::start().await;
    let pay = &logged.pay;
    let (id, read) = (fresh(), fresh());
    let other = shop(pay).await;
    other.refused(&id, create("stolen")).await;
    other.refused(&read, v1::ListJobsRequest { app: "pay".to_owned(), ..Default::default() }).await;
    for (id, method) in [(&id, "semel.v1.JobService/CreateJob"), (&read, "semel.v1.JobService/ListJobs")] {
        let [line] = logged.told(1, is_of(id)).await.try_into().expect("one");
        assert_eq!((line.kind, line.reason.as_deref()), (Kind::Refusal, Some("FORBIDDEN")));
        assert_eq!((line.principal.as_deref(), line.app.as_deref()), (Some("app:shop"), Some("pay")));
        assert_eq!((line.rpc_method.as_deref(), line.auth_status.as_deref()), (Some(method), Some("FORBIDDEN")));
        assert_eq!(line.rpc_response_status_code.as_deref(), Some("PERMISSION_DENIED"));
    }
    // A run that cannot be made is nobody's business here; a job that cannot be, is.
    pay.pay.refused(&fresh(), run_job("nowhere")).await;
    let twice = fresh();
    pay.pay.refused(&twice, create("settle")).await;
    assert_eq!(logged.told(1, is_of(&twice)).await[0].reason.as_deref(), Some("ALREADY_EXISTS"));

    let stranger = pay.nobody.bearer("sk_nobody");
    for _ in 0..40 {
        stranger.send("", v1::CheckAuthRequest::default()).await.expect("a verdict");
        stranger.refused(&fresh(), run_job("settle")).await;
    }
    let mut logged = logged;
    logged.stop().await;
    let lines = audit_lines(&logged.audit());
    let of_strangers = |kind| lines.iter().filter(move |line| line.kind == kind && line.principal.is_none());
    let is_credentials = |line: &&Line| {
        line.reason.as_ref().is_some_and(|reason| reason.starts_with("CREDENTIALS_") || reason == "AUTH_THROTTLED")
    };
    let one_by_one = of_strangers(Kind::Refusal).filter(is_credentials).count() as u64;
    let counted: u64 = of_strangers(Kind::RefusalsLeftOut).filter_map(|line| line.count).sum();
    assert!(one_by_one <= 20, "of each reason ten: {one_by_one}");
    assert_eq!(one_by_one + counted, 80, "{lines:#?}");
    assert!(!lines.iter().any(|line| line.reason.as_deref() == Some("NOT_FOUND")), "{lines:#?}");
}

#[tokio::test]
async fn what_took_effect_is_written_though_its_caller_has_left() {
    let mut logged = Logged::start().await;
    let mut callers = JoinSet::new();
    for number in 0..60_u64 {
        let pay = logged.pay.pay.clone();
        callers.spawn(async move {
            let call = pay.send(&fresh(), create(&format!("job-{number}"))).await;
            drop(call);
        });
        // Some leave before their call is sent, some while it is under way, and some hear the answer.
        if number % 3 == 0 {
            callers.abort_all();
        }
        tokio::task::yield_now().await;
    }
    while callers.join_next().await.is_some() {}
    let page = Some(v1::PageRequest { page_size: 1000, ..Default::default() });
    // What was sent before this is decided before it: then all jobs that there will be are there.
    in_time(logged.pay.pay.served(&fresh(), create("last"))).await;
    let list = v1::ListJobsRequest { app: "pay".to_owned(), page, ..Default::default() };
    let jobs = logged.pay.pay.served("", list).await.jobs;
    logged.stop().await;
    let made: BTreeSet<u64> = jobs.iter().map(|job| job.etag.parse().expect("a revision")).collect();
    let lines = audit_lines(&logged.audit());
    let is_made = |line: &&Line| line.rpc_method.as_deref() == Some("semel.v1.JobService/CreateJob");
    let written: Vec<u64> = lines.iter().filter(is_made).filter_map(|line| line.revision).collect();
    assert!(made.len() > 2 && made.is_subset(&written.iter().copied().collect()), "{made:?} and {written:?}");
    assert!(written.is_sorted_by(|one, next| one < next), "each once, in the order of their effects: {written:?}");
}
