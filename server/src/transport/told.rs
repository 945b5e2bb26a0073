//! What a call says of other tries of itself: metadata that retry layers send, and nothing is guessed from anything else. It is
//! kept with the request and shown by `GetRequest`; nothing is decided by it, for anybody may send it.

use http::{HeaderMap, HeaderName};
use semel_core::window::Told;

/// What gRPC's libraries send with each try but the first.
const PREVIOUS_ATTEMPTS: HeaderName = HeaderName::from_static("grpc-previous-rpc-attempts");
/// What Envoy sends with each try, where it is told to (`include_request_attempt_count`).
const PROXY_ATTEMPTS: HeaderName = HeaderName::from_static("x-envoy-attempt-count");
/// Longer numbers than this are nobody's count.
const DIGITS_MAX: usize = 6;

/// What the headers tell; none if it is nothing, or only that this is the first try.
pub(super) fn of(headers: &HeaderMap) -> Option<Told> {
    let told = Told {
        previous_attempts: count(headers, &PREVIOUS_ATTEMPTS).unwrap_or(0),
        proxy_attempts: count(headers, &PROXY_ATTEMPTS).unwrap_or(0),
    };
    (told.previous_attempts > 0 || told.proxy_attempts > 1).then_some(told)
}

fn count(headers: &HeaderMap, name: &HeaderName) -> Option<u32> {
    let text = headers.get(name)?.to_str().ok()?;
    let is_count = !text.is_empty() && text.len() <= DIGITS_MAX && text.bytes().all(|digit| digit.is_ascii_digit());
    is_count.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(previous: &str, proxy: &str) -> Option<Told> {
        let mut headers = HeaderMap::new();
        for (name, value) in [("grpc-previous-rpc-attempts", previous), ("x-envoy-attempt-count", proxy)] {
            if !value.is_empty() {
                headers.insert(name, value.parse().expect("it is ASCII"));
            }
        }
        of(&headers)
    }

    #[test]
    fn a_first_try_tells_nothing() {
        assert_eq!(told("", ""), None);
        assert_eq!(told("0", "1"), None);
    }

    #[test]
    fn counts_are_read_and_garbage_is_not() {
        assert_eq!(told("2", ""), Some(Told { previous_attempts: 2, proxy_attempts: 0 }));
        assert_eq!(told("1", "3"), Some(Told { previous_attempts: 1, proxy_attempts: 3 }));
        assert_eq!(told("x", "2"), Some(Told { previous_attempts: 0, proxy_attempts: 2 }));
        for garbage in ["-1", "1.5", "1 ", "1234567", "0x1", "+1"] {
            assert_eq!(told(garbage, garbage), None, "{garbage}");
        }
    }
}
