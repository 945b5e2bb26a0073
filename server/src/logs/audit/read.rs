//! The lines of an audit log as they lie in its files, in order, and those that come while one reads. Judges nothing but where
//! a line ends.

use std::{
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
};

/// No line is longer; what is, is none.
pub(super) const LINE_BYTES_MAX: u64 = 64 << 10;
const PREFIX: &str = "audit-";
const SUFFIX: &str = ".jsonl";
/// Digits of the number in a name: as texts, names sort as their numbers do.
const DIGITS: usize = 16;

/// The name of the file that begins with the line of this number.
pub(super) fn file_name(seq: u64) -> String {
    format!("{PREFIX}{seq:0DIGITS$}{SUFFIX}")
}

/// The number of the line that a file begins with, by its name.
pub(super) fn first_of(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    let digits = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    (digits.len() == DIGITS).then(|| digits.parse().ok()).flatten()
}

/// The files of a log, the oldest first.
///
/// # Errors
/// If the folder cannot be read.
pub(super) fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if first_of(&path).is_some() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// What stands in a file between two line ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// In which file.
    pub file: PathBuf,
    /// Which line of it, from 1.
    pub number: u64,
    /// The line, without its end.
    pub bytes: Vec<u8>,
    /// Whether its end was there.
    pub is_whole: bool,
}

/// Goes through the lines of a log. At its end it gives nothing, and goes on when something has come.
#[derive(Debug)]
pub struct Lines {
    folder: PathBuf,
    current: Option<Current>,
    /// Only what has the name of this one or a later one is still to be read.
    beyond: PathBuf,
}

#[derive(Debug)]
struct Current {
    path: PathBuf,
    reader: BufReader<File>,
    number: u64,
    /// What was read of a line whose end is not there yet.
    begun: Vec<u8>,
}

impl Lines {
    /// From the oldest line on.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), current: None, beyond: PathBuf::new() }
    }

    /// Only the lines of one file, and of those after it.
    pub(super) fn from(folder: &Path, first: &Path) -> Self {
        Self { beyond: first.to_owned(), ..Self::new(folder) }
    }

    /// The next line that is whole; none if there is none yet.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn next_whole(&mut self) -> io::Result<Option<Found>> {
        loop {
            if let Some(current) = &mut self.current
                && let Some(found) = current.line()?
            {
                return Ok(Some(found));
            }
            // A file that another one follows is not written to any more.
            match self.open_next()? {
                Some(next) => {
                    let begun = self.current.replace(next).and_then(Current::rest);
                    if begun.is_some() {
                        return Ok(begun);
                    }
                }
                None => return Ok(None),
            }
        }
    }

    /// What stands behind the last line end, if anything does: a line that is being written, or that a crash has cut off.
    pub fn rest(&mut self) -> Option<Found> {
        let current = self.current.as_mut()?;
        let bytes = std::mem::take(&mut current.begun);
        (!bytes.is_empty()).then(|| Found {
            file: current.path.clone(),
            number: current.number + 1,
            bytes,
            is_whole: false,
        })
    }

    fn open_next(&mut self) -> io::Result<Option<Current>> {
        loop {
            let mut left = files(&self.folder)?.into_iter();
            let next = match &self.current {
                Some(current) => left.find(|path| *path > current.path),
                None => left.find(|path| *path >= self.beyond),
            };
            let Some(path) = next else { return Ok(None) };
            match File::open(&path) {
                Ok(file) => {
                    return Ok(Some(Current { path, reader: BufReader::new(file), number: 0, begun: Vec::new() }));
                }
                // The oldest ones go while the log is read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Current {
    fn line(&mut self) -> io::Result<Option<Found>> {
        let room = LINE_BYTES_MAX.saturating_sub(self.begun.len() as u64);
        self.reader.by_ref().take(room).read_until(b'\n', &mut self.begun)?;
        let is_whole = self.begun.last() == Some(&b'\n');
        if !is_whole && (self.begun.len() as u64) < LINE_BYTES_MAX {
            return Ok(None);
        }
        let mut bytes = std::mem::take(&mut self.begun);
        if is_whole {
            bytes.pop();
        }
        self.number += 1;
        Ok(Some(Found { file: self.path.clone(), number: self.number, bytes, is_whole }))
    }

    fn rest(self) -> Option<Found> {
        let Self { path, number, begun, .. } = self;
        (!begun.is_empty()).then_some(Found { file: path, number: number + 1, bytes: begun, is_whole: false })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn text(found: Option<Found>) -> Option<(u64, String, bool)> {
        found.map(|found| (found.number, String::from_utf8(found.bytes).expect("text"), found.is_whole))
    }

    #[test]
    fn lines_come_in_order_over_files_and_go_on_where_they_ended() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |seq| folder.path().join(file_name(seq));
        fs::write(folder.path().join("notes"), "not of the log\n").expect("written");
        fs::write(path(1), "a\nb\n").expect("written");
        fs::write(path(3), "c\nhal").expect("written");
        let mut lines = Lines::new(folder.path());
        let next = |lines: &mut Lines| text(lines.next_whole().expect("it can be read"));
        assert_eq!(next(&mut lines), Some((1, "a".to_owned(), true)));
        assert_eq!(next(&mut lines), Some((2, "b".to_owned(), true)));
        assert_eq!(next(&mut lines), Some((1, "c".to_owned(), true)));
        assert_eq!(next(&mut lines), None);
        let mut file = fs::OpenOptions::new().append(true).open(path(3)).expect("it opens");
        file.write_all(b"f\nto").expect("written");
        assert_eq!(next(&mut lines), Some((2, "half".to_owned(), true)));
        assert_eq!(next(&mut lines), None);
        fs::write(path(5), "e\n").expect("written");
        assert_eq!(next(&mut lines), Some((3, "to".to_owned(), false)), "its end never came");
        assert_eq!(next(&mut lines), Some((1, "e".to_owned(), true)));
        assert_eq!((next(&mut lines), lines.rest()), (None, None));
    }

    #[test]
    fn a_line_without_an_end_takes_bounded_memory() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join(file_name(1)), vec![b'x'; 200 << 10]).expect("written");
        let mut lines = Lines::new(folder.path());
        let longest = std::iter::from_fn(|| lines.next_whole().expect("it can be read")).map(|found| found.bytes.len());
        assert_eq!(longest.max(), Some(usize::try_from(LINE_BYTES_MAX).expect("it fits")));
    }
}
