//! What a run asks `http` to send, read from its payload and made into one request. It judges the form; where the
//! request may go is judged in `allow`.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::Full;
use semel_proto::v1::TraceContext;
use serde::Deserialize;

use super::allow::{self, Prefix};
use crate::worker::payload;

/// Headers of one request.
const HEADERS_MAX: usize = 100;
/// How long a request may take whose payload does not say.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// Headers that a payload may not set: those that say how the message is framed, which the client does, where it goes,
/// which the allow-list decides, and those by which a receiver recognizes a retry.
const KEPT: &[&str] = &[
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "upgrade",
    "te",
    "trailer",
    "expect",
    "proxy-authorization",
    "proxy-connection",
    IDEMPOTENCY_KEY,
    SEMEL_ATTEMPT,
];

/// The same over all attempts of a run, so that a receiver that knows it does the work once.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// The number of the attempt, which is its fencing token.
const SEMEL_ATTEMPT: &str = "x-semel-attempt";
/// The span of the attempt, as W3C Trace Context has it.
const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

/// A request, as the payload of a run states it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stated {
    #[serde(default = "get")]
    method: String,
    url: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: Option<String>,
    /// The status codes that are a success; empty for every 2xx.
    #[serde(default)]
    expect: Vec<u16>,
    #[serde(default)]
    timeout_ms: Option<u64>,
}

fn get() -> String {
    "GET".to_owned()
}

/// A request that may be sent.
#[derive(Clone, Debug)]
pub(super) struct Accepted {
    pub(super) method: Method,
    pub(super) url: Uri,
    headers: HeaderMap,
    body: Bytes,
    pub(super) expect: Vec<StatusCode>,
    pub(super) timeout: Duration,
}

/// What is wrong with a request.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum Error {
    #[error(transparent)]
    Payload(#[from] payload::Error),
    #[error(transparent)]
    Url(#[from] allow::Error),
    #[error("the method {0:?} is none that can be sent")]
    Method(String),
    #[error("the header {0:?} has a name or a value that cannot be sent")]
    Header(String),
    #[error("the header {0} is set by the worker alone; leave it out")]
    HeaderKept(String),
    #[error("there are {0} headers; at most {HEADERS_MAX} are taken")]
    HeaderCount(usize),
    #[error("`expect` holds {0}, which is no status that ends a request: from 200 to 599")]
    Status(u16),
    #[error("`timeout_ms` is 0; leave it out for {} s", TIMEOUT_DEFAULT.as_secs())]
    Timeout,
}

impl Accepted {
    /// Reads a payload. All that is wrong with one stays wrong, however often it is tried.
    pub(super) fn parse(content_type: &str, data: &[u8], allowed: &[Prefix]) -> Result<Self, Error> {
        let stated: Stated = payload::parse(content_type, data)?;
        let url = allow::check(allowed, &stated.url)?;
        let method = Method::from_bytes(stated.method.as_bytes()).ok().filter(|method| method != Method::CONNECT);
        let status = |code: &u16| match code {
            200..600 => StatusCode::from_u16(*code).map_err(|_| Error::Status(*code)),
            _ => Err(Error::Status(*code)),
        };
        Ok(Self {
            method: method.ok_or(Error::Method(stated.method))?,
            url,
            headers: headers(&stated.headers)?,
            body: stated.body.unwrap_or_default().into(),
            expect: stated.expect.iter().map(status).collect::<Result<_, _>>()?,
            timeout: match stated.timeout_ms {
                Some(0) => return Err(Error::Timeout),
                Some(timeout) => Duration::from_millis(timeout),
                None => TIMEOUT_DEFAULT,
            },
        })
    }

    /// Whether a status is a success.
    pub(super) fn expects(&self, status: StatusCode) -> bool {
        if self.expect.is_empty() { status.is_success() } else { self.expect.contains(&status) }
    }

    /// The request of one attempt.
    pub(super) fn to_request(
        &self,
        run_id: &str,
        attempt: i64,
        trace: Option<&TraceContext>,
    ) -> Result<Request<Full<Bytes>>, http::Error> {
        let mut builder = Request::builder().method(self.method.clone()).uri(self.url.clone());
        if let Some(headers) = builder.headers_mut() {
            headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
            headers.extend(self.headers.clone());
            // The span of the attempt, in place of whatever the run says.
            if let Some(context) = trace {
                headers.insert(TRACEPARENT, HeaderValue::from_str(&context.traceparent)?);
                headers.remove(TRACESTATE);
                if !context.tracestate.is_empty() {
                    headers.insert(TRACESTATE, HeaderValue::from_str(&context.tracestate)?);
                }
            }
        }
        builder.header(IDEMPOTENCY_KEY, run_id).header(SEMEL_ATTEMPT, attempt).body(Full::new(self.body.clone()))
    }
}

const USER_AGENT: &str = concat!("semel/", env!("CARGO_PKG_VERSION"));

fn headers(stated: &BTreeMap<String, String>) -> Result<HeaderMap, Error> {
    if stated.len() > HEADERS_MAX {
        return Err(Error::HeaderCount(stated.len()));
    }
    let mut headers = HeaderMap::new();
    for (name, value) in stated {
        let (Ok(key), Ok(mut value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) else {
            return Err(Error::Header(name.clone()));
        };
        if KEPT.contains(&key.as_str()) {
            return Err(Error::HeaderKept(key.to_string()));
        }
        // Some of them are credentials; none of them is of use in a log.
        value.set_sensitive(true);
        headers.append(key, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Accepted, Error> {
        Accepted::parse("application/json", text.as_bytes(), &["http://h.example/a".parse().unwrap()])
    }

    #[test]
    fn a_payload_is_read_whole() {
        let text = r#"{"method":"POST","url":"http://h.example/a/b","headers":{"X-Key":"v","user-agent":"me"},
                       "body":"hello","expect":[201,409],"timeout_ms":1500}"#;
        let accepted = parse(text).unwrap();
        assert_eq!(accepted.timeout, Duration::from_millis(1500));
        assert!(accepted.expects(StatusCode::CONFLICT) && !accepted.expects(StatusCode::OK));
        let request = accepted.to_request("the-run", 3, None).unwrap();
        assert_eq!(request.method(), Method::POST);
        let header =
            |name| request.headers().get_all(name).iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>();
        assert_eq!(header("x-key"), ["v"]);
        assert_eq!(header("user-agent"), ["me"]);
        assert_eq!(header("idempotency-key"), ["the-run"]);
        assert_eq!(header("x-semel-attempt"), ["3"]);
        assert!(header("traceparent").is_empty());
        let context = TraceContext { traceparent: "00-a-b-01".to_owned(), tracestate: "a=1".to_owned() };
        let request = accepted.to_request("the-run", 3, Some(&context)).unwrap();
        assert_eq!(request.headers()["traceparent"], "00-a-b-01");
        assert_eq!(request.headers()["tracestate"], "a=1");
    }

    #[test]
    fn little_is_needed() {
        let accepted = parse(r#"{"url":"http://h.example/a"}"#).unwrap();
        assert_eq!((accepted.method.as_str(), accepted.timeout), ("GET", TIMEOUT_DEFAULT));
        assert!(accepted.expects(StatusCode::NO_CONTENT) && !accepted.expects(StatusCode::FOUND));
    }

    #[test]
    fn what_is_wrong_with_a_payload_is_said() {
        for (rest, part) in [
            (r#""method":"CONNECT""#, "the method \"CONNECT\""),
            (r#""method":"GE T""#, "the method \"GE T\""),
            (r#""headers":{"Host":"evil.example"}"#, "the header host is set by the worker alone"),
            (r#""headers":{"Idempotency-Key":"x"}"#, "the header idempotency-key"),
            (r#""headers":{"a":"b\r\nc: d"}"#, "cannot be sent"),
            (r#""headers":{"a b":"c"}"#, "cannot be sent"),
            (r#""expect":[100]"#, "`expect` holds 100"),
            (r#""timeout_ms":0"#, "`timeout_ms` is 0"),
            (r#""redirect":true"#, "unknown field"),
        ] {
            let message = parse(&format!(r#"{{"url":"http://h.example/a",{rest}}}"#)).unwrap_err().to_string();
            assert!(message.contains(part), "{rest}: {message}");
        }
        assert!(matches!(parse(r#"{"url":"http://h.example/b"}"#), Err(Error::Url(_))));
    }
}
