//! The methods of the protocol as data: the path of each, its messages, and where its fields of general use are. One row
//! makes a method callable, on [`Client`] and on [`Call`]; nothing here sends anything.

use std::time::Duration;

use prost::Message;
use semel_proto::v1::{self, RequestHeader, ResponseHeader};

use crate::{
    client::{Call, Client},
    error::Error,
};

/// A request of a unary method.
pub trait Method: Message + Default + Clone + 'static {
    /// The path of the method, for instance `/semel.v1.JobService/RunJob`.
    const PATH: &'static str;
    /// Its answer.
    type Response: Answer;

    /// The header.
    fn header(&self) -> Option<&RequestHeader>;

    /// The header, to fill it in.
    fn header_mut(&mut self) -> &mut Option<RequestHeader>;

    /// The app, where an empty one means the app of the caller.
    fn app_mut(&mut self) -> Option<&mut String> {
        None
    }

    /// How long the request asks the server to wait before it answers.
    fn server_wait(&self) -> Duration {
        Duration::ZERO
    }

    /// The app and its secret, where the request has a place for them.
    fn credentials_mut(&mut self) -> Option<(&mut String, &mut String)> {
        None
    }

    /// The request as an item of `SubmitRuns`, where it can be one.
    fn as_run(&self) -> Option<&v1::RunJobRequest> {
        None
    }

    /// Whether the request itself holds the credentials, so that it is sent without any others.
    fn holds_credentials(&self) -> bool {
        false
    }
}

/// The answer of a unary method.
pub trait Answer: Message + Default + 'static {
    /// The header.
    fn header(&self) -> Option<&ResponseHeader>;

    /// This answer, where it can come over `SubmitRuns`.
    fn of_run(_: v1::RunJobResponse) -> Option<Self> {
        None
    }
}

/// The longest time for which a server waits, and how long it waits for a run if the request does not say.
const SERVER_WAIT_MAX: Duration = Duration::from_secs(60);

fn server_wait(asked: Option<&prost_types::Duration>, unstated: Duration) -> Duration {
    let Some(asked) = asked else { return unstated };
    Duration::try_from(*asked).unwrap_or_default().min(SERVER_WAIT_MAX)
}

macro_rules! methods {
    ($(
        $(#[$doc:meta])*
        $name:ident = $path:literal ($request:ident) -> $response:ident
        $(, app = $app:ident)? $(, wait = $wait:ident or $unstated:expr)? $(, credentials = $credentials:ident)?
        $(, item = $item:ident)?;
    )*) => {
        $(
            impl Method for v1::$request {
                const PATH: &'static str = concat!("/semel.v1.", $path);
                type Response = v1::$response;

                fn header(&self) -> Option<&RequestHeader> {
                    self.header.as_ref()
                }

                fn header_mut(&mut self) -> &mut Option<RequestHeader> {
                    &mut self.header
                }

                $(fn app_mut(&mut self) -> Option<&mut String> {
                    Some(&mut self.$app)
                })?

                $(fn server_wait(&self) -> Duration {
                    server_wait(self.$wait.as_ref(), $unstated)
                })?

                $(fn credentials_mut(&mut self) -> Option<(&mut String, &mut String)> {
                    Some((&mut self.app, &mut self.$credentials))
                }

                fn holds_credentials(&self) -> bool {
                    !self.$credentials.is_empty()
                })?

                $(fn as_run(&self) -> Option<&v1::RunJobRequest> {
                    let $item = self;
                    Some($item)
                })?
            }

            impl Answer for v1::$response {
                fn header(&self) -> Option<&ResponseHeader> {
                    self.header.as_ref()
                }

                $(fn of_run($item: v1::RunJobResponse) -> Option<Self> {
                    Some($item)
                })?
            }
        )*

        impl Client {
            $(
                $(#[$doc])*
                pub async fn $name(&self, request: v1::$request) -> Result<v1::$response, Error> {
                    self.call(request).await
                }
            )*
        }

        impl Call {
            $(
                $(#[$doc])*
                pub async fn $name(&self, request: v1::$request) -> Result<v1::$response, Error> {
                    self.call(request).await
                }
            )*
        }

        #[cfg(test)]
        pub(crate) const PATHS: &[&str] = &[$(<v1::$request as Method>::PATH),*];
    };
}

methods! {
    /// Issues a token for the secret of an app. Where the client holds [`Credentials::Secret`](crate::Credentials), app
    /// and secret may be left out.
    issue_token = "AuthService/IssueToken" (IssueTokenRequest) -> IssueTokenResponse, app = app, credentials = secret;
    /// Says what the server makes of this client's credentials.
    check_auth = "AuthService/CheckAuth" (CheckAuthRequest) -> CheckAuthResponse;
    /// Takes back one token, or all tokens of an app. A mutation.
    revoke_token = "AuthService/RevokeToken" (RevokeTokenRequest) -> RevokeTokenResponse, app = app;
    /// Creates an app. A mutation; the app must be named.
    create_app = "AppService/CreateApp" (CreateAppRequest) -> CreateAppResponse;
    /// Reads an app.
    get_app = "AppService/GetApp" (GetAppRequest) -> GetAppResponse, app = app;
    /// Lists apps.
    list_apps = "AppService/ListApps" (ListAppsRequest) -> ListAppsResponse;
    /// Replaces description and grants of an app. A mutation; the app must be named.
    update_app = "AppService/UpdateApp" (UpdateAppRequest) -> UpdateAppResponse;
    /// Deletes an app. A mutation; the app must be named.
    delete_app = "AppService/DeleteApp" (DeleteAppRequest) -> DeleteAppResponse;
    /// Makes a new secret for an app. A mutation.
    rotate_app_secret = "AppService/RotateAppSecret" (RotateAppSecretRequest) -> RotateAppSecretResponse, app = app;
    /// Creates a job. A mutation.
    create_job = "JobService/CreateJob" (CreateJobRequest) -> CreateJobResponse, app = app;
    /// Reads a job.
    get_job = "JobService/GetJob" (GetJobRequest) -> GetJobResponse, app = app;
    /// Lists jobs.
    list_jobs = "JobService/ListJobs" (ListJobsRequest) -> ListJobsResponse, app = app;
    /// Replaces the definition of a job. A mutation.
    update_job = "JobService/UpdateJob" (UpdateJobRequest) -> UpdateJobResponse, app = app;
    /// Deletes a job. A mutation.
    delete_job = "JobService/DeleteJob" (DeleteJobRequest) -> DeleteJobResponse, app = app;
    /// Holds back the runs of a job. A mutation.
    pause_job = "JobService/PauseJob" (PauseJobRequest) -> PauseJobResponse, app = app;
    /// Lets the runs of a job start again. A mutation.
    resume_job = "JobService/ResumeJob" (ResumeJobRequest) -> ResumeJobResponse, app = app;
    /// Reads a trigger.
    get_trigger = "TriggerService/GetTrigger" (GetTriggerRequest) -> GetTriggerResponse, app = app;
    /// Lists triggers.
    list_triggers = "TriggerService/ListTriggers" (ListTriggersRequest) -> ListTriggersResponse, app = app;
    /// Says when a trigger would fire.
    preview_trigger = "TriggerService/PreviewTrigger" (PreviewTriggerRequest) -> PreviewTriggerResponse, app = app;
    /// Keeps a trigger from firing. A mutation.
    pause_trigger = "TriggerService/PauseTrigger" (PauseTriggerRequest) -> PauseTriggerResponse, app = app;
    /// Lets a trigger fire again. A mutation.
    resume_trigger = "TriggerService/ResumeTrigger" (ResumeTriggerRequest) -> ResumeTriggerResponse, app = app;
    /// Fires a trigger now. A mutation.
    fire_trigger = "TriggerService/FireTrigger" (FireTriggerRequest) -> FireTriggerResponse, app = app;
    /// Makes up for times of a trigger that passed. A mutation.
    backfill_trigger = "TriggerService/BackfillTrigger" (BackfillTriggerRequest) -> BackfillTriggerResponse, app = app;
    /// Ends the backfill of a trigger. A mutation.
    cancel_backfill = "TriggerService/CancelBackfill" (CancelBackfillRequest) -> CancelBackfillResponse, app = app;
    /// Makes one run of a job, however often the call has to be sent. A mutation. While more than 16 of these are under
    /// way on one client, they travel over one stream; see [`Options::stream_under_load`](crate::Options).
    run_job = "JobService/RunJob" (RunJobRequest) -> RunJobResponse, app = app, item = run;
    /// Reads a run, with its input and result.
    get_run = "RunService/GetRun" (GetRunRequest) -> GetRunResponse, app = app;
    /// Lists runs.
    list_runs = "RunService/ListRuns" (ListRunsRequest) -> ListRunsResponse, app = app;
    /// Asks a run to stop. A mutation.
    cancel_run = "RunService/CancelRun" (CancelRunRequest) -> CancelRunResponse, app = app;
    /// Runs it again. A mutation.
    retry_run = "RunService/RetryRun" (RetryRunRequest) -> RetryRunResponse, app = app;
    /// Waits until a run has ended, or for a time; see also [`Client::wait_until_finished`].
    wait_run = "RunService/WaitRun" (WaitRunRequest) -> WaitRunResponse, app = app, wait = timeout or SERVER_WAIT_MAX;
    /// Says why a run is where it is.
    explain_run = "RunService/ExplainRun" (ExplainRunRequest) -> ExplainRunResponse, app = app;
    /// Reads the log of a run.
    get_run_logs = "RunService/GetRunLogs" (GetRunLogsRequest) -> GetRunLogsResponse, app = app,
        wait = wait or Duration::ZERO;
    /// Says what became of a request.
    get_request = "RequestService/GetRequest" (GetRequestRequest) -> GetRequestResponse, app = app;
    /// Lists the requests that took effect within the window.
    list_requests = "RequestService/ListRequests" (ListRequestsRequest) -> ListRequestsResponse, app = app;
    /// Says what a client needs to know of the server: its window, its limits, its clock.
    get_server_info = "ServerService/GetServerInfo" (GetServerInfoRequest) -> GetServerInfoResponse;
}

#[cfg(test)]
mod tests {
    use prost_types::FileDescriptorSet;

    use super::*;

    #[test]
    fn every_unary_method_of_the_protocol_is_callable() {
        let set = FileDescriptorSet::decode(semel_proto::FILE_DESCRIPTOR_SET).expect("it is well formed");
        let mut expected = Vec::new();
        for file in set.file.iter().filter(|file| file.package() == "semel.v1") {
            for service in &file.service {
                let unary =
                    service.method.iter().filter(|method| !method.client_streaming() && !method.server_streaming());
                expected.extend(unary.map(|method| format!("/semel.v1.{}/{}", service.name(), method.name())));
            }
        }
        let mut paths = PATHS.to_vec();
        expected.sort();
        paths.sort_unstable();
        assert_eq!(paths, expected);
    }

    #[test]
    fn a_wait_is_never_longer_than_the_server_makes_it() {
        let asked = |seconds| v1::WaitRunRequest {
            timeout: Some(prost_types::Duration { seconds, nanos: 0 }),
            ..Default::default()
        };
        assert_eq!(asked(5).server_wait(), Duration::from_secs(5));
        assert_eq!(asked(600).server_wait(), SERVER_WAIT_MAX);
        assert_eq!(asked(-1).server_wait(), Duration::ZERO);
        assert_eq!(v1::WaitRunRequest::default().server_wait(), SERVER_WAIT_MAX);
        assert_eq!(v1::GetRunLogsRequest::default().server_wait(), Duration::ZERO);
    }
}
