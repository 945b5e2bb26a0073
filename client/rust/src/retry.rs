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
