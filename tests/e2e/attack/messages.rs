//! Messages, heads and frames that are too large, or none at all.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use tokio::time::Instant;

use super::{
    raw::{
        CONTINUATION, DATA, END_HEADERS, END_STREAM, GO_AWAY, HEADERS, PING, Raw, SETTINGS, WINDOW_UPDATE, call, frame,
        framed, message,
    },
    resets::Tally,
};

const PATIENCE: Duration = Duration::from_millis(500);
const PATH: &str = "/semel.v1.ServerService/GetServerInfo";

/// Sends each of these over a connection of its own, again and again until the time is over; gives what was seen of each.
async fn each(server: SocketAddr, lasting: Duration, cases: &[(&str, Vec<u8>)]) -> (u64, Vec<Tally>) {
    let (mut rounds, end) = (0, Instant::now() + lasting);
    let mut tallies: Vec<Tally> = cases.iter().map(|_| Tally::default()).collect();
    while rounds == 0 || Instant::now() < end {
        for ((_, bytes), tally) in cases.iter().zip(&mut tallies) {
            let mut raw = Raw::begin(server, &[]).await.expect("it is let in");
            // The server may have hung up before all was written.
            let _ = raw.send(bytes).await;
            tally.connections += 1;
            tally.seen = std::mem::take(&mut tally.seen).and(raw.end_after(1, PATIENCE).await);
        }
        rounds += 1;
    }
    (rounds, tallies)
}

/// What was seen of all, in words: each kind of end once.
fn ends(tallies: &[Tally]) -> String {
    let kinds: BTreeSet<String> = tallies
        .iter()
        .map(|tally| match (&tally.seen.go_away, tally.seen.resets.keys().next()) {
            (Some((code, _)), _) => format!("GOAWAY {code}"),
            (None, Some(code)) => format!("RST_STREAM {code}"),
            (None, None) if tally.seen.heads > 0 => "an answer".to_owned(),
            (None, None) => "closed".to_owned(),
        })
        .collect();
    kinds.into_iter().collect::<Vec<_>>().join(", ")
}

/// Frames that no peer may send.
pub(crate) async fn frames(server: SocketAddr, lasting: Duration) -> (String, String) {
    let head = call(PATH, &[]);
    let open = frame(HEADERS, END_HEADERS, 1, &head);
    let cases = [
        ("a frame of 16 MiB", framed((1 << 24) - 1, DATA, 0, 1, &[0; 100])),
        ("data on a stream that is not open", frame(DATA, 0, 7, &[0; 10])),
        ("a head on stream 0", frame(HEADERS, END_HEADERS, 0, &head)),
        ("an even stream", frame(HEADERS, END_HEADERS, 2, &head)),
        ("settings of a wrong length", frame(SETTINGS, 0, 0, &[0; 5])),
        ("settings on a stream", frame(SETTINGS, 0, 1, &[])),
        ("a window that is too large", frame(SETTINGS, 0, 0, &[0, 4, 0xff, 0xff, 0xff, 0xff])),
        ("a ping of a wrong length", frame(PING, 0, 0, &[0; 7])),
        ("a window update of nothing", frame(WINDOW_UPDATE, 0, 0, &[0; 4])),
        ("a continuation of nothing", frame(CONTINUATION, END_HEADERS, 1, &head)),
        ("something between a head and its rest", [frame(HEADERS, 0, 1, &head), frame(PING, 0, 0, &[0; 8])].concat()),
        ("padding longer than the frame", frame(DATA, 8, 1, &[0xff, 0])),
        ("headers that cannot be decoded", frame(HEADERS, END_HEADERS, 1, &[0xff; 64])),
        ("an index that is not there", frame(HEADERS, END_HEADERS, 1, &[0xfe])),
        ("a goodbye that is cut", frame(GO_AWAY, 0, 0, &[0; 3])),
        ("a lower id than before", [frame(HEADERS, END_HEADERS, 5, &head), open].concat()),
    ];
    let (rounds, tallies) = each(server, lasting, &cases).await;
    for ((name, _), tally) in cases.iter().zip(&tallies) {
        let refused = tally.seen.go_away.is_some() || !tally.seen.resets.is_empty() || tally.seen.closed;
        assert!(refused, "{name}: {:?}", tally.seen);
    }
    (format!("{} faults, {rounds} times each", cases.len()), ends(&tallies))
}

/// Messages that are too large, compressed, or none.
pub(crate) async fn messages(server: SocketAddr, secret: &str, lasting: Duration) -> (String, String) {
    let bearer = format!("Bearer {secret}");
    let of = |others: &[(&str, &[u8])], body: Vec<u8>| {
        let known: [(&str, &[u8]); 1] = [("authorization", bearer.as_bytes())];
        let head = frame(HEADERS, END_HEADERS, 1, &call(PATH, &[&known[..], others].concat()));
        [head, frame(DATA, END_STREAM, 1, &body)].concat()
    };
    let cases = [
        ("4 GiB by its own word", of(&[], message(0, u32::MAX, &[1, 2, 3]))),
        ("a byte more than is taken", of(&[], message(0, (4 << 20) + 1, &[1, 2, 3]))),
        ("compressed by nothing", of(&[], message(1, 8, &[0; 8]))),
        ("compressed by gzip", of(&[("grpc-encoding", b"gzip")], message(1, 8, &[0x1f; 8]))),
        ("a flag that there is not", of(&[], message(7, 3, &[0; 3]))),
        ("no protobuf", of(&[], message(0, 6, &[0xff; 6]))),
        ("a field longer than its message", of(&[], message(0, 3, &[0x0a, 0x7f, 0]))),
        ("messages nested without end", of(&[], message(0, 200, &[0x0a; 200]))),
        ("half a message", of(&[], message(0, 100, &[0; 50]))),
        ("nothing at all", of(&[], Vec::new())),
    ];
    let (rounds, tallies) = each(server, lasting, &cases).await;
    for ((name, _), tally) in cases.iter().zip(&tallies) {
        assert!(tally.seen.heads >= rounds && tally.seen.go_away.is_none(), "{name}: {:?}", tally.seen);
    }
    (format!("{} faults, {rounds} times each", cases.len()), format!("a status for each: {}", ends(&tallies)))
}

/// Metadata that is too large, or breaks the rules of gRPC.
pub(crate) async fn metadata(server: SocketAddr, lasting: Duration) -> (String, String) {
    let of = |others: &[(&str, &[u8])]| {
        let body = frame(DATA, END_STREAM, 1, &message(0, 0, &[]));
        [frame(HEADERS, END_HEADERS, 1, &call(PATH, others)), body].concat()
    };
    let many: Vec<(String, Vec<u8>)> = (0..400).map(|number| (format!("x-{number}"), vec![b'v'; 8])).collect();
    let many: Vec<(&str, &[u8])> = many.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
    let large = [b'v'; 15 << 10];
    let continued = {
        // Larger than is taken, in frames that each are small enough.
        let block = [call(PATH, &[]), super::raw::block(&[("x-large", &[b'v'; 40 << 10])])].concat();
        let (first, rest) = block.split_at(16 << 10);
        let (second, third) = rest.split_at(16 << 10);
        [frame(HEADERS, 0, 1, first), frame(CONTINUATION, 0, 1, second), frame(CONTINUATION, END_HEADERS, 1, third)]
            .concat()
    };
    let cases = [
        ("nearly all that is taken", of(&[("x-large", &large)])),
        ("a little more than is taken", of(&[("x-large", &large), ("x-more", &large[..1024])])),
        ("much more than is taken", continued),
        ("very many headers", of(&many)),
        ("binary that is none", of(&[("x-data-bin", b"!!! no base64 !!!")])),
        ("a deadline that is none", of(&[("grpc-timeout", b"soon")])),
        ("a deadline of a million years", of(&[("grpc-timeout", b"99999999H")])),
        ("a deadline that has passed", of(&[("grpc-timeout", b"0n")])),
        ("bytes that are no text", of(&[("x-bytes", &[0xff, 0xfe, 0x80])])),
        ("a line break in a value", of(&[("x-lines", b"a\r\nb: c")])),
        ("an upper-case name", of(&[("X-Upper", b"v")])),
        ("a name without letters", of(&[("", b"v")])),
        ("a header of a connection", of(&[("connection", b"close")])),
        ("a pseudo-header twice", of(&[(":path", b"/other")])),
        ("a path of 10 KiB", [frame(HEADERS, END_HEADERS, 1, &call(&"/x".repeat(5 << 10), &[]))].concat()),
        ("credentials of 10 KiB", of(&[("authorization", &[b'B'; 10 << 10])])),
    ];
    let (rounds, tallies) = each(server, lasting, &cases).await;
    for ((name, _), tally) in cases.iter().zip(&tallies) {
        assert!(tally.seen != super::raw::Seen::default(), "{name}: nothing was said");
    }
    (format!("{} kinds, {rounds} times each", cases.len()), ends(&tallies))
}
