//! The three pipes of a command: what it says goes to the log piece by piece, and the last of it is kept. Every buffer
//! here is bounded: a command that says more than the log takes waits.

use std::time::Duration;

use bytes::Bytes;
use semel_proto::v1::LogStream;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::{mpsc, watch},
};

/// What is read at a time.
const READ_BYTES: usize = 16 * 1024;
/// How long a pipe may stay silent after the command's end. Only a process that left its group can still hold it.
const LINGER: Duration = Duration::from_secs(1);
/// How much is still read after the command's end: as much as the largest pipe holds by default.
const LATE_BYTES_MAX: usize = 1024 * 1024;

/// A piece of output.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) stream: LogStream,
    pub(super) data: Bytes,
}

/// Reads a pipe to its end, hands each piece on, and gives back the last `keep` bytes.
pub(super) async fn pump(
    from: Option<impl AsyncRead + Unpin>,
    stream: LogStream,
    log: mpsc::Sender<Piece>,
    over: watch::Receiver<bool>,
    keep: usize,
) -> Tail {
    let mut tail = Tail { keep, bytes: Vec::new(), dropped: false };
    let Some(mut from) = from else { return tail };
    let mut buffer = vec![0; READ_BYTES];
    let mut late = 0;
    while late <= LATE_BYTES_MAX {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            () = lingering(over.clone()) => break,
        };
        // A pipe that cannot be read any more has ended.
        let Ok(count @ 1..) = read else { break };
        let data = &buffer[..count];
        tail.push(data);
        if *over.borrow() {
            late += data.len();
        }
        // It fails when nobody wants the log any more; the command's end is still waited for.
        let _ = log.send(Piece { stream, data: Bytes::copy_from_slice(data) }).await;
    }
    tail
}

/// Gives the command its input, and closes it.
pub(super) async fn feed(to: Option<impl AsyncWrite + Unpin>, input: Option<String>, over: watch::Receiver<bool>) {
    let (Some(mut to), Some(input)) = (to, input) else { return };
    tokio::select! {
        // A command may close its input unread: that is no failure.
        _ = to.write_all(input.as_bytes()) => {}
        () = lingering(over) => {}
    }
}

async fn lingering(mut over: watch::Receiver<bool>) {
    // It fails when the sender is gone, and then the command is over too.
    let _ = over.wait_for(|over| *over).await;
    tokio::time::sleep(LINGER).await;
}

/// The last bytes of a stream.
#[derive(Debug)]
pub(super) struct Tail {
    keep: usize,
    bytes: Vec<u8>,
    dropped: bool,
}

impl Tail {
    fn push(&mut self, data: &[u8]) {
        self.bytes.extend_from_slice(data);
        // Cut only now and then, so that each byte is moved about once.
        if self.bytes.len() >= 2 * self.keep + READ_BYTES {
            self.cut();
        }
    }

    fn cut(&mut self) {
        let excess = self.bytes.len().saturating_sub(self.keep);
        self.dropped |= excess > 0;
        self.bytes.drain(..excess);
    }

    /// The bytes. A character of which the beginning was cut off goes too.
    pub(super) fn into_bytes(mut self) -> Vec<u8> {
        self.cut();
        if self.dropped {
            let torn = self.bytes.iter().take(3).take_while(|byte| (**byte & 0xC0) == 0x80).count();
            self.bytes.drain(..torn);
        }
        self.bytes
    }

    /// The last line that says something.
    pub(super) fn last_line(self) -> String {
        let bytes = self.into_bytes();
        let text = String::from_utf8_lossy(&bytes);
        text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(keep: usize, pushes: &[&[u8]]) -> Tail {
        let mut tail = Tail { keep, bytes: Vec::new(), dropped: false };
        pushes.iter().for_each(|push| tail.push(push));
        tail
    }

    #[test]
    fn a_tail_keeps_the_last_bytes_and_no_torn_character() {
        assert_eq!(tail(4, &[b"ab", b"cdef"]).into_bytes(), b"cdef");
        assert_eq!(tail(8, &[b"ab"]).into_bytes(), b"ab");
        assert_eq!(tail(4, &["aä€".as_bytes()]).into_bytes(), "€".as_bytes());
        assert_eq!(tail(8, &[b"\x80a"]).into_bytes(), b"\x80a");
        let many = vec![b'x'; 5 * READ_BYTES];
        assert_eq!(tail(10, &[&many, b"end"]).into_bytes(), b"xxxxxxxend");
    }

    #[test]
    fn the_last_line_is_the_last_one_that_says_something() {
        assert_eq!(tail(64, &[b"one\n two \n\n  \n"]).last_line(), "two");
        assert_eq!(tail(64, &[]).last_line(), "");
    }
}
