//! What a proxy may do to headers and trailers. It changes maps and knows no call.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};

/// What HTTP/2 and gRPC cannot do without, in either direction. The encodings say how the message is packed.
const KEPT: &[&str] = &["content-type", "grpc-status", "grpc-encoding", "authorization"];
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// Drops everything that may be dropped. Credentials stay: losing them is another fault.
pub(crate) fn strip(headers: &mut HeaderMap) {
    let dropped: Vec<_> = headers.keys().filter(|name| !KEPT.contains(&name.as_str())).cloned().collect();
    for name in dropped {
        headers.remove(name);
    }
}

/// Writes the content type in its plainest form.
pub(crate) fn respell(headers: &mut HeaderMap) {
    if let Some(kind) =
        headers.get_mut(header::CONTENT_TYPE).filter(|kind| kind.as_bytes().starts_with(GRPC.as_bytes()))
    {
        *kind = GRPC;
    }
}

/// Takes what belongs into trailers out of the headers of an answer that has nothing else.
pub(crate) fn split_trailers(headers: &mut HeaderMap) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    let moved: Vec<_> = headers.keys().filter(|name| name.as_str() != "content-type").cloned().collect();
    for name in moved {
        let values: Vec<_> = headers.get_all(&name).iter().cloned().collect();
        headers.remove(&name);
        for value in values {
            trailers.append(&name, value);
        }
    }
    trailers
}

/// What the caller gives the call, by its `grpc-timeout`.
pub(crate) fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count.saturating_mul(3600)),
        "M" => Duration::from_secs(count.saturating_mul(60)),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().expect("a name"), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn what_grpc_needs_is_kept_and_everything_else_goes() {
        let needed = [("content-type", "application/grpc"), ("grpc-status", "0"), ("authorization", "Bearer x")];
        let mut map = headers(&needed);
        for name in ["grpc-message", "grpc-status-details-bin", "grpc-timeout", "user-agent", "te", "x-own", "date"] {
            map.insert(name, HeaderValue::from_static("1"));
        }
        strip(&mut map);
        assert_eq!(map, headers(&needed));
    }

    #[test]
    fn a_refusal_in_headers_becomes_one_in_trailers() {
        let mut map =
            headers(&[("content-type", "application/grpc+proto"), ("grpc-status", "5"), ("grpc-message", "no")]);
        respell(&mut map);
        assert_eq!(split_trailers(&mut map), headers(&[("grpc-status", "5"), ("grpc-message", "no")]));
        assert_eq!(map, headers(&[("content-type", "application/grpc")]));
    }

    #[test]
    fn timeouts_are_read_in_each_unit() {
        let read = |text| timeout(&headers(&[("grpc-timeout", text)]));
        assert_eq!(read("2S"), Some(Duration::from_secs(2)));
        assert_eq!(read("1H"), Some(Duration::from_secs(3600)));
        assert_eq!(read("3M"), Some(Duration::from_secs(180)));
        assert_eq!(read("500m"), Some(Duration::from_millis(500)));
        assert_eq!(read("7u"), Some(Duration::from_micros(7)));
        assert_eq!(read("9n"), Some(Duration::from_nanos(9)));
        for wrong in ["", "S", "5", "5x", "-1S"] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }
}
