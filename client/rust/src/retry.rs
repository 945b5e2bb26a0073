//! Whether a refused call is sent again, and how. Pure: what happened comes in, a decision goes out. Nothing here waits,
//! sends, or knows a clock.

use std::time::Duration;

use tonic::Code;

use crate::refusal::{Origin, Pushback, Refusal};

/// How often and how fast a call is sent again. Every retry keeps the request id.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryOptions {
    /// How often a logical call is sent at most, the first time included. 1 switches retries off. Default 64: the
    /// overall timeout is meant to be the bound.
    pub attempts_max: u32,
    /// The longest wait before the second attempt; it doubles with each attempt. Default 50 ms.
    pub backoff_first: Duration,
    /// The longest wait before any attempt, unless the server asks for a longer one. Default 5 s.
    pub backoff_max: Duration,
}

impl Default for RetryOptions {
    fn default() -> Self {
        Self { attempts_max: 64, backoff_first: Duration::from_millis(50), backoff_max: Duration::from_secs(5) }
    }
}

impl RetryOptions {
    /// Every call is sent once, whatever becomes of it: nothing is retried, refreshed or minted anew.
    pub fn none() -> Self {
        Self { attempts_max: 1, ..Self::default() }
    }

    /// The wait before retry number `retry` (from 1 on): anything up to the bound that doubles with each retry ("full
    /// jitter"), so that callers who failed together do not come back together. `unit` is a random number in `[0, 1)`.
    pub fn backoff(&self, retry: u32, unit: f64) -> Duration {
        let doubled = self.backoff_first.saturating_mul(1_u32.checked_shl(retry.saturating_sub(1)).unwrap_or(u32::MAX));
        doubled.min(self.backoff_max).mul_f64(unit.clamp(0.0, 1.0))
    }
}

/// What kind of failure a refusal is, for the caller that got it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It may pass: send again under the same id, not before this wait if there is one.
    Passing(Option<Duration>),
    /// Somebody's fault, which may or may not pass: send again under the same id, but not for long.
    Fault,
    /// The credentials: fetch fresh ones, then send again under the same id.
    Credentials,
    /// The id lies in the future: this machine's clock is ahead, or the server's behind. It was not executed.
    IdFromFuture,
    /// The id is older than the window.
    IdExpired,
    /// Sending it again is of no use, or wrong.
    Final,
}

impl Class {
    /// Whether the request may be sent again as it stands.
    pub fn is_hopeful(self) -> bool {
        matches!(self, Self::Passing(_) | Self::Fault)
    }
}

/// The table of DESIGN 2.2, read from the caller's side.
pub fn classify(refusal: &Refusal) -> Class {
    let delay = match refusal.pushback {
        Some(Pushback::Never) => return Class::Final,
        Some(Pushback::After(wait)) => Some(refusal.retry_delay.map_or(wait, |delay| delay.max(wait))),
        None => refusal.retry_delay,
    };
    match refusal.reason() {
        Some(reason) => by_reason(reason, refusal.code, delay),
        None => by_code(refusal, delay),
    }
}

fn by_reason(reason: &str, code: Code, delay: Option<Duration>) -> Class {
    match reason {
        "CREDENTIALS_MISSING"
        | "CREDENTIALS_MALFORMED"
        | "CREDENTIALS_INVALID"
        | "CREDENTIALS_EXPIRED"
        | "CREDENTIALS_REVOKED" => Class::Credentials,
        "REQUEST_ID_IN_FUTURE" => Class::IdFromFuture,
        "REQUEST_ID_EXPIRED" => Class::IdExpired,
        "AUTH_UNAVAILABLE" | "DRAINING" | "NO_OWNER" | "OUTCOME_UNKNOWN" | "OVERLOADED" => Class::Passing(delay),
        // A reason that this client does not know yet: its code still says what kind it is.
        _ => match code {
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => Class::Passing(delay),
            Code::ResourceExhausted if delay.is_some() => Class::Passing(delay),
            Code::Internal | Code::Unknown => Class::Fault,
            _ => Class::Final,
        },
    }
}

fn by_code(refusal: &Refusal, delay: Option<Duration>) -> Class {
    if matches!(refusal.origin, Origin::NotSent | Origin::NoAnswer) {
        return Class::Passing(delay);
    }
    match refusal.code {
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => Class::Passing(delay),
        Code::ResourceExhausted if delay.is_some() => Class::Passing(delay),
        // An answer that no Semel server gave counts here as well: the next attempt may reach one.
        Code::Internal | Code::Unknown | Code::Ok => Class::Fault,
        _ => Class::Final,
    }
}

/// What is known of a logical call when one more attempt was refused.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// How often it was sent, under whatever id.
    pub attempts: u32,
    /// How many of these attempts ended with [`Class::Fault`].
    pub faults: u32,
    /// Whether this client can fetch fresh credentials by itself.
    pub can_refresh: bool,
    /// Whether it has done so for this call.
    pub refreshed: bool,
    /// Whether the caller gave the id, who then is the only one to replace it.
    pub id_given: bool,
    /// Whether a fresh id was minted already in place of the first one.
    pub minted_anew: bool,
    /// Whether some earlier attempt under the present id may have taken effect.
    pub outcome_open: bool,
}

/// How many attempts may end with [`Class::Fault`] before the call is given up.
pub const FAULTS_MAX: u32 = 3;

/// What to do about a refused attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Send it again under the same id, not before this wait if there is one.
    Again(Option<Duration>),
    /// Fetch fresh credentials, then send it again under the same id.
    Refresh,
    /// Mint one fresh id by the clock that was just learnt, and send it again.
    MintAnew,
    /// Hand the refusal to the caller.
    GiveUp,
}

/// Decides what to do about a refused attempt. `progress` counts that attempt already.
pub fn decide(refusal: &Refusal, progress: &Progress, options: &RetryOptions) -> Decision {
    if progress.attempts >= options.attempts_max {
        return Decision::GiveUp;
    }
    match classify(refusal) {
        Class::Passing(wait) => Decision::Again(wait),
        Class::Fault if progress.faults < FAULTS_MAX => Decision::Again(None),
        Class::Credentials if progress.can_refresh && !progress.refreshed => Decision::Refresh,
        Class::IdFromFuture | Class::IdExpired if may_mint_anew(refusal, progress) => Decision::MintAnew,
        _ => Decision::GiveUp,
    }
}

/// A fresh id makes a new call, so it may be minted only where the present one surely took no effect: this client made
/// it, no earlier attempt's outcome is open, and the server said by its clock why it refused. An id that was sent
/// before, got no answer, and now is refused as expired may well have been executed.
fn may_mint_anew(refusal: &Refusal, progress: &Progress) -> bool {
    let clock_known = refusal.header.as_ref().is_some_and(|header| header.server_time.is_some());
    clock_known && !progress.id_given && !progress.minted_anew && !progress.outcome_open
}

#[cfg(test)]
mod tests {
    use semel_proto::{
        ERROR_DOMAIN,
        v1::{AuthResult, AuthStatus, ResponseHeader},
    };

    use super::*;
    use semel_proto::details::ErrorInfo;

    const DELAY: Duration = Duration::from_millis(700);

    fn refused(code: Code, reason: &str) -> Refusal {
        let auth = AuthResult { status: AuthStatus::Passed.into(), ..Default::default() };
        let header = ResponseHeader {
            auth: Some(auth),
            server_time: Some(prost_types::Timestamp::default()),
            ..Default::default()
        };
        let info = ErrorInfo { reason: reason.to_owned(), domain: ERROR_DOMAIN.to_owned(), ..ErrorInfo::default() };
        Refusal { info: Some(info), header: Some(header), ..Refusal::local(code, "", Origin::Server) }
    }

    fn unexplained(code: Code, origin: Origin) -> Refusal {
        Refusal::local(code, "", origin)
    }

    fn first() -> Progress {
        Progress { attempts: 1, can_refresh: true, ..Progress::default() }
    }

    fn check(refusal: &Refusal, progress: &Progress, expected: Decision) {
        let decision = decide(refusal, progress, &RetryOptions::default());
        assert_eq!(decision, expected, "{refusal:?} {progress:?}");
        let once = decide(refusal, progress, &RetryOptions::none());
        assert_eq!(once, Decision::GiveUp, "without retries nothing is sent again");
    }

    #[test]
    fn the_table_row_by_row() {
        use Decision::{Again, GiveUp, MintAnew, Refresh};
        let rows = [
            (Code::Unauthenticated, "CREDENTIALS_MISSING", None, Refresh),
            (Code::Unauthenticated, "CREDENTIALS_MALFORMED", None, Refresh),
            (Code::Unauthenticated, "CREDENTIALS_INVALID", None, Refresh),
            (Code::Unauthenticated, "CREDENTIALS_EXPIRED", None, Refresh),
            (Code::Unauthenticated, "CREDENTIALS_REVOKED", None, Refresh),
            (Code::Unavailable, "AUTH_UNAVAILABLE", Some(DELAY), Again(Some(DELAY))),
            (Code::Unavailable, "AUTH_UNAVAILABLE", None, Again(None)),
            (Code::PermissionDenied, "FORBIDDEN", None, GiveUp),
            (Code::ResourceExhausted, "AUTH_THROTTLED", Some(DELAY), Again(Some(DELAY))),
            (Code::ResourceExhausted, "AUTH_THROTTLED", None, GiveUp),
            (Code::InvalidArgument, "REQUEST_ID_MISSING", None, GiveUp),
            (Code::InvalidArgument, "REQUEST_ID_MALFORMED", None, GiveUp),
            (Code::InvalidArgument, "REQUEST_ID_IN_FUTURE", None, MintAnew),
            (Code::FailedPrecondition, "REQUEST_ID_REUSED", None, GiveUp),
            (Code::FailedPrecondition, "REQUEST_ID_EXPIRED", None, MintAnew),
            (Code::ResourceExhausted, "OVERLOADED", Some(DELAY), Again(Some(DELAY))),
            (Code::ResourceExhausted, "OVERLOADED", None, Again(None)),
            (Code::ResourceExhausted, "QUOTA_EXCEEDED", Some(DELAY), Again(Some(DELAY))),
            (Code::ResourceExhausted, "QUOTA_EXCEEDED", None, GiveUp),
            (Code::Unavailable, "DRAINING", None, Again(None)),
            (Code::Unavailable, "NO_OWNER", None, Again(None)),
            (Code::DeadlineExceeded, "OUTCOME_UNKNOWN", None, Again(None)),
            (Code::FailedPrecondition, "LEASE_STALE", None, GiveUp),
            (Code::OutOfRange, "RESUME_COMPACTED", None, GiveUp),
            (Code::InvalidArgument, "INVALID", None, GiveUp),
            (Code::FailedPrecondition, "RUN_FINISHED", None, GiveUp),
            (Code::NotFound, "NOT_FOUND", None, GiveUp),
            (Code::Aborted, "ETAG_MISMATCH", None, GiveUp),
            (Code::AlreadyExists, "ALREADY_EXISTS", None, GiveUp),
            (Code::Internal, "INTERNAL", None, Again(None)),
            (Code::Unavailable, "A_REASON_OF_A_LATER_VERSION", None, Again(None)),
            (Code::FailedPrecondition, "A_REASON_OF_A_LATER_VERSION", None, GiveUp),
        ];
        for (code, reason, retry_delay, expected) in rows {
            check(&Refusal { retry_delay, ..refused(code, reason) }, &first(), expected);
        }
    }

    #[test]
    fn what_no_semel_server_said() {
        for (code, expected) in [
            (Code::Unavailable, Decision::Again(None)),
            (Code::Cancelled, Decision::Again(None)),
            (Code::DeadlineExceeded, Decision::Again(None)),
            (Code::Internal, Decision::Again(None)),
            (Code::Unknown, Decision::Again(None)),
            (Code::Ok, Decision::Again(None)),
            (Code::Unauthenticated, Decision::GiveUp),
            (Code::PermissionDenied, Decision::GiveUp),
            (Code::ResourceExhausted, Decision::GiveUp),
            (Code::Unimplemented, Decision::GiveUp),
            (Code::InvalidArgument, Decision::GiveUp),
        ] {
            check(&unexplained(code, Origin::Other), &first(), expected);
        }
        for origin in [Origin::NotSent, Origin::NoAnswer] {
            check(&unexplained(Code::Unknown, origin), &Progress { faults: 9, ..first() }, Decision::Again(None));
        }
    }

    #[test]
    fn a_reason_of_another_domain_is_none_of_ours() {
        let mut refusal = refused(Code::PermissionDenied, "CREDENTIALS_EXPIRED");
        refusal.info.as_mut().expect("it has one").domain = "istio.io".to_owned();
        check(&refusal, &first(), Decision::GiveUp);
    }

    #[test]
    fn credentials_are_renewed_once_and_only_where_they_can_be() {
        let refusal = refused(Code::Unauthenticated, "CREDENTIALS_EXPIRED");
        check(&refusal, &Progress { refreshed: true, ..first() }, Decision::GiveUp);
        check(&refusal, &Progress { can_refresh: false, ..first() }, Decision::GiveUp);
    }

    #[test]
    fn a_fresh_id_is_minted_only_where_the_former_one_surely_took_no_effect() {
        for reason in ["REQUEST_ID_EXPIRED", "REQUEST_ID_IN_FUTURE"] {
            let refusal = refused(Code::FailedPrecondition, reason);
            check(&refusal, &first(), Decision::MintAnew);
            check(&refusal, &Progress { attempts: 2, refreshed: true, ..first() }, Decision::MintAnew);
            check(&refusal, &Progress { id_given: true, ..first() }, Decision::GiveUp);
            check(&refusal, &Progress { minted_anew: true, ..first() }, Decision::GiveUp);
            check(&refusal, &Progress { attempts: 2, outcome_open: true, ..first() }, Decision::GiveUp);
            let timeless = Refusal { header: None, ..refusal };
            check(&timeless, &first(), Decision::GiveUp);
        }
    }

    #[test]
    fn faults_are_bounded_and_so_are_attempts() {
        let fault = unexplained(Code::Internal, Origin::Other);
        check(&fault, &Progress { attempts: 3, faults: FAULTS_MAX, ..first() }, Decision::GiveUp);
        let passing = unexplained(Code::Unavailable, Origin::Other);
        let last = RetryOptions::default().attempts_max;
        check(&passing, &Progress { attempts: last - 1, ..first() }, Decision::Again(None));
        check(&passing, &Progress { attempts: last, ..first() }, Decision::GiveUp);
    }

    #[test]
    fn push_back_rules_over_what_the_status_says() {
        let passing = refused(Code::Unavailable, "DRAINING");
        let never = Refusal { pushback: Some(Pushback::Never), ..passing.clone() };
        check(&never, &first(), Decision::GiveUp);
        let after = Refusal { pushback: Some(Pushback::After(DELAY)), ..passing };
        check(&after, &first(), Decision::Again(Some(DELAY)));
        let longer = Refusal { retry_delay: Some(DELAY * 2), ..after };
        check(&longer, &first(), Decision::Again(Some(DELAY * 2)));
    }

    #[test]
    fn the_back_off_doubles_up_to_its_bound_and_jitters_over_all_of_it() {
        let options = RetryOptions::default();
        let bound = |retry| options.backoff(retry, 1.0);
        assert_eq!(bound(1), options.backoff_first);
        assert_eq!(bound(2), options.backoff_first * 2);
        assert_eq!(bound(5), options.backoff_first * 16);
        assert_eq!(bound(20), options.backoff_max);
        assert_eq!(bound(u32::MAX), options.backoff_max);
        assert_eq!(options.backoff(5, 0.0), Duration::ZERO);
        assert_eq!(options.backoff(5, 0.5), bound(5) / 2);
    }
}
