//! Which lines of the audit log are meant.

use std::time::SystemTime;

use clap::Args;
use semel_core::id::AppName;

use super::super::{failure::Failure, parse};
use crate::logs::audit::Line;

/// See the module.
#[derive(Args, Debug)]
pub(super) struct FilterArgs {
    /// Only what this caller did, or was refused: as `app:pay`
    #[arg(long, value_name = "NAME")]
    principal: Option<String>,
    /// Only calls of this method: as `CreateJob`, or with its service
    #[arg(long, value_name = "METHOD")]
    method: Option<String>,
    /// Only the request with this id
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// Only refusals
    #[arg(long)]
    refused: bool,
    /// Only from this moment on, or from so long ago: as 2026-01-31T08:00:00Z, or 2h
    #[arg(long, value_name = "TIME", value_parser = parse::past)]
    since: Option<SystemTime>,
    /// Only before this moment, or before so long ago
    #[arg(long, value_name = "TIME", value_parser = parse::past)]
    until: Option<SystemTime>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Filter {
    app: Option<String>,
    principal: Option<String>,
    method: Option<String>,
    request_id: Option<String>,
    refused: bool,
    since: Option<jiff::Timestamp>,
    until: Option<jiff::Timestamp>,
}

impl Filter {
    /// With the app that all commands take; empty for any.
    pub(super) fn new(args: &FilterArgs, app: &str) -> Result<Self, Failure> {
        if !app.is_empty() {
            AppName::parse(app).map_err(|problem| Failure::usage(format!("--app {problem}")))?;
        }
        let moment = |time: Option<SystemTime>| time.and_then(|time| jiff::Timestamp::try_from(time).ok());
        Ok(Self {
            app: Some(app).filter(|app| !app.is_empty()).map(str::to_owned),
            principal: args.principal.clone(),
            method: args.method.clone(),
            request_id: args.request_id.as_ref().map(|id| id.to_lowercase()),
            refused: args.refused,
            since: moment(args.since),
            until: moment(args.until),
        })
    }

    /// Whether a line is meant.
    pub(super) fn means(&self, line: &Line) -> bool {
        let is =
            |wanted: &Option<String>, value: Option<&str>| wanted.as_deref().is_none_or(|wanted| value == Some(wanted));
        let is_method = |wanted: &str| {
            let method = line.rpc_method.as_deref().unwrap_or_default();
            let short = method.strip_prefix("semel.v1.").unwrap_or(method);
            [Some(method), Some(short), method.rsplit('/').next()].contains(&Some(wanted))
        };
        is(&self.app, line.app.as_deref())
            && is(&self.principal, line.principal.as_deref())
            && is(&self.request_id, line.request_id.as_deref())
            && self.method.as_deref().is_none_or(is_method)
            && (!self.refused || line.is_refusal())
            && self.is_in_time(line)
    }

    fn is_in_time(&self, line: &Line) -> bool {
        if self.since.is_none() && self.until.is_none() {
            return true;
        }
        let Ok(time) = line.time.parse::<jiff::Timestamp>() else { return false };
        self.since.is_none_or(|since| time >= since) && self.until.is_none_or(|until| time < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::audit::Kind;

    fn line() -> Line {
        Line {
            time: "2026-01-31T08:00:00.120Z".to_owned(),
            kind: Kind::Mutation,
            principal: Some("app:pay".to_owned()),
            rpc_method: Some("semel.v1.JobService/CreateJob".into()),
            app: Some("pay".to_owned()),
            request_id: Some("019c1234".to_owned()),
            ..Line::default()
        }
    }

    #[test]
    fn a_line_is_meant_if_all_that_is_asked_for_is_so() {
        let any = Filter::default;
        assert!(any().means(&line()));
        let some = |text: &str| Some(text.to_owned());
        for method in ["CreateJob", "JobService/CreateJob", "semel.v1.JobService/CreateJob"] {
            assert!(Filter { app: some("pay"), method: some(method), ..any() }.means(&line()), "{method}");
        }
        assert!(!Filter { method: some("Job"), ..any() }.means(&line()));
        assert!(!Filter { app: some("shop"), ..any() }.means(&line()));
        assert!(!Filter { refused: true, ..any() }.means(&line()));
        assert!(Filter { refused: true, ..any() }.means(&Line { kind: Kind::Refusal, ..line() }));
        let at = |text: &str| Some(text.parse().expect("a moment"));
        assert!(Filter { since: at("2026-01-31T08:00:00.120Z"), ..any() }.means(&line()));
        assert!(!Filter { until: at("2026-01-31T09:00:00.120+01:00"), ..any() }.means(&line()));
    }
}
