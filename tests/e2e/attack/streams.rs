//! Very many streams: at once, more than a connection may have; and over time.

use std::{net::SocketAddr, time::Duration};

use super::{
    raw::{DATA, END_HEADERS, END_STREAM, HEADERS, Raw, call, frame, message},
    resets::{CALM, Tally},
};

const PATIENCE: Duration = Duration::from_secs(2);
const TOGETHER: u32 = 50;

/// More streams at once than a connection may have, none of which ends its request.
pub(crate) async fn at_once(server: SocketAddr, streams: u32) -> (String, String) {
    let mut raw = Raw::begin(server, &[]).await.expect("it is let in");
    let head = call("/semel.v1.ServerService/GetServerInfo", &[]);
    for first in (0..streams).step_by(TOGETHER as usize) {
        let heads = (first..first + TOGETHER).flat_map(|number| frame(HEADERS, END_HEADERS, number * 2 + 1, &head));
        if raw.send(&heads.collect::<Vec<u8>>()).await.is_err() {
            break;
        }
    }
    let tally = Tally { connections: 1, streams: u64::from(streams), seen: raw.end(PATIENCE).await };
    assert_eq!(tally.seen.go_away.as_ref().map(|(code, _)| *code), Some(CALM), "{:?}", tally.seen);
    (format!("{streams} open streams on a connection"), tally.server())
}

/// So many calls over time, each whole and without credentials, over so many connections.
pub(crate) async fn over_time(server: SocketAddr, streams: u32, connections: u32) -> (String, String) {
    let head = call("/semel.v1.ServerService/GetServerInfo", &[]);
    let body = message(0, 0, &[]);
    let mut tally = Tally::default();
    let each = streams / connections;
    for _ in 0..connections {
        let mut raw = Raw::begin(server, &[]).await.expect("it is let in");
        for first in (0..each).step_by(TOGETHER as usize) {
            let calls = (first..first + TOGETHER).flat_map(|number| {
                let id = number * 2 + 1;
                [frame(HEADERS, END_HEADERS, id, &head), frame(DATA, END_STREAM, id, &body)].concat()
            });
            raw.send(&calls.collect::<Vec<u8>>()).await.expect("calls are taken");
        }
        tally.seen = tally.seen.and(raw.end(PATIENCE).await);
    }
    assert!(tally.seen.go_away.is_none() && tally.seen.resets.is_empty(), "calls are no fault: {:?}", tally.seen);
    assert_eq!(tally.seen.heads, u64::from(each * connections), "each is answered");
    (format!("{streams} calls without credentials over {connections} connections"), tally.server())
}
