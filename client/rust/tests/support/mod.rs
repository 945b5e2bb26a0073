//! A server of the tests' own: it does what it is told, remembers what it saw, and knows nothing of scheduling.

#![expect(dead_code, reason = "each test binary uses its own part of it")]

pub(crate) mod calls;
pub(crate) mod refusals;
pub(crate) mod relay;
pub(crate) mod streams;
pub(crate) mod watch;
pub(crate) mod work;

use std::{future::Future, net::SocketAddr, time::Duration};

use semel_proto::v1::{AuthResult, AuthStatus, ResponseHeader};
use tokio::net::TcpSocket;

/// No test takes this long; one that does has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A port that nobody gets as long as this is kept, and where nobody listens; and its address.
pub(crate) fn nobody() -> (TcpSocket, SocketAddr) {
    let port = TcpSocket::new_v4().unwrap();
    port.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = port.local_addr().unwrap();
    (port, address)
}

/// Waits for something that must come.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what} did not come"),
    }
}

/// Waits until a condition holds.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let mut looks = tokio::time::interval(Duration::from_millis(2));
    soon(what, async {
        while !condition() {
            looks.tick().await;
        }
    })
    .await;
}

/// The header of a good answer.
pub(crate) fn header(request_id: &str, time_ms: i64) -> ResponseHeader {
    header_with(AuthStatus::Passed, request_id, time_ms)
}

/// A header with any verdict.
pub(crate) fn header_with(status: AuthStatus, request_id: &str, time_ms: i64) -> ResponseHeader {
    ResponseHeader {
        request_id: request_id.to_owned(),
        auth: Some(AuthResult { status: status.into(), ..Default::default() }),
        server_time: Some(timestamp(time_ms)),
        ..Default::default()
    }
}

/// A time in milliseconds since the epoch.
pub(crate) fn timestamp(ms: i64) -> prost_types::Timestamp {
    let nanos = i32::try_from(ms.rem_euclid(1000)).unwrap() * 1_000_000;
    prost_types::Timestamp { seconds: ms.div_euclid(1000), nanos }
}

/// This machine's time in milliseconds since the epoch.
pub(crate) fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

pub(crate) fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}
