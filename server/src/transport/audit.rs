//! What the audit log is told of refusals. What takes effect it learns from the engine.

use std::{net::IpAddr, sync::OnceLock};

use super::{gate::Gate, observe::methods, status::Refusal};
use crate::{
    auth::Verdict,
    logs::audit::{self, Audit, Caller},
    observe::CODES,
};

/// A call, or an item of a stream, that is refused.
pub(super) struct Asked<'a> {
    /// The full name of its message, which says what was called.
    pub(super) message: &'static str,
    /// The app that it names; empty for that of the caller.
    pub(super) app: &'a str,
    /// Its id, as it was sent.
    pub(super) request_id: &'a str,
    pub(super) verdict: &'a Verdict,
    pub(super) address: Option<IpAddr>,
}

impl Gate {
    /// The audit log, if there is one.
    pub(super) fn audit(&self) -> Option<&Audit> {
        self.settings.audit.as_ref()
    }

    /// Tells the audit log that somebody was refused.
    pub(super) fn audit_refusal(&self, refusal: &Refusal, asked: &Asked<'_>) {
        let Some(audit) = self.audit() else { return };
        let why = refusal.why();
        let rpc_method = method_of(asked.message);
        if !audit.wants_refusal(why.reason, &rpc_method) {
            return;
        }
        let Asked { app, request_id, verdict, address, .. } = *asked;
        let principal = verdict.principal.as_ref();
        let own = principal.and_then(|principal| principal.app.as_ref()).map(ToString::to_string);
        let named = Some(app).filter(|app| !app.is_empty()).or(why.app);
        let status = verdict.status.as_str();
        audit.refused(audit::Refusal {
            time: self.now(),
            rpc_method,
            code: CODES.get(why.code).copied().unwrap_or_default(),
            reason: why.reason,
            auth_status: Some(if why.reason == audit::FORBIDDEN { audit::FORBIDDEN } else { status }),
            auth_method: verdict.method.as_str(),
            principal: principal.map(|principal| principal.name.clone()),
            app: named.map(str::to_owned).or(own),
            target: why.target.map(str::to_owned),
            request_id: Some(request_id).filter(|id| !id.is_empty()).map(str::to_owned),
            address,
        });
    }
}

/// What the audit log is told of a caller whose wish goes into the engine.
pub(super) fn caller(verdict: &Verdict, address: Option<IpAddr>) -> Caller {
    Caller { address, auth_method: verdict.method.as_str() }
}

/// The method whose message that is, as `package.Service/Method`; that of reports and pieces of logs as it is remembered.
fn method_of(message: &str) -> String {
    let name = message.rsplit('.').next().unwrap_or(message);
    let name = match name {
        "Report" => return "semel.v1.WorkerService/Work.report".to_owned(),
        "Log" => return "semel.v1.WorkerService/Work.log".to_owned(),
        _ => name.strip_suffix("Request").unwrap_or(name),
    };
    static METHODS: OnceLock<Vec<String>> = OnceLock::new();
    let is_meant = |method: &&String| method.starts_with("semel.") && method.rsplit('/').next() == Some(name);
    METHODS.get_or_init(methods).iter().find(is_meant).cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use semel_core::command::Method;
    use semel_proto::{fingerprint::Content as _, v1};

    use super::*;

    #[test]
    fn a_message_says_what_is_called() {
        assert_eq!(method_of(v1::CreateJobRequest::MESSAGE), Method::CreateJob.as_str());
        assert_eq!(method_of(v1::WatchRequest::MESSAGE), "semel.v1.WatchService/Watch");
        assert_eq!(method_of(v1::SubmitRunsRequest::MESSAGE), "semel.v1.JobService/SubmitRuns");
        assert_eq!(method_of(v1::WorkRequest::MESSAGE), "semel.v1.WorkerService/Work");
        assert_eq!(method_of(v1::Report::MESSAGE), Method::Report.as_str());
        assert_eq!(method_of(v1::Log::MESSAGE), Method::Log.as_str());
    }
}
