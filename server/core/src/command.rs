//! What callers may wish, and what the server itself does. All fields were checked on their way in.

mod method;

use std::sync::Arc;

pub use self::method::Method;
use crate::{
    app::{Grant, NewSecret, Role},
    codec::Payload,
    event::WorkerStanding,
    id::{
        AppName, AttemptNumber, JobKey, Millis, ProcessorName, RequestId, Revision, RunId, Timestamp, TokenId,
        TriggerKey, WorkerId,
    },
    job::{JobSpec, Labels},
    run::LogStream,
    schedule::Overlap,
    trace::TraceContext,
};

/// The wish of a caller. Comes to the engine only inside an envelope: with a principal and a request id.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// `AppService.CreateApp`.
    CreateApp {
        /// The new app.
        app: AppName,
        /// What it is.
        description: String,
        /// What it may do beyond its own bounds.
        grants: Vec<Grant>,
        /// Its secret.
        secret: NewSecret,
    },
    /// `AppService.UpdateApp`.
    UpdateApp {
        /// Which.
        app: AppName,
        /// What was read; none to write over anything.
        etag: Option<Revision>,
        /// The new description.
        description: String,
        /// The new grants.
        grants: Vec<Grant>,
    },
    /// `AppService.DeleteApp`.
    DeleteApp {
        /// Which.
        app: AppName,
        /// What was read; none to delete anything.
        etag: Option<Revision>,
    },
    /// `AppService.RotateAppSecret`.
    RotateAppSecret {
        /// Which.
        app: AppName,
        /// How long the former secret stays good.
        grace: Millis,
        /// The new secret.
        secret: NewSecret,
    },
    /// `AuthService.RevokeToken`.
    RevokeToken {
        /// Whose.
        app: AppName,
        /// Which.
        target: RevokeTarget,
    },
    /// `JobService.CreateJob`.
    CreateJob {
        /// The new job.
        key: JobKey,
        /// What is run, and how.
        spec: Arc<JobSpec>,
    },
    /// `JobService.UpdateJob`.
    UpdateJob {
        /// Which.
        key: JobKey,
        /// What was read; none to write over anything.
        etag: Option<Revision>,
        /// The new definition.
        spec: Arc<JobSpec>,
    },
    /// `JobService.DeleteJob`.
    DeleteJob {
        /// Which.
        key: JobKey,
        /// What was read; none to delete anything.
        etag: Option<Revision>,
    },
    /// `JobService.PauseJob`.
    PauseJob {
        /// Which.
        key: JobKey,
        /// Why.
        note: String,
    },
    /// `JobService.ResumeJob`.
    ResumeJob {
        /// Which.
        key: JobKey,
    },
    /// `JobService.RunJob`.
    RunJob(RunJob),
    /// `RunService.CancelRun`.
    CancelRun {
        /// Its app.
        app: AppName,
        /// Which.
        run_id: RunId,
        /// Why.
        reason: String,
    },
    /// `RunService.RetryRun`.
    RetryRun {
        /// Its app.
        app: AppName,
        /// Which.
        run_id: RunId,
    },
    /// A worker's `Report`.
    ReportAttempt {
        /// Which attempt.
        attempt: AttemptRef,
        /// How it ended.
        report: Report,
    },
    /// A worker's `Log`.
    AppendLog {
        /// Which attempt.
        attempt: AttemptRef,
        /// Where it was written to.
        stream: LogStream,
        /// What was written.
        data: bytes::Bytes,
    },
    /// `TriggerService.PauseTrigger`.
    PauseTrigger {
        /// Which.
        key: TriggerKey,
        /// Why.
        note: String,
    },
    /// `TriggerService.ResumeTrigger`.
    ResumeTrigger {
        /// Which.
        key: TriggerKey,
    },
    /// `TriggerService.FireTrigger`.
    FireTrigger {
        /// Which.
        key: TriggerKey,
        /// The rule for this fire; none for its own.
        overlap: Option<Overlap>,
    },
    /// `TriggerService.BackfillTrigger`.
    BackfillTrigger {
        /// Which.
        key: TriggerKey,
        /// What to make up for.
        range: BackfillRange,
    },
    /// `TriggerService.CancelBackfill`.
    CancelBackfill {
        /// Of which trigger.
        key: TriggerKey,
    },
}

/// Which times to make up for, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackfillRange {
    /// The first moment.
    pub from: Timestamp,
    /// The first moment after it; none for now.
    pub to: Option<Timestamp>,
    /// How its runs go beside others: skip, one after the other, or so many at a time.
    pub overlap: Overlap,
}

/// Which tokens of an app to take back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevokeTarget {
    /// One.
    One(TokenId),
    /// All that were issued until now.
    All,
}

/// `JobService.RunJob`.
#[derive(Clone, Debug, PartialEq)]
pub struct RunJob {
    /// What to run.
    pub key: JobKey,
    /// The input; none for that of the job.
    pub payload: Option<Payload>,
    /// Labels over those of the job.
    pub labels: Labels,
    /// None for that of the job.
    pub priority: Option<i32>,
    /// When to start at the earliest.
    pub start_time: Option<Timestamp>,
    /// When it must have ended.
    pub deadline: Option<Timestamp>,
    /// Keeps two different requests from making two runs.
    pub unique_key: Option<UniqueKey>,
}

/// A business key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UniqueKey {
    /// The key.
    pub key: String,
    /// How long it is held from the creation of the run; none for exactly while the run is not finished.
    pub hold: Option<Millis>,
}

/// Names an attempt as a worker does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRef {
    /// The worker's app.
    pub app: AppName,
    /// The worker that says that it holds it.
    pub worker_id: WorkerId,
    /// The run.
    pub run_id: RunId,
    /// The number, which is the fencing token.
    pub number: AttemptNumber,
}

/// How an attempt ended, as its worker says.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// Well.
    Succeeded {
        /// What it gave.
        result: Option<Payload>,
    },
    /// Badly.
    Failed {
        /// Why.
        error: String,
        /// Whether trying again is of no use.
        permanent: bool,
        /// The wait before the next attempt, instead of that of the retry policy.
        retry_after: Option<Millis>,
    },
    /// As it was asked to stop.
    Cancelled,
    /// Not at all: given back.
    Released {
        /// Why.
        reason: String,
    },
}

impl Command {
    /// The method that it came by.
    pub fn method(&self) -> Method {
        match self {
            Self::CreateApp { .. } => Method::CreateApp,
            Self::UpdateApp { .. } => Method::UpdateApp,
            Self::DeleteApp { .. } => Method::DeleteApp,
            Self::RotateAppSecret { .. } => Method::RotateAppSecret,
            Self::RevokeToken { .. } => Method::RevokeToken,
            Self::CreateJob { .. } => Method::CreateJob,
            Self::UpdateJob { .. } => Method::UpdateJob,
            Self::DeleteJob { .. } => Method::DeleteJob,
            Self::PauseJob { .. } => Method::PauseJob,
            Self::ResumeJob { .. } => Method::ResumeJob,
            Self::RunJob(_) => Method::RunJob,
            Self::CancelRun { .. } => Method::CancelRun,
            Self::RetryRun { .. } => Method::RetryRun,
            Self::ReportAttempt { .. } => Method::Report,
            Self::AppendLog { .. } => Method::Log,
            Self::PauseTrigger { .. } => Method::PauseTrigger,
            Self::ResumeTrigger { .. } => Method::ResumeTrigger,
            Self::FireTrigger { .. } => Method::FireTrigger,
            Self::BackfillTrigger { .. } => Method::BackfillTrigger,
            Self::CancelBackfill { .. } => Method::CancelBackfill,
        }
    }

    /// The app that it is about.
    pub fn app(&self) -> &AppName {
        match self {
            Self::CreateApp { app, .. }
            | Self::UpdateApp { app, .. }
            | Self::DeleteApp { app, .. }
            | Self::RotateAppSecret { app, .. }
            | Self::RevokeToken { app, .. }
            | Self::CancelRun { app, .. }
            | Self::RetryRun { app, .. } => app,
            Self::CreateJob { key, .. }
            | Self::UpdateJob { key, .. }
            | Self::DeleteJob { key, .. }
            | Self::PauseJob { key, .. }
            | Self::ResumeJob { key } => &key.app,
            Self::RunJob(run_job) => &run_job.key.app,
            Self::PauseTrigger { key, .. }
            | Self::ResumeTrigger { key }
            | Self::FireTrigger { key, .. }
            | Self::BackfillTrigger { key, .. }
            | Self::CancelBackfill { key } => &key.job.app,
            Self::ReportAttempt { attempt, .. } | Self::AppendLog { attempt, .. } => &attempt.app,
        }
    }

    /// The app under which its request id is remembered. Requests about apps are remembered under `system`, so that one
    /// id cannot make two apps.
    pub fn scope(&self) -> AppName {
        match self {
            Self::CreateApp { .. } | Self::UpdateApp { .. } | Self::DeleteApp { .. } | Self::RotateAppSecret { .. } => {
                AppName::system()
            }
            _ => self.app().clone(),
        }
    }

    /// The right that the caller needs on [`Command::app`].
    pub fn needs(&self) -> Role {
        match self {
            Self::CreateApp { .. } | Self::UpdateApp { .. } | Self::DeleteApp { .. } | Self::RotateAppSecret { .. } => {
                Role::Admin
            }
            Self::RevokeToken { .. }
            | Self::CreateJob { .. }
            | Self::UpdateJob { .. }
            | Self::DeleteJob { .. }
            | Self::PauseJob { .. }
            | Self::ResumeJob { .. }
            | Self::RetryRun { .. }
            | Self::PauseTrigger { .. }
            | Self::ResumeTrigger { .. }
            | Self::BackfillTrigger { .. }
            | Self::CancelBackfill { .. } => Role::Operator,
            Self::RunJob(_) | Self::CancelRun { .. } | Self::FireTrigger { .. } => Role::Submitter,
            Self::ReportAttempt { .. } | Self::AppendLog { .. } => Role::Worker,
        }
    }

    /// A finished run that the decision may have to look at; it lies on disk and is fetched first.
    pub fn cold_run(&self) -> Option<RunId> {
        match self {
            Self::CancelRun { run_id, .. } | Self::RetryRun { run_id, .. } => Some(*run_id),
            Self::ReportAttempt { attempt, .. } | Self::AppendLog { attempt, .. } => Some(attempt.run_id),
            _ => None,
        }
    }
}

/// What the server does by itself. Needs no request id: each is guarded by the state that it acts on, so doing it twice
/// does nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum SystemCommand {
    /// Makes the app `system`, whose secret is the first admin's, if there is none.
    Bootstrap {
        /// The hash of its secret.
        hash: [u8; 32],
    },
    /// Does what is due.
    Tick,
    /// Hands a run to a worker.
    StartAttempt {
        /// Which run.
        run_id: RunId,
        /// To whom.
        worker_id: WorkerId,
        /// What that worker calls itself.
        worker_name: Arc<str>,
    },
    /// The worker of an attempt was not heard of for too long.
    ExpireLease {
        /// Which run.
        run_id: RunId,
        /// Which attempt of it.
        number: AttemptNumber,
    },
    /// A worker came, went, or was lost.
    NoteWorker {
        /// Whose runs it takes.
        app: AppName,
        /// Which process it is.
        worker_id: WorkerId,
        /// What it calls itself.
        worker_name: Arc<str>,
        /// Where it stands now.
        standing: WorkerStanding,
        /// What it can do.
        processors: Vec<ProcessorName>,
        /// How many attempts it takes at a time.
        slots: u32,
    },
    /// Does what a trigger has to do now, the first of it.
    FireTrigger {
        /// Which.
        key: TriggerKey,
    },
    /// The server has started, and no worker is connected.
    ResetWorkers,
}

/// When and where something is decided: set once by the engine, never going back.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    /// The server's time.
    pub now: Timestamp,
    /// The position in the log that the events get.
    pub revision: Revision,
    /// Random bits.
    pub entropy: u32,
}

/// Whose wish it is.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The id of the call.
    pub request_id: RequestId,
    /// Its place in a trace, if it said one.
    pub trace: Option<Box<TraceContext>>,
}
