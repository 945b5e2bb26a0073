//! Frames that cost their sender next to nothing: continuations without an end, pings, settings, empty data.

use std::{net::SocketAddr, time::Duration};

use tokio::time::Instant;

use super::{
    raw::{CONTINUATION, DATA, END_HEADERS, HEADERS, PING, Raw, SETTINGS, call, frame},
    resets::{CALM, Tally},
};

const PATIENCE: Duration = Duration::from_millis(500);
/// Frames of one write.
const TOGETHER: usize = 500;

/// Sends the same bytes again and again over one connection at a time, until the time is over.
async fn flood(server: SocketAddr, lasting: Duration, reads: bool, first: &[u8], again: &[u8]) -> (u64, Tally) {
    let (mut tally, mut frames, end) = (Tally::default(), 0, Instant::now() + lasting);
    let again = again.repeat(TOGETHER);
    while tally.connections == 0 || Instant::now() < end {
        let begun = if reads { Raw::begin(server, &[]).await } else { Raw::deaf(server, &[]).await };
        let mut raw = begun.expect("it is let in");
        tally.connections += 1;
        let mut going = raw.send(first).await;
        while going.is_ok() && Instant::now() < end {
            going = raw.send(&again).await;
            frames += TOGETHER as u64;
        }
        tally.seen = std::mem::take(&mut tally.seen).and(raw.end(PATIENCE).await);
    }
    (frames, tally)
}

/// A head that does not end (CVE-2024-27316).
pub(crate) async fn continuations(server: SocketAddr, lasting: Duration) -> (String, String) {
    let begun = frame(HEADERS, 0, 1, &call("/semel.v1.ServerService/GetServerInfo", &[]));
    let (frames, tally) = flood(server, lasting, true, &begun, &frame(CONTINUATION, 0, 1, &[])).await;
    assert_eq!(tally.seen.go_away.as_ref().map(|(code, _)| *code), Some(CALM), "{:?}", tally.seen);
    (format!("{frames} frames over {} connections", tally.connections), tally.server())
}

/// Pings, of which the answers are read.
pub(crate) async fn pings(server: SocketAddr, lasting: Duration) -> (String, String) {
    let (frames, tally) = flood(server, lasting, true, &[], &frame(PING, 0, 0, &[7; 8])).await;
    (format!("{frames} pings"), format!("{}, {} pongs", tally.server(), tally.seen.pongs))
}

/// Pings, of which nothing is read: what the server would answer must not pile up.
pub(crate) async fn deaf_pings(server: SocketAddr, lasting: Duration) -> (String, String) {
    let (frames, tally) = flood(server, lasting, false, &[], &frame(PING, 0, 0, &[7; 8])).await;
    (format!("{frames} pings, no answer read"), format!("took no more; {} connections", tally.connections))
}

/// A connection that is full of answers which are not read.
pub(crate) async fn stuck(server: SocketAddr) -> Raw {
    let mut raw = Raw::deaf(server, &[]).await.expect("it is let in");
    let pings = frame(PING, 0, 0, &[7; 8]).repeat(TOGETHER);
    while raw.send(&pings).await.is_ok() {}
    raw
}

/// Settings, each of which changes the windows of all streams and must be acknowledged.
pub(crate) async fn settings(server: SocketAddr, lasting: Duration) -> (String, String) {
    let window = |bytes: u32| frame(SETTINGS, 0, 0, &[&[0, 4][..], &bytes.to_be_bytes()].concat());
    let both = [window(1), window(1 << 20)].concat();
    let (frames, tally) = flood(server, lasting, true, &[], &both).await;
    (format!("{} settings", frames * 2), format!("{}, {} acknowledged", tally.server(), tally.seen.settings))
}

/// The same, but nothing is read.
pub(crate) async fn deaf_settings(server: SocketAddr, lasting: Duration) -> (String, String) {
    let (frames, tally) = flood(server, lasting, false, &[], &frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 1])).await;
    (format!("{frames} settings, no answer read"), format!("took no more; {} connections", tally.connections))
}

/// Data without data (CVE-2019-9518).
pub(crate) async fn empty_data(server: SocketAddr, lasting: Duration) -> (String, String) {
    let begun = frame(HEADERS, END_HEADERS, 1, &call("/semel.v1.ServerService/GetServerInfo", &[]));
    let (frames, tally) = flood(server, lasting, true, &begun, &frame(DATA, 0, 1, &[])).await;
    assert_eq!(tally.seen.go_away.as_ref().map(|(code, _)| *code), Some(CALM), "{:?}", tally.seen);
    (format!("{frames} frames over {} connections", tally.connections), tally.server())
}
