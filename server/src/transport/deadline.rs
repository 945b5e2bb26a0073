//! The caller's deadline, answered by ourselves a little before it comes: tonic would answer CANCELLED, which meshes
//! retry.

use std::time::Duration;

use http::{HeaderMap, HeaderName};

const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// Answers leave this much before the deadline at most.
const MARGIN_MAX: Duration = Duration::from_millis(50);

/// In which time to answer at the latest; none if the caller set no deadline.
pub(super) fn of(headers: &HeaderMap) -> Option<Duration> {
    let timeout = parse(headers.get(TIMEOUT)?.to_str().ok()?)?;
    Some(timeout - (timeout / 10).min(MARGIN_MAX))
}

/// The form of the gRPC specification: 1 to 8 digits and a unit.
fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(value * 3600),
        "M" => Duration::from_secs(value * 60),
        "S" => Duration::from_secs(value),
        "m" => Duration::from_millis(value),
        "u" => Duration::from_micros(value),
        "n" => Duration::from_nanos(value),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_that_of_the_specification() {
        assert_eq!(parse("250m"), Some(Duration::from_millis(250)));
        assert_eq!(parse("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        for bad in ["", "m", "123456789S", "1", "-1S", "1s", "1 S", "١S"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
