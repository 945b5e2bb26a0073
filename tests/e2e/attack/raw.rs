//! HTTP/2 as a hostile peer writes it: frames as they are asked for, in whatever order, and a look at what comes back. Knows
//! no state of a connection.

use std::{
    collections::BTreeMap,
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream, tcp::OwnedWriteHalf},
    sync::watch,
    task::JoinHandle,
    time::timeout,
};

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RESET: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GO_AWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// How long a write may take before the peer counts as one that does not read.
const WRITE_MAX: Duration = Duration::from_secs(2);
/// Where hostile connections come from, so that they are counted apart from those of honest callers.
pub(crate) const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// One frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    framed(payload.len(), kind, flags, stream, payload)
}

/// The same, with a length that may be a lie.
pub(crate) fn framed(length: usize, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(length).expect("24 bits").to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A block of headers, as literals that are never indexed.
pub(crate) fn block(headers: &[(&str, &[u8])]) -> Vec<u8> {
    literals(NEVER_INDEXED, headers)
}

/// Literals of HPACK with a new name: those that are to be forgotten, and those that go into the reader's table.
const NEVER_INDEXED: u8 = 0x10;
const INDEXED: u8 = 0x40;
/// A header that stands in the table, by its place: behind these are the reader's own, the newest first.
const IN_TABLE: u8 = 0x80;
const STATIC: u8 = 61;

fn literals(kind: u8, headers: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in headers {
        bytes.push(kind);
        length(&mut bytes, name.len());
        bytes.extend_from_slice(name.as_bytes());
        length(&mut bytes, value.len());
        bytes.extend_from_slice(value);
    }
    bytes
}

/// A number with a prefix of seven bits, as HPACK has it.
fn length(bytes: &mut Vec<u8>, mut value: usize) {
    if value < 127 {
        bytes.push(value as u8);
        return;
    }
    bytes.push(127);
    value -= 127;
    while value >= 128 {
        bytes.push((value % 128) as u8 | 0x80);
        value /= 128;
    }
    bytes.push(value as u8);
}

/// The headers of a call of this method, and others behind them.
pub(crate) fn call(path: &str, others: &[(&str, &[u8])]) -> Vec<u8> {
    block(&[&usual(path)[..], others].concat())
}

fn usual(path: &str) -> [(&str, &[u8]); 6] {
    [
        (":method", b"POST"),
        (":scheme", b"http"),
        (":path", path.as_bytes()),
        (":authority", b"attack"),
        ("content-type", b"application/grpc"),
        ("te", b"trailers"),
    ]
}

/// The heads of the calls of one connection, as small as they can be: the first brings its headers into the table, the others
/// have a byte for each.
pub(crate) struct Heads {
    first: Vec<u8>,
    again: Vec<u8>,
}

impl Heads {
    pub(crate) fn of(path: &str, others: &[(&str, &[u8])]) -> Self {
        let headers = [&usual(path)[..], others].concat();
        let count = u8::try_from(headers.len()).expect("a byte has room for its place");
        let again = (1..=count).rev().map(|place| IN_TABLE | (STATIC + place)).collect();
        Self { first: literals(INDEXED, &headers), again }
    }

    /// Begins the call on this stream, and leaves it open.
    pub(crate) fn begin(&self, stream: u32) -> Vec<u8> {
        frame(HEADERS, END_HEADERS, stream, if stream == 1 { &self.first } else { &self.again })
    }
}

/// A message of gRPC with a length that may be a lie.
pub(crate) fn message(flag: u8, length: u32, bytes: &[u8]) -> Vec<u8> {
    [&[flag], &length.to_be_bytes()[..], bytes].concat()
}

/// What came back over a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The code and the words with which the server ended the connection.
    pub(crate) go_away: Option<(u32, String)>,
    /// Streams that it ended, by code.
    pub(crate) resets: BTreeMap<u32, u64>,
    /// Answers that began or ended.
    pub(crate) heads: u64,
    /// Leave to send more over the connection.
    pub(crate) windows: u64,
    /// Acknowledged pings.
    pub(crate) pongs: u64,
    /// Acknowledged settings.
    pub(crate) settings: u64,
    /// Whether the connection is closed.
    pub(crate) closed: bool,
}

impl Seen {
    /// The same of several connections.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.go_away = self.go_away.or(other.go_away);
        for (code, count) in other.resets {
            *self.resets.entry(code).or_default() += count;
        }
        self.heads += other.heads;
        self.windows += other.windows;
        self.pongs += other.pongs;
        self.settings += other.settings;
        self.closed |= other.closed;
        self
    }

    fn take(&mut self, (kind, flags, stream): (u8, u8, u32), payload: &[u8]) {
        let code =
            |at: usize| payload.get(at..at + 4).map_or(0, |bytes| u32::from_be_bytes(bytes.try_into().expect("4")));
        match kind {
            HEADERS => self.heads += 1,
            RESET => *self.resets.entry(code(0)).or_default() += 1,
            WINDOW_UPDATE if stream == 0 => self.windows += 1,
            PING if flags & 1 == 1 => self.pongs += 1,
            SETTINGS if flags & 1 == 1 => self.settings += 1,
            GO_AWAY => {
                let words = String::from_utf8_lossy(payload.get(8..).unwrap_or_default()).into_owned();
                self.go_away = Some((code(4), words));
            }
            _ => {}
        }
    }
}

/// A hostile connection.
pub(crate) struct Raw {
    write: OwnedWriteHalf,
    reader: Reader,
}

enum Reader {
    /// It reads all that comes; what it has seen is told at once.
    Reads(JoinHandle<()>, watch::Receiver<Seen>),
    /// It reads nothing.
    Deaf { _read: tokio::net::tcp::OwnedReadHalf },
}

/// Connects from this address.
pub(crate) async fn connect(server: SocketAddr, from: Ipv4Addr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(IpAddr::V4(from), 0))?;
    let stream = socket.connect(server).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Raw {
    /// One that begins as HTTP/2 does, with these settings, and reads what comes.
    pub(crate) async fn begin(server: SocketAddr, settings: &[(u16, u32)]) -> std::io::Result<Self> {
        let (mut read, write) = connect(server, ELSEWHERE).await?.into_split();
        let (told, seen) = watch::channel(Seen::default());
        let reader = tokio::spawn(async move {
            let mut bytes = Vec::with_capacity(64 << 10);
            while matches!(read.read_buf(&mut bytes).await, Ok(1..)) {
                let mut rest = &bytes[..];
                told.send_modify(|seen| {
                    while let Some((head, behind)) = rest.split_at_checked(9) {
                        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
                        let Some((payload, behind)) = behind.split_at_checked(length) else { break };
                        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
                        seen.take((head[3], head[4], stream), payload);
                        rest = behind;
                    }
                });
                let done = bytes.len() - rest.len();
                bytes.drain(..done);
            }
            told.send_modify(|seen| seen.closed = true);
        });
        Self { write, reader: Reader::Reads(reader, seen) }.preface(settings).await
    }

    /// The same, but it reads nothing.
    pub(crate) async fn deaf(server: SocketAddr, settings: &[(u16, u32)]) -> std::io::Result<Self> {
        let (read, write) = connect(server, ELSEWHERE).await?.into_split();
        Self { write, reader: Reader::Deaf { _read: read } }.preface(settings).await
    }

    async fn preface(mut self, settings: &[(u16, u32)]) -> std::io::Result<Self> {
        let settings: Vec<u8> =
            settings.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
        self.send(&[PREFACE, &frame(SETTINGS, 0, 0, &settings)].concat()).await?;
        Ok(self)
    }

    /// Writes; an error if the server is gone, or takes nothing.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        timeout(WRITE_MAX, self.write.write_all(bytes)).await?
    }

    /// Whether the server has ended a connection that it could write nothing to.
    pub(crate) async fn is_cut(&mut self) -> bool {
        self.send(&frame(PING, 0, 0, &[0; 8])).await.is_err_and(|error| error.kind() != ErrorKind::TimedOut)
    }

    /// Waits until something was seen or the server has closed, but not longer than this.
    async fn seen(&mut self, patience: Duration, enough: impl Fn(&Seen) -> bool) -> Seen {
        let Reader::Reads(_, seen) = &mut self.reader else { return Seen::default() };
        let _ = timeout(patience, seen.wait_for(|seen| seen.closed || enough(seen))).await;
        seen.borrow().clone()
    }

    /// Waits until it knows how much it may send, and says that it does: before that no peer takes more than 64 KiB.
    pub(crate) async fn settled(&mut self) {
        self.seen(WRITE_MAX, |seen| seen.windows > 0).await;
        self.send(&frame(SETTINGS, 1, 0, &[])).await.expect("it is taken");
    }

    /// Waits until so many answers have begun.
    pub(crate) async fn answered(&mut self, heads: u64) {
        let seen = self.seen(WRITE_MAX, |seen| seen.heads >= heads).await;
        assert!(seen.heads >= heads, "{seen:?}");
    }

    /// Gives what came back after so many heads, or once the server has closed, or after so long; and closes.
    pub(crate) async fn end_after(mut self, heads: u64, patience: Duration) -> Seen {
        self.seen(patience, |seen| seen.heads >= heads).await;
        self.end(Duration::ZERO).await
    }

    /// Gives what came back once the server has closed, or after so long; and closes.
    pub(crate) async fn end(mut self, patience: Duration) -> Seen {
        if !self.seen(patience, |_| false).await.closed {
            let _ = self.write.shutdown().await;
            return Seen { closed: false, ..self.seen(WRITE_MAX, |_| false).await };
        }
        self.seen(Duration::ZERO, |_| true).await
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Reader::Reads(reader, _) = &self.reader {
            reader.abort();
        }
    }
}
