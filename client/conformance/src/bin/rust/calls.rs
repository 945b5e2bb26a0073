//! Unary calls by the names of their methods, and waiting.

use std::time::Duration;

use semel_client::{Answer as _, CallOptions, Client, Method, v1};
use semel_conformance::json;
use serde_json::{Value, json};

use crate::{
    state::Driver,
    words::{Ended, cancelled, fault, span, text},
};

/// How long a wait goes on that has no bound of its own.
const WAIT_MAX: Duration = Duration::from_secs(60);

macro_rules! by_name {
    ($($request:ident),* $(,)?) => {
        /// Makes a call of the method that a command names.
        async fn by_name(client: &Client, command: &Value) -> Result<Value, Ended> {
            let method = text(command, "method")?;
            $(if method == name::<v1::$request>() {
                return one::<v1::$request>(client, command).await;
            })*
            Err(fault(format!("there is no method {method:?}")))
        }

        #[cfg(test)]
        const NAMES: &[fn() -> &'static str] = &[$(name::<v1::$request>),*];
    };
}

by_name! {
    IssueTokenRequest, CheckAuthRequest, RevokeTokenRequest, CreateAppRequest, GetAppRequest, ListAppsRequest,
    UpdateAppRequest, DeleteAppRequest, RotateAppSecretRequest, CreateJobRequest, GetJobRequest, ListJobsRequest,
    UpdateJobRequest, DeleteJobRequest, PauseJobRequest, ResumeJobRequest, GetTriggerRequest, ListTriggersRequest,
    PreviewTriggerRequest, PauseTriggerRequest, ResumeTriggerRequest, FireTriggerRequest, BackfillTriggerRequest,
    CancelBackfillRequest, RunJobRequest, GetRunRequest, ListRunsRequest, CancelRunRequest, RetryRunRequest,
    WaitRunRequest, ExplainRunRequest, GetRunLogsRequest, GetRequestRequest, ListRequestsRequest,
    GetServerInfoRequest,
}

pub(crate) async fn call(driver: &Driver, command: &Value) -> Result<Value, Ended> {
    by_name(&driver.client(command)?, command).await
}

async fn one<M: Method>(client: &Client, command: &Value) -> Result<Value, Ended> {
    let request: M = json::to(&format!("{}Request", name::<M>()), &command["request"])?;
    let request_id = match command["request_id"].as_str() {
        Some(id) => Some(id.parse().map_err(|error| fault(format!("{id:?} is no id: {error}")))?),
        None => None,
    };
    let options = CallOptions {
        request_id,
        overall_timeout: span(command, "overall_timeout"),
        request_timeout: span(command, "request_timeout"),
        ..CallOptions::default()
    };
    let answer = client.with_options(options).call(request).await?;
    let id = answer.header().map(|header| header.request_id.clone());
    Ok(json!({"response": json::of(&format!("{}Response", name::<M>()), &answer), "request_id": id}))
}

pub(crate) async fn wait(driver: &Driver, command: &Value) -> Result<Value, Ended> {
    let client = driver.client(command)?;
    let waiting = client.wait_until_finished("", text(command, "run_id")?);
    let within = span(command, "timeout").unwrap_or(WAIT_MAX);
    match tokio::time::timeout(within, waiting).await {
        Ok(run) => Ok(json!({"run": json::of("Run", &run?), "finished": true})),
        Err(_) => Err(Ended::Error(cancelled(""))),
    }
}

/// The name of a method without its service.
fn name<M: Method>() -> &'static str {
    M::PATH.rsplit('/').next().unwrap_or(M::PATH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unary_method_can_be_called_by_its_name() {
        let mut named: Vec<_> = NAMES.iter().map(|name| name().to_owned()).collect();
        let services = json::POOL.services().filter(|service| service.package_name() == "semel.v1");
        let methods = services.flat_map(|service| service.methods().collect::<Vec<_>>());
        let unary = methods.filter(|method| !method.is_client_streaming() && !method.is_server_streaming());
        let mut known: Vec<_> = unary.map(|method| method.name().to_owned()).collect();
        named.sort();
        known.sort();
        assert_eq!(named, known);
    }
}
