//! Streams that are opened to be reset, by the caller and by the server.

use std::{net::SocketAddr, time::Duration};

use tokio::{task::JoinSet, time::Instant};

use super::raw::{DATA, END_STREAM, Heads, PRIORITY, RESET, Raw, Seen, WINDOW_UPDATE, frame, message};
use crate::e2e::binary::some_moment;

/// What HTTP/2 calls ENHANCE_YOUR_CALM.
pub(crate) const CALM: u32 = 11;
const CANCEL: u32 = 8;
/// Streams of one write.
const TOGETHER: u32 = 100;
/// How long one of very many connections waits between two writes.
const PAUSE: Duration = Duration::from_millis(100);
/// How long the server gets to say its last word.
const PATIENCE: Duration = Duration::from_millis(500);

/// What was sent, and what came back.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) connections: u64,
    pub(crate) streams: u64,
    pub(crate) seen: Seen,
}

impl Tally {
    /// What the server did, in words.
    pub(crate) fn server(&self) -> String {
        let ended = match &self.seen.go_away {
            Some((code, words)) => format!("GOAWAY {code} {words}").trim_end().to_owned(),
            None if self.seen.closed => "closed the connection".to_owned(),
            None => "served on".to_owned(),
        };
        let resets: Vec<String> =
            self.seen.resets.iter().map(|(code, count)| format!("{count} resets by {code}")).collect();
        [vec![ended], resets, vec![format!("{} answers", self.seen.heads)]].concat().join(", ")
    }
}

/// Opens connections and fills each with streams, until the time is over. `streams` gives what is written for this one.
async fn streams(
    server: SocketAddr,
    lasting: Duration,
    per_connection: u32,
    (together, pause): (u32, Duration),
    streams: impl Fn(u32) -> Vec<u8>,
) -> Tally {
    let (mut tally, end) = (Tally::default(), Instant::now() + lasting);
    while tally.connections == 0 || Instant::now() < end {
        let mut raw = match Raw::begin(server, &[]).await {
            Ok(raw) => raw,
            // Where there are many at once it may have to give way before it has begun.
            Err(_) if tally.connections > 0 || Instant::now() < end => continue,
            Err(error) => panic!("it is not let in: {error}"),
        };
        tally.connections += 1;
        for first in (0..per_connection).step_by(together as usize) {
            let bytes: Vec<u8> = (first..first + together).flat_map(|number| streams(number * 2 + 1)).collect();
            if raw.send(&bytes).await.is_err() || Instant::now() > end {
                break;
            }
            tally.streams += u64::from(together);
            if !pause.is_zero() {
                some_moment(pause).await;
            }
        }
        tally.seen = std::mem::take(&mut tally.seen).and(raw.end(PATIENCE).await);
    }
    tally
}

/// A call is begun and taken back at once (CVE-2023-44487), by a caller who is known or not.
pub(crate) async fn rapid(
    server: SocketAddr,
    authorization: Option<&str>,
    lasting: Duration,
    per_connection: u32,
) -> (String, String) {
    let bearer = authorization.map(|secret| format!("Bearer {secret}"));
    let credentials: Vec<(&str, &[u8])> = bearer.iter().map(|bearer| ("authorization", bearer.as_bytes())).collect();
    let heads = Heads::of("/semel.v1.ServerService/GetServerInfo", &credentials);
    let tally = streams(server, lasting, per_connection, (TOGETHER, Duration::ZERO), |id| {
        [heads.begin(id), frame(RESET, 0, id, &CANCEL.to_be_bytes())].concat()
    });
    let tally = tally.await;
    // Of a stranger so little is read at a time that each call begins before it is taken back.
    let is_calmed = tally.seen.go_away.as_ref().is_some_and(|(code, _)| *code == CALM);
    assert_eq!(is_calmed, authorization.is_some(), "{:?}", tally.seen);
    (format!("{} streams over {} connections", tally.streams, tally.connections), tally.server())
}

/// The same one by one, so that each call has begun when it is taken back.
pub(crate) async fn rapid_one_by_one(server: SocketAddr, lasting: Duration, per_connection: u32) -> (String, String) {
    let heads = Heads::of("/semel.v1.ServerService/GetServerInfo", &[]);
    let tally = streams(server, lasting, per_connection, (1, Duration::ZERO), |id| {
        // The former stream, which has begun by now, is reset.
        let former = if id > 1 { frame(RESET, 0, id - 2, &CANCEL.to_be_bytes()) } else { Vec::new() };
        [former, heads.begin(id)].concat()
    });
    let tally = tally.await;
    (format!("{} streams over {} connections", tally.streams, tally.connections), tally.server())
}

/// What is written for a stream.
type Fault<'a> = &'a dyn Fn(u32) -> Vec<u8>;

/// Streams on which the server has to reset (CVE-2025-8671), by one kind of fault for each connection.
pub(crate) async fn made(server: SocketAddr, lasting: Duration, per_connection: u32) -> (String, String) {
    let heads = Heads::of("/semel.v1.ServerService/GetServerInfo", &[]);
    let body = message(0, 0, &[]);
    let open = |id| heads.begin(id);
    let whole = |id| [open(id), frame(DATA, END_STREAM, id, &body)].concat();
    let nothing = |id| [whole(id), frame(WINDOW_UPDATE, 0, id, &0_u32.to_be_bytes())].concat();
    let overflow = |id| [open(id), frame(WINDOW_UPDATE, 0, id, &0x7fff_ffff_u32.to_be_bytes())].concat();
    let behind = |id| [whole(id), frame(DATA, END_STREAM, id, &body)].concat();
    let itself = |id: u32| [open(id), frame(PRIORITY, 0, id, &[&id.to_be_bytes()[..], &[0]].concat())].concat();
    let wrong_length = |id| [open(id), frame(PRIORITY, 0, id, &[0; 4])].concat();
    let kinds: [(&str, Fault<'_>); 5] = [
        ("window updates of 0", &nothing),
        ("windows that overflow", &overflow),
        ("data behind the end", &behind),
        ("streams that depend on themselves", &itself),
        ("priorities of a wrong length", &wrong_length),
    ];
    let mut tally = Tally::default();
    for (kind, bytes) in kinds {
        let one = streams(server, lasting / 5, per_connection, (TOGETHER, Duration::ZERO), bytes).await;
        assert!(one.seen.go_away.is_some(), "{kind}: {:?}", one.seen);
        tally.connections += one.connections;
        tally.streams += one.streams;
        tally.seen = tally.seen.and(one.seen);
    }
    (format!("{} streams over {} connections, by five faults", tally.streams, tally.connections), tally.server())
}

/// Nearly as many connections at once as one address may have, each of which sends calls all the time: some take them back, some
/// make the server reset them, some wait for nothing. It is about how many they are: together they send a million a second, twenty
/// times what is gone through, and not as much as the system can be made to copy.
pub(crate) async fn crowd(
    server: SocketAddr,
    lasting: Duration,
    connections: u32,
    per_connection: u32,
) -> (String, String) {
    let mut crowd = JoinSet::new();
    for number in 0..connections {
        crowd.spawn(async move {
            let heads = Heads::of("/semel.v1.ServerService/GetServerInfo", &[]);
            let body = message(0, 0, &[]);
            streams(server, lasting, per_connection, (TOGETHER, PAUSE), |id| {
                let then = match number % 3 {
                    0 => frame(RESET, 0, id, &CANCEL.to_be_bytes()),
                    1 => frame(WINDOW_UPDATE, 0, id, &0x7fff_ffff_u32.to_be_bytes()),
                    _ => frame(DATA, END_STREAM, id, &body),
                };
                [heads.begin(id), then].concat()
            })
            .await
        });
    }
    let mut all = Tally::default();
    for one in crowd.join_all().await {
        all.connections += one.connections;
        all.streams += one.streams;
        all.seen = all.seen.and(one.seen);
    }
    (format!("{} streams over {} connections, {connections} at once", all.streams, all.connections), all.server())
}
