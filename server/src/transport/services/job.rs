//! `JobService`.

use std::collections::BTreeMap;

use semel_core::{
    command::{Command, RunJob, UniqueKey},
    id::{AppName, JobKey, JobName, Millis, Timestamp},
    job::Job,
    limits,
    rejection::Rejection,
};
use semel_proto::v1::{self, job_service_server::JobService};
use tonic::{Request, Response, Status, Streaming};

use super::{Services, submit::Answers};
use crate::{
    store::{self, Reader},
    transport::{
        call::{Arrived, Call},
        convert::{fields::Fields, job as convert},
        gate, page,
        status::Refusal,
    },
};

const PAGE_KIND: u8 = b'j';
/// Jobs that are read at a time.
const CHUNK: usize = 16;

fn key(fields: &mut Fields, app: AppName, job: &str) -> Option<JobKey> {
    fields.take("job", JobName::parse(job)).map(|job| JobKey { app, job })
}

/// Which jobs a list is of.
struct Filter {
    prefix: String,
    paused: Option<bool>,
    labels: BTreeMap<String, String>,
}

impl Filter {
    fn holds(&self, job: &Job) -> bool {
        job.key.job.as_str().starts_with(&self.prefix)
            && self.paused.is_none_or(|paused| job.pause.is_some() == paused)
            && self.labels.iter().all(|(key, value)| job.spec.labels.get(key) == Some(value))
    }

    /// One job more than a page of this size has, if there are as many. Jobs may carry an input of up to 1 MiB: no more are
    /// held than one answer takes, and a few.
    fn read(
        &self,
        reader: &dyn Reader,
        app: &AppName,
        mut after: Option<JobName>,
        size: usize,
    ) -> Result<Vec<Job>, store::Error> {
        let mut jobs = Vec::new();
        let mut bytes = 0;
        while jobs.len() <= size && bytes <= page::BYTES_MAX {
            let chunk = reader.jobs(app, after.as_ref(), CHUNK)?;
            let Some(last) = chunk.last() else { break };
            after = Some(last.key.job.clone());
            let chunk: Vec<Job> = chunk.into_iter().filter(|job| self.holds(job)).collect();
            bytes += chunk.iter().filter_map(|job| Some(job.spec.payload.as_ref()?.data.len())).sum::<usize>();
            jobs.extend(chunk);
        }
        jobs.truncate(size + 1);
        Ok(jobs)
    }
}

impl Services {
    /// Jobs with how many runs each has in which state.
    async fn with_counts(&self, jobs: Vec<Job>) -> Result<Vec<v1::Job>, Refusal> {
        let look = move |view: &crate::engine::View<'_>| {
            let state = view.engine.state();
            jobs.iter().map(|job| convert::job(job, state.counts(&job.key))).collect()
        };
        self.gate.engine()?.read(look).await.map_err(gate::refused)
    }
}

impl Services {
    /// Serves `RunJob`.
    pub(in crate::transport) fn make_run(
        &self,
        arrived: Arrived<v1::RunJobRequest>,
    ) -> impl Future<Output = Result<v1::RunJobResponse, Status>> {
        let now = self.gate.now();
        self.gate.change(arrived, move |message, app, fields| parse_run_job(message, app, fields, now))
    }
}

#[tonic::async_trait]
impl JobService for Services {
    async fn create_job(
        &self,
        request: Request<v1::CreateJobRequest>,
    ) -> Result<Response<v1::CreateJobResponse>, Status> {
        let parse = |message: &v1::CreateJobRequest, app, fields: &mut Fields| {
            let key = key(fields, app, &message.job);
            let spec = convert::parse_spec(fields, message.spec.as_ref());
            Some(Command::CreateJob { key: key?, spec: spec? })
        };
        self.gate.mutate(request, parse).await
    }

    async fn get_job(&self, request: Request<v1::GetJobRequest>) -> Result<Response<v1::GetJobResponse>, Status> {
        let look = async |call: &Call<'_>, message: &v1::GetJobRequest, app, mut fields: Fields| {
            let Some(key) = key(&mut fields, app, &message.job) else {
                return Err(Refusal::invalid(fields.violations()));
            };
            let found = self.gate.engine()?.reader().job(&key).map_err(|error| Refusal::internal(&error))?;
            let not_found = || gate::rejected(Rejection::NotFound { what: "job", name: key.to_string() });
            let job = self.with_counts(vec![found.ok_or_else(not_found)?]).await?.pop();
            Ok(v1::GetJobResponse { header: call.read_header(), job })
        };
        self.gate.read(request, look).await
    }

    async fn list_jobs(&self, request: Request<v1::ListJobsRequest>) -> Result<Response<v1::ListJobsResponse>, Status> {
        let look = async |call: &Call<'_>, message: &v1::ListJobsRequest, app: AppName, mut fields: Fields| {
            let place = page::place(&mut fields, message.page.as_ref(), PAGE_KIND);
            let after = place.and_then(|place| fields.take("page.page_token", parse_name(&place)));
            if !fields.is_clean() {
                return Err(Refusal::invalid(fields.violations()));
            }
            let filter =
                Filter { prefix: message.prefix.clone(), paused: message.paused, labels: message.labels.clone() };
            let size = page::size(message.page.as_ref());
            let jobs = self.gate.list(move |reader| filter.read(reader, &app, after, size)).await?;
            let jobs = self.with_counts(jobs).await?;
            let shown = page::fitting(&jobs).min(size);
            let next = (shown < jobs.len()).then(|| jobs[shown - 1].name.clone());
            Ok(v1::ListJobsResponse {
                header: call.read_header(),
                jobs: jobs.into_iter().take(shown).collect(),
                page: page::token(PAGE_KIND, next.as_deref().map(str::as_bytes)),
            })
        };
        self.gate.read(request, look).await
    }

    async fn update_job(
        &self,
        request: Request<v1::UpdateJobRequest>,
    ) -> Result<Response<v1::UpdateJobResponse>, Status> {
        let parse = |message: &v1::UpdateJobRequest, app, fields: &mut Fields| {
            let key = key(fields, app, &message.job);
            let etag = fields.etag(&message.etag);
            let spec = convert::parse_spec(fields, message.spec.as_ref());
            Some(Command::UpdateJob { key: key?, etag, spec: spec? })
        };
        self.gate.mutate(request, parse).await
    }

    async fn delete_job(
        &self,
        request: Request<v1::DeleteJobRequest>,
    ) -> Result<Response<v1::DeleteJobResponse>, Status> {
        let parse = |message: &v1::DeleteJobRequest, app, fields: &mut Fields| {
            let key = key(fields, app, &message.job);
            let etag = fields.etag(&message.etag);
            Some(Command::DeleteJob { key: key?, etag })
        };
        self.gate.mutate(request, parse).await
    }

    async fn pause_job(&self, request: Request<v1::PauseJobRequest>) -> Result<Response<v1::PauseJobResponse>, Status> {
        let parse = |message: &v1::PauseJobRequest, app, fields: &mut Fields| {
            let key = key(fields, app, &message.job);
            let note = fields.text("note", &message.note, limits::NOTE_CHARS_MAX);
            Some(Command::PauseJob { key: key?, note: note? })
        };
        self.gate.mutate(request, parse).await
    }

    async fn resume_job(
        &self,
        request: Request<v1::ResumeJobRequest>,
    ) -> Result<Response<v1::ResumeJobResponse>, Status> {
        let parse = |message: &v1::ResumeJobRequest, app, fields: &mut Fields| {
            key(fields, app, &message.job).map(|key| Command::ResumeJob { key })
        };
        self.gate.mutate(request, parse).await
    }

    async fn run_job(&self, request: Request<v1::RunJobRequest>) -> Result<Response<v1::RunJobResponse>, Status> {
        self.make_run(request.into()).await.map(Response::new)
    }

    type SubmitRunsStream = Answers;

    async fn submit_runs(
        &self,
        request: Request<Streaming<v1::SubmitRunsRequest>>,
    ) -> Result<Response<Answers>, Status> {
        self.open_submit(request).map(Response::new)
    }
}

/// What `RunJob` wishes, be it a call of its own or an item of a stream.
pub(super) fn parse_run_job(
    message: &v1::RunJobRequest,
    app: AppName,
    fields: &mut Fields,
    now: Timestamp,
) -> Option<Command> {
    let key = key(fields, app, &message.job);
    let payload = fields.payload("payload", message.payload.as_ref());
    let labels = fields.labels("labels", &message.labels);
    let priority = message.priority.map(|priority| fields.priority("priority", priority));
    let start_time = fields.time("start_time", message.start_time.as_ref());
    if start_time.is_some_and(|start_time| start_time > now.plus(limits::START_AHEAD_MAX)) {
        fields.note("start_time", "must be at most a year ahead");
    }
    let deadline = fields.time("deadline", message.deadline.as_ref());
    let unique_key = message.unique_key.as_ref().and_then(|unique_key| parse_unique_key(fields, unique_key));
    Some(Command::RunJob(RunJob { key: key?, payload, labels, priority, start_time, deadline, unique_key }))
}

fn parse_unique_key(fields: &mut Fields, unique_key: &v1::UniqueKey) -> Option<UniqueKey> {
    if !(1..=limits::UNIQUE_KEY_BYTES_MAX).contains(&unique_key.key.len()) {
        fields.note("unique_key.key", format!("must have 1 to {} bytes", limits::UNIQUE_KEY_BYTES_MAX));
    }
    let hold = fields.span("unique_key.hold", unique_key.hold.as_ref(), Millis(1), limits::UNIQUE_HOLD_MAX);
    Some(UniqueKey { key: unique_key.key.clone(), hold })
}

fn parse_name(place: &[u8]) -> Result<JobName, String> {
    let name = std::str::from_utf8(place).map_err(|_| "is none that this list gave".to_owned())?;
    JobName::parse(name)
}
