//! The disk, asked alone: appends of 4 KiB, each followed by fdatasync, some tens of times a second, so that it sees the
//! stalls of the disk and is hardly a load itself.

use std::{
    fs::File,
    io::{self, Seek as _, SeekFrom, Write as _},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;

use super::{
    Error, Target,
    sample::{histogram, nanos},
    site::Folder,
};

/// What one write holds.
const BLOCK: [u8; 4096] = [7; 4096];
/// Between two writes.
const PAUSE: Duration = Duration::from_millis(20);
/// The file begins anew after so many bytes.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// A probe that is under way.
pub(super) struct Probe {
    stop: mpsc::Sender<()>,
    thread: thread::JoinHandle<Histogram<u64>>,
}

impl Probe {
    /// Starts it where the server has its data; on a server that was given, nobody knows where that is.
    ///
    /// # Errors
    /// [`Error::Folder`], [`Error::File`], [`Error::Spawn`].
    pub(super) fn start(target: &Target) -> Result<Option<Self>, Error> {
        let Target::Own { parent } = target else { return Ok(None) };
        let folder = Folder::new(parent.as_deref())?;
        let path = folder.path().join("probe");
        let file = File::create(&path).map_err(|source| Error::File { path, source })?;
        let (stop, stopped) = mpsc::channel();
        let run = move || {
            let times = times(file, &stopped);
            drop(folder);
            times
        };
        let thread = thread::Builder::new().name("disk-probe".to_owned()).spawn(run);
        Ok(Some(Self { stop, thread: thread.map_err(|source| Error::Spawn { source })? }))
    }

    /// Ends it; gives how long its writes took.
    pub(super) fn stop(self) -> Histogram<u64> {
        drop(self.stop);
        self.thread.join().unwrap_or_else(|_| histogram())
    }
}

fn times(mut file: File, stopped: &mpsc::Receiver<()>) -> Histogram<u64> {
    let mut times = histogram();
    while let Err(mpsc::RecvTimeoutError::Timeout) = stopped.recv_timeout(PAUSE) {
        let begun = Instant::now();
        // A disk that fails will be told by the server, which needs it more.
        if append(&mut file).is_err() {
            break;
        }
        times.saturating_record(nanos(begun.elapsed()));
    }
    times
}

fn append(file: &mut File) -> io::Result<()> {
    if file.stream_position()? >= FILE_BYTES_MAX {
        file.seek(SeekFrom::Start(0))?;
    }
    file.write_all(&BLOCK)?;
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_begins_its_file_anew() {
        let mut file = tempfile::tempfile().expect("a file");
        file.seek(SeekFrom::Start(FILE_BYTES_MAX)).expect("seeks");
        append(&mut file).expect("written");
        assert_eq!(file.stream_position().expect("tells"), BLOCK.len() as u64);
    }
}
