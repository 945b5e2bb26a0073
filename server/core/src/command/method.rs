//! The methods that change something: under these numbers and names they are remembered with a request.

use minicbor::{Decode, Encode};

/// The methods that change something, as they are remembered with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Method {
    /// `AppService.CreateApp`.
    #[n(1)]
    CreateApp,
    /// `AppService.UpdateApp`.
    #[n(2)]
    UpdateApp,
    /// `AppService.DeleteApp`.
    #[n(3)]
    DeleteApp,
    /// `AppService.RotateAppSecret`.
    #[n(4)]
    RotateAppSecret,
    /// `AuthService.RevokeToken`.
    #[n(5)]
    RevokeToken,
    /// `JobService.CreateJob`.
    #[n(6)]
    CreateJob,
    /// `JobService.UpdateJob`.
    #[n(7)]
    UpdateJob,
    /// `JobService.DeleteJob`.
    #[n(8)]
    DeleteJob,
    /// `JobService.PauseJob`.
    #[n(9)]
    PauseJob,
    /// `JobService.ResumeJob`.
    #[n(10)]
    ResumeJob,
    /// `JobService.RunJob`.
    #[n(11)]
    RunJob,
    /// `RunService.CancelRun`.
    #[n(12)]
    CancelRun,
    /// `RunService.RetryRun`.
    #[n(13)]
    RetryRun,
    /// `WorkerService.Work`, a report.
    #[n(14)]
    Report,
    /// `WorkerService.Work`, a piece of a log.
    #[n(15)]
    Log,
    /// `TriggerService.PauseTrigger`.
    #[n(16)]
    PauseTrigger,
    /// `TriggerService.ResumeTrigger`.
    #[n(17)]
    ResumeTrigger,
    /// `TriggerService.FireTrigger`.
    #[n(18)]
    FireTrigger,
    /// `TriggerService.BackfillTrigger`.
    #[n(19)]
    BackfillTrigger,
    /// `TriggerService.CancelBackfill`.
    #[n(20)]
    CancelBackfill,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::CreateApp,
        Self::UpdateApp,
        Self::DeleteApp,
        Self::RotateAppSecret,
        Self::RevokeToken,
        Self::CreateJob,
        Self::UpdateJob,
        Self::DeleteJob,
        Self::PauseJob,
        Self::ResumeJob,
        Self::RunJob,
        Self::CancelRun,
        Self::RetryRun,
        Self::Report,
        Self::Log,
        Self::PauseTrigger,
        Self::ResumeTrigger,
        Self::FireTrigger,
        Self::BackfillTrigger,
        Self::CancelBackfill,
    ];

    /// The name as it stands in the protocol.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CreateApp => "semel.v1.AppService/CreateApp",
            Self::UpdateApp => "semel.v1.AppService/UpdateApp",
            Self::DeleteApp => "semel.v1.AppService/DeleteApp",
            Self::RotateAppSecret => "semel.v1.AppService/RotateAppSecret",
            Self::RevokeToken => "semel.v1.AuthService/RevokeToken",
            Self::CreateJob => "semel.v1.JobService/CreateJob",
            Self::UpdateJob => "semel.v1.JobService/UpdateJob",
            Self::DeleteJob => "semel.v1.JobService/DeleteJob",
            Self::PauseJob => "semel.v1.JobService/PauseJob",
            Self::ResumeJob => "semel.v1.JobService/ResumeJob",
            Self::RunJob => "semel.v1.JobService/RunJob",
            Self::CancelRun => "semel.v1.RunService/CancelRun",
            Self::RetryRun => "semel.v1.RunService/RetryRun",
            Self::Report => "semel.v1.WorkerService/Work.report",
            Self::Log => "semel.v1.WorkerService/Work.log",
            Self::PauseTrigger => "semel.v1.TriggerService/PauseTrigger",
            Self::ResumeTrigger => "semel.v1.TriggerService/ResumeTrigger",
            Self::FireTrigger => "semel.v1.TriggerService/FireTrigger",
            Self::BackfillTrigger => "semel.v1.TriggerService/BackfillTrigger",
            Self::CancelBackfill => "semel.v1.TriggerService/CancelBackfill",
        }
    }
}
