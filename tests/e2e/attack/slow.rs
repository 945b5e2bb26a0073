//! Peers that take their time: with the first bytes, with a head, with a message, and with what they are answered.

use std::{net::SocketAddr, time::Duration};

use prost::Message as _;
use semel_client::v1;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};

use super::raw::{
    DATA, ELSEWHERE, END_HEADERS, END_STREAM, HEADERS, PREFACE, Raw, SETTINGS, WINDOW_UPDATE, call, connect, frame,
    message,
};
use crate::e2e::binary::some_moment;

/// Connections that never become one: more than one address may have.
pub(crate) struct Silent {
    connections: Vec<TcpStream>,
}

/// Opens them, each with a part of what must come first.
pub(crate) async fn silent(server: SocketAddr, connections: usize) -> (Silent, (String, String)) {
    let mut open = Vec::new();
    for number in 0..connections {
        let Ok(mut stream) = connect(server, ELSEWHERE).await else { continue };
        let first = [&b""[..], &PREFACE[..9], PREFACE, b"POST /semel.v1.ServerService/GetServerInfo HTTP/1.1\r\nhost:"];
        let _ = stream.write_all(first[number % first.len()]).await;
        open.push(stream);
    }
    let silent = Silent { connections: open };
    let said = (format!("{connections} connections that do not go on"), String::new());
    (silent, said)
}

impl Silent {
    /// How many were closed by the server, once it had this long.
    pub(crate) async fn closed_within(self, patience: Duration) -> (usize, usize) {
        let total = self.connections.len();
        let mut closing = JoinSet::new();
        for mut stream in self.connections {
            closing.spawn(async move {
                let mut bytes = [0; 1024];
                let closed = async { while matches!(stream.read(&mut bytes).await, Ok(1..)) {} };
                timeout(patience, closed).await.is_ok()
            });
        }
        (closing.join_all().await.into_iter().filter(|closed| *closed).count(), total)
    }
}

/// Half a message, from callers who are known or not, on so many streams.
pub(crate) async fn half_messages(
    server: SocketAddr,
    authorization: Option<&str>,
    streams: u32,
    bytes: usize,
) -> (String, String) {
    let bearer = authorization.map(|secret| format!("Bearer {secret}"));
    let credentials: Vec<(&str, &[u8])> = bearer.iter().map(|bearer| ("authorization", bearer.as_bytes())).collect();
    let head = call("/semel.v1.JobService/RunJob", &credentials);
    let mut raw = Raw::begin(server, &[]).await.expect("it is let in");
    raw.settled().await;
    let declared = u32::try_from(bytes + 1).expect("small");
    let mut sent = 0;
    for number in 0..streams {
        let id = number * 2 + 1;
        let mut frames = frame(HEADERS, END_HEADERS, id, &head);
        frames.extend(frame(DATA, 0, id, &message(0, declared, &[])));
        let pieces = bytes / CHUNK;
        for _ in 0..pieces {
            frames.extend(frame(DATA, 0, id, &[0x0a; CHUNK]));
        }
        if raw.send(&frames).await.is_err() {
            break;
        }
        sent += pieces * CHUNK;
    }
    let seen = raw.end(LAST_WORD).await;
    let who = if authorization.is_some() { "a known caller" } else { "a stranger" };
    let refused = seen.heads;
    assert!(refused > 0, "none was refused: {seen:?}");
    (format!("{streams} messages of {who} that do not end, {} MiB", sent >> 20), format!("refused {refused}"))
}

/// What goes into one frame.
const CHUNK: usize = 16 << 10;
/// What is asked for together, and how long nothing is then: these are about room, and not about how fast it is taken.
const TOGETHER: u32 = 5;
const PAUSE: Duration = Duration::from_millis(10);
/// How long answers may take to come, and how long the server gets to say a last word.
const PATIENCE: Duration = Duration::from_secs(20);
const LAST_WORD: Duration = Duration::from_secs(1);

/// Asks for large answers on so many streams, and takes a byte of each.
pub(crate) async fn reading(
    server: SocketAddr,
    secret: &str,
    request: &v1::GetRunRequest,
    streams: u32,
) -> (String, String) {
    let bearer = format!("Bearer {secret}");
    let head = call("/semel.v1.RunService/GetRun", &[("authorization", bearer.as_bytes())]);
    let request = request.encode_to_vec();
    let body = message(0, u32::try_from(request.len()).expect("small"), &request);
    let mut raw = Raw::begin(server, &[(4, 1)]).await.expect("it is let in");
    raw.send(&frame(WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes())).await.expect("it is taken");
    for number in 0..streams {
        let id = number * 2 + 1;
        let bytes = [frame(HEADERS, END_HEADERS, id, &head), frame(DATA, END_STREAM, id, &body)].concat();
        raw.send(&bytes).await.expect("calls are taken");
        if number % TOGETHER == 0 {
            some_moment(PAUSE).await;
        }
    }
    // An answer for which there is no room ends with a second head.
    let seen = raw.end_after(u64::from(streams) + 1, PATIENCE).await;
    assert!(seen.heads > u64::from(streams), "there was room for all of them: {seen:?}");
    (format!("{streams} large answers, a byte of each is taken"), format!("began {} answers and refusals", seen.heads))
}

/// So many watches over one connection, none of which is read.
pub(crate) async fn watching(server: SocketAddr, secret: &str, streams: u32) -> (String, String) {
    let bearer = format!("Bearer {secret}");
    let head = call("/semel.v1.WatchService/Watch", &[("authorization", bearer.as_bytes())]);
    let request = v1::WatchRequest::default().encode_to_vec();
    let body = message(0, u32::try_from(request.len()).expect("small"), &request);
    let mut raw = Raw::begin(server, &[(4, 0)]).await.expect("it is let in");
    for number in 0..streams {
        let id = number * 2 + 1;
        let bytes = [frame(HEADERS, END_HEADERS, id, &head), frame(DATA, END_STREAM, id, &body)].concat();
        raw.send(&bytes).await.expect("calls are taken");
        if number % TOGETHER == 0 {
            some_moment(PAUSE).await;
        }
    }
    // What the server must look at again for each stream.
    for bytes in [1_u32, 0, 2, 0] {
        let settings = [&[0, 4][..], &bytes.to_be_bytes()].concat();
        raw.send(&frame(SETTINGS, 0, 0, &settings)).await.expect("settings are taken");
    }
    let seen = raw.end_after(u64::from(streams), PATIENCE).await;
    assert!(seen.heads >= u64::from(streams), "each is answered: {seen:?}");
    (format!("{streams} watches that are not read"), format!("began {} of them", seen.heads))
}
