//! A file of runs, line by line, and never more of it in memory than a few lines: looked through first where it can be read
//! twice, then read by a thread of its own, for a pipe may keep its reader waiting.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read as _, Seek as _},
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::line::Line;
use crate::cli::{failure::Failure, hints::Exit, ids::NUMBER_BITS, out};

/// More than any message may hold, also in base64.
const LINE_BYTES_MAX: u64 = 16 << 20;
/// Lines that wait to be sent.
const LINES_MAX: usize = 16;

/// See the module.
#[derive(Debug)]
pub(super) struct Source {
    path: PathBuf,
    /// The job of lines that name none.
    job: Option<String>,
    /// None is standard input.
    file: Option<File>,
    /// Whether it can be read twice.
    pub(super) is_regular: bool,
}

/// A line that cannot be sent.
#[derive(Debug)]
pub(super) struct BadLine {
    pub(super) number: u64,
    pub(super) problem: String,
}

impl BadLine {
    /// For people.
    pub(super) fn text(&self) -> String {
        format!("line {}: {}", self.number, out::cell(&self.problem))
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        json!({ "line": self.number, "error": { "message": self.problem, "exit_code": Exit::Usage as u8 } })
    }
}

/// What is read: a line, or what is wrong with one, or that the file cannot be read any further.
pub(super) type Read = io::Result<Result<Box<Line>, BadLine>>;

impl Source {
    /// Opens a file, or standard input if it is named `-`.
    pub(super) fn open(path: &Path, job: Option<String>) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Ok(Self { path: path.to_owned(), job, file: None, is_regular: false });
        }
        let opened = File::open(path).and_then(|file| match file.metadata()? {
            found if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
            found => Ok((found.is_file(), file)),
        });
        let (is_regular, file) = opened.map_err(|error| Failure::file("read", path, &error))?;
        Ok(Self { path: path.to_owned(), job, file: Some(file), is_regular })
    }

    /// Looks through all of it; gives how many runs there are. `tell` hears of each line that is wrong.
    pub(super) fn check(&mut self, mut tell: impl FnMut(BadLine) -> Result<(), Failure>) -> Result<u64, Failure> {
        let unreadable = |error: io::Error| Failure::file("read", &self.path, &error);
        let Some(file) = self.file.as_mut().filter(|_| self.is_regular) else { return Ok(0) };
        let mut lines = Lines::of(BufReader::new(&mut *file));
        let mut count = 0;
        while let Some(read) = lines.next(self.job.as_deref(), folder(&self.path)).map_err(unreadable)? {
            match read {
                Ok(_) => count += 1,
                Err(bad) => tell(bad)?,
            }
        }
        file.rewind().map_err(unreadable)?;
        Ok(count)
    }

    /// Reads all of it, in a thread that ends with the file, or with whoever listens.
    pub(super) fn read(self) -> mpsc::Receiver<Read> {
        let (sender, receiver) = mpsc::channel(LINES_MAX);
        std::thread::spawn(move || {
            let Self { path, job, file, .. } = self;
            let reader: Box<dyn BufRead> = match file {
                Some(file) => Box::new(BufReader::new(file)),
                None => Box::new(BufReader::new(io::stdin())),
            };
            let mut lines = Lines::of(reader);
            while let Some(read) = lines.next(job.as_deref(), folder(&path)).transpose() {
                let failed = read.is_err();
                if sender.blocking_send(read).is_err() || failed {
                    break;
                }
            }
        });
        receiver
    }
}

/// Files that lines name are looked for beside their own.
fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

/// Lines and their numbers, from 1 on. Empty ones count and are passed over.
struct Lines<R> {
    reader: R,
    number: u64,
    buffer: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    fn of(reader: R) -> Self {
        Self { reader, number: 0, buffer: Vec::new() }
    }

    fn next(&mut self, job: Option<&str>, folder: &Path) -> io::Result<Option<Result<Box<Line>, BadLine>>> {
        loop {
            self.buffer.clear();
            let bound = LINE_BYTES_MAX + 1;
            if self.reader.by_ref().take(bound).read_until(b'\n', &mut self.buffer)? == 0 {
                return Ok(None);
            }
            self.number += 1;
            let bad = |problem: String| Ok(Some(Err(BadLine { number: self.number, problem })));
            if self.buffer.len() as u64 == bound && !self.buffer.ends_with(b"\n") {
                self.reader.skip_until(b'\n')?;
                return bad(format!("is longer than {} MiB", LINE_BYTES_MAX >> 20));
            }
            let Ok(number) = u32::try_from(self.number) else {
                return bad(format!("there are more than 2^{NUMBER_BITS} lines"));
            };
            let text = self.buffer.trim_ascii();
            if !text.is_empty() {
                let parsed = Line::parse(text, number, job, folder);
                return Ok(Some(parsed.map(Box::new).map_err(|problem| BadLine { number: self.number, problem })));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(text: &[u8]) -> Vec<Result<u32, u64>> {
        let mut lines = Lines::of(text);
        let next = || lines.next(Some("settle"), Path::new("")).expect("it can be read");
        std::iter::from_fn(next).map(|read| read.map(|line| line.number).map_err(|bad| bad.number)).collect()
    }

    #[test]
    fn lines_are_numbered_as_an_editor_numbers_them() {
        assert_eq!(numbers(b"{}\n\n  \n{}\r\nnonsense\n{}"), [Ok(1), Ok(4), Err(5), Ok(6)]);
        assert_eq!(numbers(b"\n\n"), []);
        assert_eq!(numbers(b"\xff\xfe\n{}\n"), [Err(1), Ok(2)]);
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over_and_what_follows_is_not() {
        let long = vec![b' '; usize::try_from(LINE_BYTES_MAX).expect("small") + 10];
        let text = [long.as_slice(), b"\n{}\n"].concat();
        assert_eq!(numbers(&text), [Err(1), Ok(2)]);
    }

    #[test]
    fn a_file_that_was_looked_through_is_read_from_its_beginning() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("runs.jsonl");
        std::fs::write(&path, "{}\n{\"priority\": 1}\nnonsense\n").expect("written");
        let mut source = Source::open(&path, Some("settle".to_owned())).expect("opens");
        let mut bad = Vec::new();
        let count = source.check(|line| {
            bad.push(line.number);
            Ok(())
        });
        assert_eq!((count.expect("reads"), bad), (2, vec![3]));
        let mut lines = source.read();
        let read = std::iter::from_fn(|| lines.blocking_recv()).count();
        assert_eq!(read, 3);
    }
}
