//! From the answer of a command to the response message of its method. A replay goes the same way as the first answer,
//! which is why both say the same.

use prost::Message as _;
use semel_core::{
    command::Method,
    id::{RequestId, Timestamp},
    reply::Reply,
    state::JobCounts,
};
use semel_proto::v1;

use super::{app, header, job, run, time, trigger};
use crate::{auth::Keyring, engine::Answer};

/// What a response says besides its header.
pub(crate) struct Body<'a> {
    pub(crate) header: v1::ResponseHeader,
    pub(crate) answer: &'a Answer,
    pub(crate) request_id: RequestId,
    pub(crate) keyring: &'a Keyring,
}

impl Body<'_> {
    fn app(&self) -> Option<v1::App> {
        match &self.answer.reply {
            Reply::App(reply) | Reply::AppSecret { app: reply, .. } => Some(app::app(reply)),
            _ => None,
        }
    }

    /// The secret that this very call made, derived again for a replay (promise D12). Empty if its key is gone.
    fn secret(&self) -> String {
        match &self.answer.reply {
            Reply::AppSecret { key_id, .. } => {
                self.keyring.derive_secret(key_id, self.request_id).map(|secret| secret.reveal()).unwrap_or_default()
            }
            _ => String::new(),
        }
    }

    fn job(&self) -> Option<v1::Job> {
        match &self.answer.reply {
            Reply::Job(reply) => Some(job::job(reply, JobCounts::default())),
            _ => None,
        }
    }
}

/// A response that an answer can be put into.
pub(crate) trait FromAnswer {
    fn from_answer(body: Body<'_>) -> Self;
}

macro_rules! from_answer {
    ($($message:ident { $($field:ident : $get:ident),* }),* $(,)?) => {$(
        impl FromAnswer for v1::$message {
            fn from_answer(body: Body<'_>) -> Self {
                $(let $field = body.$get();)*
                Self { header: Some(body.header), $($field),* }
            }
        }
    )*};
}

from_answer! {
    CreateAppResponse { app: app, secret: secret },
    UpdateAppResponse { app: app },
    DeleteAppResponse {},
    RotateAppSecretResponse { app: app, secret: secret },
    RevokeTokenResponse {},
    CreateJobResponse { job: job },
    UpdateJobResponse { job: job },
    DeleteJobResponse {},
    PauseJobResponse { job: job },
    ResumeJobResponse { job: job },
    PauseTriggerResponse {},
    ResumeTriggerResponse {},
    CancelBackfillResponse {},
}

impl FromAnswer for v1::FireTriggerResponse {
    fn from_answer(body: Body<'_>) -> Self {
        let mut response = Self { header: Some(body.header), ..Self::default() };
        if let Reply::TriggerFired(effect) = &body.answer.reply {
            let (effect, run_id, reason) = trigger::effect(*effect);
            (response.effect, response.run_id, response.reason) = (effect.into(), run_id, reason.into());
        }
        response
    }
}

impl FromAnswer for v1::BackfillTriggerResponse {
    fn from_answer(body: Body<'_>) -> Self {
        let count = match &body.answer.reply {
            Reply::Backfill(count) => header::count(*count),
            _ => 0,
        };
        Self { header: Some(body.header), count }
    }
}

impl FromAnswer for v1::RunJobResponse {
    fn from_answer(body: Body<'_>) -> Self {
        let mut response = Self { header: Some(body.header), ..Self::default() };
        if let Reply::Run { run_id, phase, existing, create_time } = &body.answer.reply {
            response.run_id = run_id.to_string();
            response.state = run::phase(*phase).into();
            response.existing = *existing;
            response.create_time = Some(time::timestamp(*create_time));
        }
        response
    }
}

/// What `RunJob` and its header would answer, for an item of a stream.
pub(crate) fn submitted(answer: &Answer, safe_retry_until: Option<Timestamp>) -> v1::SubmittedRun {
    let mut submitted = v1::SubmittedRun {
        disposition: header::disposition(answer.disposition).into(),
        execute_time: Some(time::timestamp(answer.execute_time)),
        safe_retry_until: safe_retry_until.map(time::timestamp),
        arrivals: header::count(answer.arrivals),
        revision: header::count(answer.revision.0),
        ..v1::SubmittedRun::default()
    };
    if let Reply::Run { run_id, phase, existing, create_time } = &answer.reply {
        submitted.run_id = run_id.to_string();
        submitted.state = run::phase(*phase).into();
        submitted.existing = *existing;
        submitted.create_time = Some(time::timestamp(*create_time));
    }
    submitted
}

impl FromAnswer for v1::CancelRunResponse {
    fn from_answer(body: Body<'_>) -> Self {
        let state = match &body.answer.reply {
            Reply::RunPhase(phase) => run::phase(*phase).into(),
            _ => 0,
        };
        Self { header: Some(body.header), state }
    }
}

impl FromAnswer for v1::RetryRunResponse {
    fn from_answer(body: Body<'_>) -> Self {
        let mut response = Self { header: Some(body.header), ..Self::default() };
        if let Reply::Retried { run_id, created, phase } = &body.answer.reply {
            response.run_id = run_id.to_string();
            response.created = *created;
            response.state = run::phase(*phase).into();
        }
        response
    }
}

/// The answer that a remembered request got, as the message of its method. None where it held a secret.
pub(crate) fn recalled(method: Method, body: Body<'_>) -> Option<prost_types::Any> {
    fn any<M: FromAnswer + prost::Message>(name: &str, body: Body<'_>) -> Option<prost_types::Any> {
        let type_url = semel_proto::type_url(&format!("semel.v1.{name}"));
        Some(prost_types::Any { type_url, value: M::from_answer(body).encode_to_vec() })
    }
    match method {
        Method::CreateApp | Method::RotateAppSecret => None,
        Method::UpdateApp => any::<v1::UpdateAppResponse>("UpdateAppResponse", body),
        Method::DeleteApp => any::<v1::DeleteAppResponse>("DeleteAppResponse", body),
        Method::RevokeToken => any::<v1::RevokeTokenResponse>("RevokeTokenResponse", body),
        Method::CreateJob => any::<v1::CreateJobResponse>("CreateJobResponse", body),
        Method::UpdateJob => any::<v1::UpdateJobResponse>("UpdateJobResponse", body),
        Method::DeleteJob => any::<v1::DeleteJobResponse>("DeleteJobResponse", body),
        Method::PauseJob => any::<v1::PauseJobResponse>("PauseJobResponse", body),
        Method::ResumeJob => any::<v1::ResumeJobResponse>("ResumeJobResponse", body),
        Method::RunJob => any::<v1::RunJobResponse>("RunJobResponse", body),
        Method::CancelRun => any::<v1::CancelRunResponse>("CancelRunResponse", body),
        Method::RetryRun => any::<v1::RetryRunResponse>("RetryRunResponse", body),
        Method::PauseTrigger => any::<v1::PauseTriggerResponse>("PauseTriggerResponse", body),
        Method::ResumeTrigger => any::<v1::ResumeTriggerResponse>("ResumeTriggerResponse", body),
        Method::FireTrigger => any::<v1::FireTriggerResponse>("FireTriggerResponse", body),
        Method::BackfillTrigger => any::<v1::BackfillTriggerResponse>("BackfillTriggerResponse", body),
        Method::CancelBackfill => any::<v1::CancelBackfillResponse>("CancelBackfillResponse", body),
        Method::Report | Method::Log => {
            let ack = v1::WorkResponse {
                header: Some(body.header),
                kind: Some(v1::work_response::Kind::Ack(v1::Ack { refused: None })),
            };
            let type_url = semel_proto::type_url("semel.v1.WorkResponse");
            Some(prost_types::Any { type_url, value: ack.encode_to_vec() })
        }
    }
}
