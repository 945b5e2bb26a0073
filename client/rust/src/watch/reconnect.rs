//! What follows when a stream of a watch could not be opened, or has ended. Pure: what happened comes in, a decision goes
//! out.

use std::time::Duration;

use crate::{
    refusal::Refusal,
    retry::{self, Class, FAULTS_MAX, RetryOptions},
};

/// What is known of a watch whose stream failed once more.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Troubles {
    /// How many streams in a row told nothing, this one included.
    pub(super) failures: u32,
    /// How many of them were somebody's fault.
    pub(super) faults: u32,
    /// Whether the credentials of the last stream had just been renewed because others were refused.
    pub(super) refreshed: bool,
    /// Whether the client can renew them.
    pub(super) can_refresh: bool,
    /// Whether gaps are to be bridged by a snapshot.
    pub(super) bridges: bool,
    /// Whether the token that was sent had been given to this very watch.
    pub(super) own_token: bool,
}

/// What follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Another stream, after this wait.
    Again(Duration),
    /// Another stream with fresh credentials.
    Refresh(Duration),
    /// Another stream from a snapshot.
    Bridge(Duration, Option<i64>),
    /// The watch ends with this refusal.
    End,
}

/// How a watch comes back: more slowly than a single call, for there may be thousands of them.
pub(super) fn pace(options: &RetryOptions) -> RetryOptions {
    RetryOptions {
        backoff_first: options.backoff_first.saturating_mul(4),
        backoff_max: options.backoff_max.saturating_mul(2),
        ..options.clone()
    }
}

/// Decides. `pace` is what [`pace`] gives; `unit` is a random number in `[0, 1)`.
pub(super) fn decide(refusal: &Refusal, troubles: &Troubles, pace: &RetryOptions, unit: f64) -> Next {
    if pace.attempts_max <= 1 {
        return Next::End;
    }
    // What can be mended at once is; only who stands there again waits.
    let backoff = pace.backoff(troubles.failures, unit);
    let mended = if troubles.failures > 1 { backoff } else { Duration::ZERO };
    if troubles.bridges && refusal.reason() == Some("RESUME_COMPACTED") {
        return Next::Bridge(mended, oldest_revision(refusal));
    }
    if troubles.bridges && troubles.own_token && is_about_token(refusal) {
        return Next::Bridge(mended, None);
    }
    match retry::classify(refusal) {
        Class::Passing(at_least) => Next::Again(at_least.unwrap_or_default().saturating_add(backoff)),
        Class::Fault if troubles.faults < FAULTS_MAX => Next::Again(backoff),
        Class::Credentials if troubles.can_refresh && !troubles.refreshed => Next::Refresh(mended),
        _ => Next::End,
    }
}

/// What the refusal says of the oldest revision that is kept.
pub(crate) fn oldest_revision(refusal: &Refusal) -> Option<i64> {
    refusal.info.as_ref()?.metadata.get("oldest_revision")?.parse().ok()
}

/// Whether the server does not take the token: the log is another one than when it was given.
fn is_about_token(refusal: &Refusal) -> bool {
    let fields = refusal.bad_request.iter().flat_map(|bad| &bad.field_violations);
    refusal.reason() == Some("INVALID") && fields.into_iter().any(|violation| violation.field == "resume_token")
}

#[cfg(test)]
mod tests {
    use semel_proto::{
        ERROR_DOMAIN,
        details::{BadRequest, ErrorInfo, FieldViolation},
    };
    use tonic::Code;

    use super::*;
    use crate::refusal::Origin;

    const MS: Duration = Duration::from_millis(1);

    fn refused(code: Code, reason: &str) -> Refusal {
        let info = ErrorInfo {
            reason: reason.to_owned(),
            domain: ERROR_DOMAIN.to_owned(),
            metadata: [("oldest_revision".to_owned(), "40".to_owned())].into(),
        };
        Refusal { info: Some(info), ..Refusal::local(code, "", Origin::Server) }
    }

    fn check(refusal: &Refusal, troubles: Troubles, expected: Next) {
        let options = RetryOptions { backoff_first: 25 * MS, backoff_max: 500 * MS, ..RetryOptions::default() };
        assert_eq!(decide(refusal, &troubles, &pace(&options), 1.0), expected, "{refusal:?} {troubles:?}");
        let once = decide(refusal, &troubles, &pace(&RetryOptions::none()), 1.0);
        assert_eq!(once, Next::End, "without retries a watch has one stream");
    }

    fn first() -> Troubles {
        Troubles { failures: 1, can_refresh: true, ..Troubles::default() }
    }

    #[test]
    fn what_passes_is_tried_again_ever_more_slowly() {
        for refusal in [
            refused(Code::Unavailable, "DRAINING"),
            refused(Code::Unavailable, "NO_OWNER"),
            refused(Code::ResourceExhausted, "OVERLOADED"),
            refused(Code::DeadlineExceeded, "OUTCOME_UNKNOWN"),
            Refusal::local(Code::Unavailable, "", Origin::NoAnswer),
            Refusal::local(Code::Unknown, "", Origin::NotSent),
        ] {
            check(&refusal, first(), Next::Again(100 * MS));
            check(&refusal, Troubles { failures: 99, ..first() }, Next::Again(1000 * MS));
        }
    }

    #[test]
    fn what_binds_ends_the_watch() {
        for (code, reason) in [
            (Code::PermissionDenied, "FORBIDDEN"),
            (Code::InvalidArgument, "INVALID"),
            (Code::OutOfRange, "RESUME_COMPACTED"),
            (Code::ResourceExhausted, "QUOTA_EXCEEDED"),
        ] {
            check(&refused(code, reason), first(), Next::End);
        }
        check(&Refusal::local(Code::Unimplemented, "", Origin::Other), first(), Next::End);
        let fault = Refusal::local(Code::Internal, "", Origin::Other);
        check(&fault, first(), Next::Again(100 * MS));
        check(&fault, Troubles { faults: FAULTS_MAX, ..first() }, Next::End);
    }

    #[test]
    fn credentials_are_renewed_once_and_only_where_they_can_be() {
        let refusal = refused(Code::Unauthenticated, "CREDENTIALS_EXPIRED");
        check(&refusal, first(), Next::Refresh(Duration::ZERO));
        check(&refusal, Troubles { failures: 2, ..first() }, Next::Refresh(200 * MS));
        check(&refusal, Troubles { refreshed: true, ..first() }, Next::End);
        check(&refusal, Troubles { can_refresh: false, ..first() }, Next::End);
    }

    #[test]
    fn a_gap_is_bridged_only_where_that_is_wished() {
        let bridges = Troubles { bridges: true, ..first() };
        let compacted = refused(Code::OutOfRange, "RESUME_COMPACTED");
        check(&compacted, bridges, Next::Bridge(Duration::ZERO, Some(40)));
        let mut other_log = refused(Code::InvalidArgument, "INVALID");
        let violation = FieldViolation { field: "resume_token".to_owned(), description: String::new() };
        other_log.bad_request = Some(BadRequest { field_violations: vec![violation] });
        check(&other_log, Troubles { own_token: true, ..bridges }, Next::Bridge(Duration::ZERO, None));
        check(&other_log, bridges, Next::End);
    }
}
