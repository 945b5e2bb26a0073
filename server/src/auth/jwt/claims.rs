//! What a token claims, once its signature holds: for whom it is, who bears it, and from when until when.

use semel_core::id::{Millis, Timestamp};
use serde_json::{Map, Value};

use super::settings::IssuerSettings;
use crate::auth::Status;

/// The longest subject, in bytes: as OpenID Connect has it.
const SUBJECT_BYTES_MAX: usize = 255;
/// The end of the year 9999, in seconds: what a timestamp on the wire can say.
const SECONDS_MAX: f64 = 253_402_300_799.0;

/// What a token claims.
pub(super) struct Claims {
    pub(super) subject: String,
    /// `exp`.
    pub(super) expire_time: Timestamp,
    /// The later of `nbf` and `iat`, where there is one.
    pub(super) earliest: Option<Timestamp>,
}

impl Claims {
    /// Reads the claims of a token whose signature was checked.
    ///
    /// # Errors
    /// [`Status::Malformed`] if a claim is missing or not of its kind, [`Status::Invalid`] if it is for somebody else.
    pub(super) fn read(claims: &Map<String, Value>, settings: &IssuerSettings) -> Result<Self, Status> {
        if !is_for(claims.get("aud").ok_or(Status::Invalid)?, &settings.audience) {
            return Err(Status::Invalid);
        }
        let subject = claims.get(&settings.principal_claim).and_then(Value::as_str).ok_or(Status::Malformed)?;
        let fits = !subject.is_empty() && subject.len() <= SUBJECT_BYTES_MAX && !subject.chars().any(char::is_control);
        if !fits {
            return Err(Status::Malformed);
        }
        let expire_time = time(claims, "exp")?.ok_or(Status::Malformed)?;
        let earliest = time(claims, "nbf")?.max(time(claims, "iat")?);
        Ok(Self { subject: subject.to_owned(), expire_time, earliest })
    }
}

fn is_for(audience: &Value, us: &str) -> bool {
    match audience {
        Value::String(one) => one == us,
        Value::Array(several) => several.iter().any(|one| one.as_str() == Some(us)),
        _ => false,
    }
}

/// A claim in seconds, which may have a fraction.
fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<Timestamp>, Status> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_f64().filter(|seconds| (0.0..=SECONDS_MAX).contains(seconds)).ok_or(Status::Malformed)?;
    #[expect(clippy::cast_possible_truncation, reason = "it lies within the years that were just checked")]
    Ok(Some(Timestamp((seconds * 1000.0) as i64)))
}

/// How a token stands at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is good, until then.
    Good { until: Timestamp },
    /// Its time has not come.
    TooEarly,
    /// Its time is over.
    Over,
}

/// Judges a token's times. One that has ended within the leeway is good until the leeway is over, so whoever looks again
/// at the time that it was told sees time go on.
pub(super) fn standing(end: Timestamp, earliest: Option<Timestamp>, leeway: Millis, now: Timestamp) -> Standing {
    if end.plus(leeway) <= now {
        Standing::Over
    } else if earliest.is_some_and(|earliest| earliest > now.plus(leeway)) {
        Standing::TooEarly
    } else {
        Standing::Good { until: if end <= now { end.plus(leeway) } else { end } }
    }
}
