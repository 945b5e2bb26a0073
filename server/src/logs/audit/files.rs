//! The files that the audit log lies in: written to at the end of the last one and nowhere else, so many bytes each and so many in
//! all, for the owner's eyes only. The oldest is given up when there are too many.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use super::{
    Error,
    chain::{self, Link},
    line::{Kind, Line},
    read::{self, Lines, file_name},
};

/// So many files there are at the most.
const FILES: u64 = 8;

/// See the module.
#[derive(Debug)]
pub(super) struct Files {
    folder: PathBuf,
    file: File,
    size: u64,
    bytes_max: u64,
}

/// Where the log ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tail {
    /// The number of the last line.
    pub(super) seq: u64,
    /// Its link.
    pub(super) link: Link,
    /// Up to where no mutation is missing; none in a new log.
    pub(super) revision: Option<u64>,
    /// Whether the last line says that the server ended well.
    pub(super) is_closed: bool,
    /// How many bytes stand behind the last line that is one: what a crash has left of a line.
    pub(super) torn_bytes: u64,
    /// Whether they have no line end, so that the next line needs one before it.
    pub(super) is_open: bool,
}

impl Default for Tail {
    fn default() -> Self {
        Self { seq: 0, link: Link::START, revision: None, is_closed: false, torn_bytes: 0, is_open: false }
    }
}

impl Files {
    /// Opens a log to write to its end, and makes one where there is none.
    ///
    /// # Errors
    /// If that cannot be, or if no line of the last file is one: then nobody knows what the next one follows.
    pub(super) fn open(folder: &Path, bytes_max: u64) -> Result<(Self, Tail), Error> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::File { path, source }
        };
        make_private(folder).map_err(failed(folder))?;
        let files = read::files(folder).map_err(failed(folder))?;
        let mut tail = Tail::default();
        // A crash may have left a file without a line behind the last one that has any.
        let filled = files.iter().rev().find(|path| fs::metadata(path).is_ok_and(|found| found.len() > 0));
        if let Some(path) = filled {
            tail =
                read_tail(folder, path).map_err(failed(path))?.ok_or_else(|| Error::Damaged { path: path.clone() })?;
        }
        let path = files.last().cloned().unwrap_or_else(|| folder.join(file_name(tail.seq + 1)));
        let (file, size) = append(&path).map_err(failed(&path))?;
        Ok((Self { folder: folder.to_owned(), file, size, bytes_max }, tail))
    }

    /// Whether the next line belongs into a file of its own.
    pub(super) fn is_full(&self) -> bool {
        // What is added at a time is smaller than this margin, so no file is larger than it may be.
        self.size >= self.file_max() - self.bytes_max / 64
    }

    /// Whether the file has no line yet.
    pub(super) fn is_empty(&self) -> bool {
        self.size == 0
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.size += bytes.len() as u64;
        Ok(())
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Goes on in a new file, which begins with the line of this number; the oldest ones go if there are too many.
    pub(super) fn rotate(&mut self, seq: u64) -> io::Result<()> {
        self.sync()?;
        (self.file, self.size) = append(&self.folder.join(file_name(seq)))?;
        let files = read::files(&self.folder)?;
        let sizes = files.iter().map(|path| Ok(fs::metadata(path)?.len())).collect::<io::Result<Vec<u64>>>()?;
        let mut total: u64 = sizes.iter().sum();
        for (path, size) in files.iter().zip(sizes) {
            if total + self.file_max() <= self.bytes_max {
                break;
            }
            fs::remove_file(path)?;
            total -= size;
        }
        sync_folder(&self.folder)
    }

    fn file_max(&self) -> u64 {
        self.bytes_max / FILES
    }
}

/// Where the last file ends; none if no line of it is one.
fn read_tail(folder: &Path, path: &Path) -> io::Result<Option<Tail>> {
    let mut lines = Lines::from(folder, path);
    let mut tail: Option<Tail> = None;
    let (mut torn_bytes, mut is_open) = (0, false);
    while let Some(found) = lines.next_whole()? {
        let text = std::str::from_utf8(&found.bytes).unwrap_or_default();
        match chain::link_of(text).zip(serde_json::from_str::<Line>(text).ok()) {
            Some((link, line)) => {
                let stands = line.stands().or(tail.as_ref().and_then(|tail| tail.revision));
                let is_closed = line.kind == Kind::Closed;
                tail = Some(Tail { seq: line.seq, link, revision: stands, is_closed, ..Tail::default() });
                (torn_bytes, is_open) = (0, false);
            }
            None => (torn_bytes, is_open) = (torn_bytes + found.bytes.len() as u64, !found.is_whole),
        }
    }
    if let Some(rest) = lines.rest() {
        (torn_bytes, is_open) = (torn_bytes + rest.bytes.len() as u64, true);
    }
    Ok(tail.map(|tail| Tail { torn_bytes, is_open, ..tail }))
}

fn append(path: &Path) -> io::Result<(File, u64)> {
    let mut options = fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    let size = file.metadata()?.len();
    Ok((file, size))
}

fn make_private(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// So that the names of new files outlive a crash as well.
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
