//! What an answer means for the attempt: success, a failure that may pass, or one that will not. It sends nothing.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use semel_client::worker::{Outcome, ProcessError};
use semel_proto::v1::Payload;

/// The longest wait that a server may ask for: beyond that the retry policy of the job knows better.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);
/// How much of an error's body stands in the failure.
const EXCERPT_CHARACTERS: usize = 300;

/// An answer, read as far as it is kept.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Whether there was more of it.
    pub(super) cut: bool,
}

impl Answer {
    /// The outcome, where `expected` says whether the status is one that the run waits for.
    pub(super) fn into_outcome(self, expected: bool) -> Outcome {
        if expected {
            let content_type = self.text(header::CONTENT_TYPE).unwrap_or("application/octet-stream").to_owned();
            return Ok(Payload { data: self.body, content_type });
        }
        let message = self.describe();
        if !may_pass(self.status) {
            return Err(ProcessError::permanent(message));
        }
        let asks = matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        Err(match self.retry_after().filter(|_| asks) {
            Some(wait) => ProcessError::retry_after(message, wait),
            None => ProcessError::failed(message),
        })
    }

    fn describe(&self) -> String {
        let status = self.status;
        if status.is_redirection() {
            let to = self.text(header::LOCATION).unwrap_or("nowhere");
            return format!("answered {status}, to {to}; redirects are not followed: give the URL that it leads to");
        }
        if status.is_success() {
            return format!("answered {status}, which is a success but not among the expected ones");
        }
        let body = String::from_utf8_lossy(&self.body);
        let excerpt: String = body.split_whitespace().collect::<Vec<_>>().join(" ");
        let excerpt: String = excerpt.chars().take(EXCERPT_CHARACTERS).collect();
        if excerpt.is_empty() { format!("answered {status}") } else { format!("answered {status}: {excerpt}") }
    }

    /// How long the server wishes to be left alone: a number of seconds, or a date, which is compared with the date that
    /// the server itself puts on its answer, so that no clock of ours matters.
    fn retry_after(&self) -> Option<Duration> {
        let text = self.text(header::RETRY_AFTER)?.trim();
        let wait = match text.parse::<u64>() {
            Ok(seconds) => Duration::from_secs(seconds),
            Err(_) => {
                let at = httpdate::parse_http_date(text).ok()?;
                let now = httpdate::parse_http_date(self.text(header::DATE)?).ok()?;
                at.duration_since(now).unwrap_or_default()
            }
        };
        Some(wait.min(RETRY_AFTER_MAX))
    }

    fn text(&self, name: http::HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// Whether another try may have another end: the server is busy, broken or was too slow. All else stays as it is.
fn may_pass(status: StatusCode) -> bool {
    let passing = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
    status.is_server_error() || passing.contains(&status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &'static str)], body: &'static str) -> Answer {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (header::HeaderName::from_static(name), header::HeaderValue::from_static(value))
        };
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: headers.iter().map(pair).collect(),
            body: body.into(),
            cut: false,
        }
    }

    #[test]
    fn an_expected_answer_is_the_result() {
        let result = answer(201, &[("content-type", "application/json")], "{}").into_outcome(true).unwrap();
        assert_eq!((result.content_type.as_str(), &result.data[..]), ("application/json", &b"{}"[..]));
        let result = answer(204, &[], "").into_outcome(true).unwrap();
        assert_eq!(result.content_type, "application/octet-stream");
    }

    #[test]
    fn what_may_pass_is_tried_again_and_the_rest_is_not() {
        for status in [408, 425, 429, 500, 502, 503, 504, 599] {
            let error = answer(status, &[], "").into_outcome(false).unwrap_err();
            assert_eq!(error, ProcessError::failed(error.to_string()), "{status}");
        }
        for status in [200, 301, 302, 304, 307, 400, 401, 403, 404, 409, 410, 422, 451] {
            let error = answer(status, &[], "").into_outcome(false).unwrap_err();
            assert_eq!(error, ProcessError::permanent(error.to_string()), "{status}");
        }
    }

    #[test]
    fn a_failure_says_what_was_answered() {
        let message = |answer: Answer| answer.into_outcome(false).unwrap_err().to_string();
        assert_eq!(message(answer(404, &[], "no such\n  thing\n")), "answered 404 Not Found: no such thing");
        let moved = message(answer(302, &[("location", "https://evil.example/")], ""));
        assert!(
            moved.starts_with("answered 302 Found, to https://evil.example/; redirects are not followed"),
            "{moved}"
        );
        assert!(message(answer(200, &[], "")).contains("not among the expected ones"));
    }

    #[test]
    fn a_server_may_say_when_to_come_again() {
        let wait = |status, headers: &[(&'static str, &'static str)]| {
            let error = answer(status, headers, "").into_outcome(false).unwrap_err();
            [0, 7, 90, 24 * 3600]
                .into_iter()
                .find(|seconds| error == ProcessError::retry_after(error.to_string(), Duration::from_secs(*seconds)))
        };
        assert_eq!(wait(429, &[("retry-after", "7")]), Some(7));
        assert_eq!(wait(503, &[("retry-after", "9999999")]), Some(24 * 3600));
        assert_eq!(wait(500, &[("retry-after", "7")]), None);
        assert_eq!(wait(503, &[("retry-after", "soon")]), None);
        let at = ("retry-after", "Fri, 31 Dec 1999 23:59:59 GMT");
        assert_eq!(wait(503, &[at, ("date", "Fri, 31 Dec 1999 23:58:29 GMT")]), Some(90));
        assert_eq!(wait(503, &[at, ("date", "Sat, 01 Jan 2000 00:00:09 GMT")]), Some(0));
        assert_eq!(wait(503, &[at]), None);
    }
}
