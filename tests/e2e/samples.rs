//! A request for every unary method that a server would serve, each about things of its own, so that they can be sent in
//! any order. Whoever adds a method adds its sample here; `descriptors.rs` fails until then.

use std::collections::BTreeMap;

use prost_reflect::{DynamicMessage, MethodDescriptor};
use semel_client::{Method, v1};

use super::{
    dynamic,
    harness::spec,
    wire::{Wire, fresh, payload, seconds},
};

/// What the samples are about.
pub(crate) struct Stage {
    pub(crate) app: String,
    secret: String,
    job_etag: String,
    doomed_job_etag: String,
    other_app_etag: String,
    doomed_app_etag: String,
    live_run: String,
    ended_run: String,
    request: String,
}

/// The streams that callers open. None has a sample, for what they say is no single request: each is driven by hand, in
/// `raw_worker.rs` and `raw_submitter.rs`. Whoever adds one tests every promise on it, as `workers` and `submit_runs` do.
pub(crate) const STREAMS: [&str; 2] = ["/semel.v1.JobService/SubmitRuns", "/semel.v1.WorkerService/Work"];

/// Samples by the path of their method.
pub(crate) struct Samples(BTreeMap<&'static str, Vec<u8>>);

impl Samples {
    /// The sample of a method.
    pub(crate) fn of(&self, method: &MethodDescriptor) -> DynamicMessage {
        let path = dynamic::path(method);
        let bytes = self.0.get(path.as_str());
        let bytes = bytes.unwrap_or_else(|| panic!("{path} has no sample: add one to samples.rs"));
        DynamicMessage::decode(method.input(), bytes.as_slice()).expect("the sample is a request of its method")
    }

    /// The paths of all methods that have one.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &'static str> {
        self.0.keys().copied()
    }
}

impl Stage {
    /// Makes all that the samples need, in an app of this name.
    pub(crate) async fn set(wire: &Wire, app: &str) -> Self {
        let make_app = async |name: String| {
            let made = wire.served(&fresh(), v1::CreateAppRequest { app: name, ..Default::default() }).await;
            (made.secret, made.app.expect("an app").etag)
        };
        let make_job = async |job: &str| {
            let request = v1::CreateJobRequest {
                app: app.to_owned(),
                job: job.to_owned(),
                spec: Some(spec("nobody")),
                ..Default::default()
            };
            wire.served(&fresh(), request).await.job.expect("a job").etag
        };
        let (secret, _) = make_app(app.to_owned()).await;
        let (_, other_app_etag) = make_app(format!("{app}/other")).await;
        let (_, doomed_app_etag) = make_app(format!("{app}/doomed")).await;
        make_app(format!("{app}/rotated")).await;
        for job in ["run", "paused", "resumed"] {
            make_job(job).await;
        }
        let triggers = ["paused", "resumed", "fired", "filled", "emptied"].map(|name| (name.to_owned(), yearly()));
        let request = v1::CreateJobRequest {
            app: app.to_owned(),
            job: "triggered".to_owned(),
            spec: Some(v1::JobSpec { triggers: triggers.into(), ..spec("nobody") }),
            ..Default::default()
        };
        wire.served(&fresh(), request).await;
        let (job_etag, doomed_job_etag) = (make_job("updated").await, make_job("doomed").await);
        let request = fresh();
        let run = || v1::RunJobRequest { app: app.to_owned(), job: "run".to_owned(), ..Default::default() };
        let live_run = wire.served(&request, run()).await.run_id;
        let ended_run = wire.served(&fresh(), run()).await.run_id;
        let cancel = v1::CancelRunRequest { app: app.to_owned(), run_id: ended_run.clone(), ..Default::default() };
        wire.served(&fresh(), cancel).await;
        Self {
            app: app.to_owned(),
            secret,
            job_etag,
            doomed_job_etag,
            other_app_etag,
            doomed_app_etag,
            live_run,
            ended_run,
            request,
        }
    }

    /// All samples. Those that change something have every field set.
    pub(crate) fn samples(&self) -> Samples {
        let parts =
            [self.of_apps(), self.of_jobs(), self.of_runs(), self.of_auth(), self.of_lists(), self.of_triggers()];
        Samples(parts.into_iter().flatten().collect())
    }

    fn of_apps(&self) -> Vec<(&'static str, Vec<u8>)> {
        let below = |name: &str| format!("{}/{name}", self.app);
        let grants = vec![v1::Grant { role: v1::Role::Viewer.into(), apps: self.app.clone() }];
        vec![
            sample(v1::CreateAppRequest {
                app: below("made"),
                description: "made".to_owned(),
                grants: grants.clone(),
                ..Default::default()
            }),
            sample(v1::UpdateAppRequest {
                app: below("other"),
                etag: self.other_app_etag.clone(),
                description: "changed".to_owned(),
                grants,
                ..Default::default()
            }),
            sample(v1::DeleteAppRequest {
                app: below("doomed"),
                etag: self.doomed_app_etag.clone(),
                ..Default::default()
            }),
            sample(v1::RotateAppSecretRequest { app: below("rotated"), grace: seconds(60), ..Default::default() }),
            sample(v1::GetAppRequest { app: self.app.clone(), ..Default::default() }),
            sample(v1::ListAppsRequest::default()),
        ]
    }

    fn of_jobs(&self) -> Vec<(&'static str, Vec<u8>)> {
        let app = || self.app.clone();
        let job = |name: &str| name.to_owned();
        vec![
            sample(v1::CreateJobRequest {
                app: app(),
                job: job("made"),
                spec: Some(full_spec()),
                ..Default::default()
            }),
            sample(v1::UpdateJobRequest {
                app: app(),
                job: job("updated"),
                etag: self.job_etag.clone(),
                spec: Some(full_spec()),
                ..Default::default()
            }),
            sample(v1::DeleteJobRequest {
                app: app(),
                job: job("doomed"),
                etag: self.doomed_job_etag.clone(),
                ..Default::default()
            }),
            sample(v1::PauseJobRequest { app: app(), job: job("paused"), note: job("why"), ..Default::default() }),
            sample(v1::ResumeJobRequest { app: app(), job: job("resumed"), ..Default::default() }),
            sample(v1::RunJobRequest {
                app: app(),
                job: job("run"),
                payload: full_payload(),
                labels: [("a".to_owned(), "1".to_owned())].into(),
                priority: Some(7),
                start_time: Some(prost_types::Timestamp { seconds: 1_000_000_000, nanos: 0 }),
                deadline: Some(prost_types::Timestamp { seconds: 4_000_000_000, nanos: 0 }),
                unique_key: Some(v1::UniqueKey { key: "k".to_owned(), hold: seconds(60) }),
                ..Default::default()
            }),
            sample(v1::GetJobRequest { app: app(), job: job("run"), ..Default::default() }),
        ]
    }

    fn of_runs(&self) -> Vec<(&'static str, Vec<u8>)> {
        let app = || self.app.clone();
        let (live, ended) = (|| self.live_run.clone(), || self.ended_run.clone());
        vec![
            sample(v1::CancelRunRequest {
                app: app(),
                run_id: live(),
                reason: "enough".to_owned(),
                ..Default::default()
            }),
            sample(v1::RetryRunRequest { app: app(), run_id: ended(), ..Default::default() }),
            sample(v1::GetRunRequest { app: app(), run_id: ended(), ..Default::default() }),
            sample(v1::WaitRunRequest { app: app(), run_id: ended(), ..Default::default() }),
            sample(v1::ExplainRunRequest { app: app(), run_id: live(), ..Default::default() }),
            sample(v1::GetRunLogsRequest { app: app(), run_id: ended(), ..Default::default() }),
            // A stream to the caller is called as any other method is: its first message is the answer.
            (
                "/semel.v1.WatchService/Watch",
                prost::Message::encode_to_vec(&v1::WatchRequest { app: app(), ..Default::default() }),
            ),
        ]
    }

    fn of_auth(&self) -> Vec<(&'static str, Vec<u8>)> {
        let target = Some(v1::revoke_token_request::Target::TokenId(fresh()));
        vec![
            sample(v1::IssueTokenRequest { app: self.app.clone(), secret: self.secret.clone(), ..Default::default() }),
            sample(v1::CheckAuthRequest::default()),
            sample(v1::RevokeTokenRequest { app: self.app.clone(), target, ..Default::default() }),
        ]
    }

    fn of_triggers(&self) -> Vec<(&'static str, Vec<u8>)> {
        let (app, job, named) = (|| self.app.clone(), || "triggered".to_owned(), |name: &str| name.to_owned());
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        let overlap = Some(v1::Overlap { rule: v1::OverlapRule::Parallel.into(), max: 3 });
        vec![
            sample(v1::GetTriggerRequest { app: app(), job: job(), trigger: named("paused"), ..Default::default() }),
            sample(v1::ListTriggersRequest { app: app(), ..Default::default() }),
            sample(v1::PreviewTriggerRequest { app: app(), spec: Some(yearly()), ..Default::default() }),
            sample(v1::PauseTriggerRequest {
                app: app(),
                job: job(),
                trigger: named("paused"),
                note: named("why"),
                ..Default::default()
            }),
            sample(v1::ResumeTriggerRequest {
                app: app(),
                job: job(),
                trigger: named("resumed"),
                ..Default::default()
            }),
            sample(v1::FireTriggerRequest {
                app: app(),
                job: job(),
                trigger: named("fired"),
                overlap,
                ..Default::default()
            }),
            sample(v1::BackfillTriggerRequest {
                app: app(),
                job: job(),
                trigger: named("filled"),
                from_time: at(1_600_000_000),
                to_time: at(1_700_000_000),
                overlap,
                ..Default::default()
            }),
            sample(v1::CancelBackfillRequest {
                app: app(),
                job: job(),
                trigger: named("emptied"),
                ..Default::default()
            }),
        ]
    }

    fn of_lists(&self) -> Vec<(&'static str, Vec<u8>)> {
        let app = || self.app.clone();
        vec![
            sample(v1::ListJobsRequest { app: app(), ..Default::default() }),
            sample(v1::ListRunsRequest { app: app(), ..Default::default() }),
            sample(v1::GetRequestRequest { app: app(), target_request_id: self.request.clone(), ..Default::default() }),
            sample(v1::ListRequestsRequest { app: app(), ..Default::default() }),
            sample(v1::GetServerInfoRequest::default()),
        ]
    }
}

fn sample<M: Method>(message: M) -> (&'static str, Vec<u8>) {
    (M::PATH, message.encode_to_vec())
}

fn full_payload() -> Option<v1::Payload> {
    payload("1").map(|payload| v1::Payload { content_type: "text/plain".to_owned(), ..payload })
}

fn full_spec() -> v1::JobSpec {
    v1::JobSpec {
        processor: "nobody".to_owned(),
        payload: full_payload(),
        retry: Some(v1::RetryPolicy {
            max_attempts: 3,
            initial_backoff: seconds(1),
            multiplier: 2.0,
            max_backoff: seconds(60),
        }),
        attempt_timeout: seconds(60),
        run_timeout: seconds(600),
        max_running: 3,
        priority: 7,
        lost_worker: v1::LostWorkerPolicy::Fail.into(),
        labels: [("a".to_owned(), "1".to_owned())].into(),
        description: "all of it".to_owned(),
        triggers: [("full".to_owned(), full_trigger())].into(),
    }
}

fn yearly() -> v1::TriggerSpec {
    let cron = v1::CronTimes { expression: "@yearly".to_owned() };
    v1::TriggerSpec { when: Some(v1::trigger_spec::When::Cron(cron)), ..Default::default() }
}

fn full_trigger() -> v1::TriggerSpec {
    let days = v1::ExcludedWeekdays { days: vec![v1::DayOfWeek::Sunday.into()] };
    v1::TriggerSpec {
        zone: "Europe/Berlin".to_owned(),
        gap: v1::GapRule::Skip.into(),
        fold: v1::FoldRule::Both.into(),
        exclude: vec![v1::Exclusion { kind: Some(v1::exclusion::Kind::Weekdays(days)) }],
        start_time: Some(prost_types::Timestamp { seconds: 1_000_000_000, nanos: 0 }),
        end_time: Some(prost_types::Timestamp { seconds: 4_000_000_000, nanos: 0 }),
        max_fires: 3,
        jitter: seconds(60),
        overlap: Some(v1::Overlap { rule: v1::OverlapRule::BufferAll.into(), max: 3 }),
        misfire: v1::MisfireRule::FireAll.into(),
        catch_up: seconds(600),
        pause_after_failures: 3,
        payload: full_payload(),
        labels: [("b".to_owned(), "2".to_owned())].into(),
        ..yearly()
    }
}
