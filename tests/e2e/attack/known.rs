//! What a caller with credentials can hold: calls that do nothing, heads, messages that become far more than they are, and
//! streams that send and do not read.

use std::{net::SocketAddr, time::Duration};

use super::{
    raw::{DATA, END_HEADERS, HEADERS, Raw, Seen, call, frame, message},
    resets::Tally,
};
use crate::e2e::binary::some_moment;

/// What is written together, and how long nothing is then: these are about numbers, and not about how fast they come.
const TOGETHER: u32 = 50;
const PAUSE: Duration = Duration::from_millis(10);
/// How long the server gets to say a last word.
const LAST_WORD: Duration = Duration::from_secs(1);
const SUBMIT_RUNS: &str = "/semel.v1.JobService/SubmitRuns";
/// What goes into one frame.
const CHUNK: usize = 16 << 10;

/// Calls that begin and say no more, on so many connections at once.
pub(crate) async fn open_calls(server: SocketAddr, secret: &str, connections: u32, streams: u32) -> (String, String) {
    let tally = open(server, secret, &[], connections, streams).await;
    assert!(tally.seen.heads > 0 && tally.seen.go_away.is_none(), "none was refused: {:?}", tally.seen);
    let open = tally.streams - tally.seen.heads;
    (
        format!("{} calls of an app that only begin, on {connections} connections", tally.streams),
        held(open, &tally.seen),
    )
}

/// The same with heads that are as large as may be, of many headers.
pub(crate) async fn large_heads(server: SocketAddr, secret: &str, connections: u32, streams: u32) -> (String, String) {
    let names: Vec<String> = (0..400).map(|number| format!("x{number}")).collect();
    let many: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b"1"[..])).collect();
    let tally = open(server, secret, &many, connections, streams).await;
    assert!(tally.seen.heads > 0 && tally.seen.go_away.is_none(), "none was refused: {:?}", tally.seen);
    let open = tally.streams - tally.seen.heads;
    (format!("{} calls that only begin, each with 400 headers", tally.streams), held(open, &tally.seen))
}

fn held(open: u64, seen: &Seen) -> String {
    format!("{open} stood open, {} were refused", seen.heads)
}

async fn open(server: SocketAddr, secret: &str, more: &[(&str, &[u8])], connections: u32, streams: u32) -> Tally {
    let bearer = format!("Bearer {secret}");
    let credentials = [&[("authorization", bearer.as_bytes())], more].concat();
    let head = call("/semel.v1.ServerService/GetServerInfo", &credentials);
    let mut open = Vec::new();
    for _ in 0..connections {
        let mut raw = Raw::begin(server, &[]).await.expect("it is let in");
        for first in (0..streams).step_by(TOGETHER as usize) {
            let heads = (first..first + TOGETHER).flat_map(|number| frame(HEADERS, END_HEADERS, number * 2 + 1, &head));
            raw.send(&heads.collect::<Vec<u8>>()).await.expect("calls are taken");
            some_moment(PAUSE).await;
        }
        open.push(raw);
    }
    let mut tally =
        Tally { connections: u64::from(connections), streams: u64::from(connections * streams), ..Tally::default() };
    for raw in open {
        tally.seen = tally.seen.and(raw.end(LAST_WORD / connections).await);
    }
    tally
}

/// Messages of a stream that have as many items as find room, each of two bytes; one after the other, each on a stream of its
/// own.
pub(crate) async fn many_items(server: SocketAddr, secret: &str, messages: u32) -> (String, String) {
    let bearer = format!("Bearer {secret}");
    let head = call(SUBMIT_RUNS, &[("authorization", bearer.as_bytes())]);
    let content = [0x12, 0].repeat((4 << 20) / 2 - 8);
    let whole = message(0, u32::try_from(content.len()).expect("small"), &content);
    let mut raw = Raw::begin(server, &[]).await.expect("it is let in");
    raw.settled().await;
    for number in 0..messages {
        let id = number * 2 + 1;
        raw.send(&frame(HEADERS, END_HEADERS, id, &head)).await.expect("the stream is taken");
        // No more than a window: what is refused is not read to its end.
        for piece in whole[..256 << 10].chunks(CHUNK) {
            raw.send(&frame(DATA, 0, id, piece)).await.expect("it is taken");
        }
        some_moment(PAUSE).await;
    }
    // Each stream opens with a head, and a refusal is another.
    let seen = raw.end_after(u64::from(messages) * 2, LAST_WORD * 20).await;
    assert_eq!(seen.heads, u64::from(messages) * 2, "{seen:?}");
    (format!("{messages} messages of 2,097,144 items of two bytes"), format!("refused {}", seen.heads / 2))
}

/// So many streams of submitters on each of so many connections, that send so much and read no answer.
pub(crate) async fn unread(
    server: SocketAddr,
    secret: &str,
    (connections, streams): (u32, u32),
    bytes: usize,
) -> (String, String) {
    let bearer = format!("Bearer {secret}");
    let head = call(SUBMIT_RUNS, &[("authorization", bearer.as_bytes())]);
    // As many as a message may have. Nothing is in them, so each is answered with a refusal.
    let content = [0x12, 0].repeat(1000);
    let whole = message(0, u32::try_from(content.len()).expect("small"), &content);
    let pieces: Vec<Vec<u8>> = whole.repeat(CHUNK / whole.len()).chunks(CHUNK).map(<[u8]>::to_vec).collect();
    let (mut open, mut sent) = (Vec::new(), 0);
    for _ in 0..connections {
        let mut raw = Raw::begin(server, &[(4, 0)]).await.expect("it is let in");
        raw.settled().await;
        for number in 0..streams {
            let id = number * 2 + 1;
            let mut frames = frame(HEADERS, END_HEADERS, id, &head);
            for _ in 0..bytes / CHUNK {
                pieces.iter().for_each(|piece| frames.extend(frame(DATA, 0, id, piece)));
            }
            sent += frames.len();
            if raw.send(&frames).await.is_err() {
                break;
            }
        }
        open.push(raw);
    }
    let mut seen = Seen::default();
    for raw in open {
        seen = seen.and(raw.end(LAST_WORD / connections).await);
    }
    let opened = u64::from(connections * streams);
    assert!(seen.go_away.is_none() && seen.heads >= opened, "{seen:?}");
    let said = format!("{opened} streams of submitters that send {} KiB and read no answer", sent >> 10);
    (said, format!("held all but {}, which it ended", seen.heads - opened))
}
