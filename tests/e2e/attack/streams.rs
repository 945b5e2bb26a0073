//! Very many streams: at once, more than a connection may have; and over time.

use std::{net::SocketAddr, time::Duration};

use super::{
    raw::{DATA, END_STREAM, Heads, Raw, frame, message},
    resets::Tally,
};
use crate::e2e::binary::some_moment;

/// REFUSED_STREAM.
const REFUSED: u32 = 7;
/// How long answers may take to come, and how long the server gets to say a last word.
const PATIENCE: Duration = Duration::from_secs(20);
const LAST_WORD: Duration = Duration::from_millis(500);
/// What is written together, and how long nothing is then: these are about numbers, and not about how fast they come.
const TOGETHER: u32 = 50;
const PAUSE: Duration = Duration::from_millis(10);

/// More streams at once than a connection may have, none of which ends its request.
pub(crate) async fn at_once(server: SocketAddr, secret: &str, streams: u32) -> (String, String) {
    let bearer = format!("Bearer {secret}");
    let tally = open(server, &[("authorization", bearer.as_bytes())], streams).await;
    assert!(tally.seen.resets.contains_key(&REFUSED) || tally.seen.go_away.is_some(), "{:?}", tally.seen);
    assert!(tally.seen.heads < u64::from(streams), "{:?}", tally.seen);
    (format!("{streams} open streams of a known caller on a connection"), tally.server())
}

/// The same without credentials.
pub(crate) async fn at_once_by_strangers(server: SocketAddr, streams: u32) -> (String, String) {
    let tally = open(server, &[], streams).await;
    assert!(tally.seen.closed, "the oldest gave way, with their connection: {:?}", tally.seen);
    (format!("{streams} open streams of strangers on a connection"), tally.server())
}

async fn open(server: SocketAddr, credentials: &[(&str, &[u8])], streams: u32) -> Tally {
    let mut raw = Raw::begin(server, &[]).await.expect("it is let in");
    let calls = Heads::of("/semel.v1.ServerService/GetServerInfo", credentials);
    for first in (0..streams).step_by(TOGETHER as usize) {
        let begun = (first..first + TOGETHER).flat_map(|number| calls.begin(number * 2 + 1));
        if raw.send(&begun.collect::<Vec<u8>>()).await.is_err() {
            break;
        }
        some_moment(PAUSE).await;
    }
    Tally { connections: 1, streams: u64::from(streams), seen: raw.end(LAST_WORD).await }
}

/// So many calls over time, each whole and without credentials, over so many connections.
pub(crate) async fn over_time(server: SocketAddr, streams: u32, connections: u32) -> (String, String) {
    let heads = Heads::of("/semel.v1.ServerService/GetServerInfo", &[]);
    let body = message(0, 0, &[]);
    let mut tally = Tally::default();
    let each = streams / connections;
    for _ in 0..connections {
        let mut raw = Raw::begin(server, &[]).await.expect("it is let in");
        for first in (0..each).step_by(TOGETHER as usize) {
            let calls = (first..first + TOGETHER).flat_map(|number| {
                let id = number * 2 + 1;
                [heads.begin(id), frame(DATA, END_STREAM, id, &body)].concat()
            });
            raw.send(&calls.collect::<Vec<u8>>()).await.expect("calls are taken");
            some_moment(PAUSE).await;
        }
        tally.seen = tally.seen.and(raw.end_after(u64::from(each), PATIENCE).await);
    }
    assert!(tally.seen.go_away.is_none(), "calls are no fault: {:?}", tally.seen);
    assert_eq!(tally.seen.heads, u64::from(each * connections), "each is answered");
    (format!("{streams} calls without credentials over {connections} connections"), tally.server())
}
