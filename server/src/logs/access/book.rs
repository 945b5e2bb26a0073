//! Where the lines of the access log go. What cannot be written is counted, and the count is a line of its own as soon as
//! something can be written again: calls do not wait for a log.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::json;

use super::{
    super::{text, writer::Book},
    Error, Line, Target,
};
use crate::clock::Clock;

/// How long to wait, after something could not be written, before it is tried again though nothing came.
const AGAIN: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct Lines {
    out: Out,
    clock: Clock,
    page: Vec<u8>,
    /// Lines that were not written, and of which nobody has been told yet.
    unwritten: u64,
    /// Whether the last line may have been cut off in its middle.
    is_torn: bool,
}

enum Out {
    Stdout,
    Stderr,
    File(PathBuf, File),
}

impl Lines {
    pub(super) fn open(target: &Target, clock: Clock) -> Result<Self, Error> {
        let out = match target {
            Target::Stdout => Out::Stdout,
            Target::Stderr => Out::Stderr,
            Target::File(path) => {
                let file = append(path).map_err(|source| Error { path: path.clone(), source })?;
                Out::File(path.clone(), file)
            }
        };
        Ok(Self { out, clock, page: Vec::new(), unwritten: 0, is_torn: false })
    }

    fn put(&mut self) -> io::Result<()> {
        match &mut self.out {
            Out::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(&self.page)?;
                out.flush()
            }
            Out::Stderr => io::stderr().lock().write_all(&self.page),
            Out::File(_, file) => file.write_all(&self.page),
        }
    }
}

impl Book for Lines {
    type Entry = Line;

    fn write(&mut self, entries: &mut Vec<Line>, missed: u64) {
        self.unwritten += missed;
        self.page.clear();
        if self.is_torn {
            self.page.push(b'\n');
        }
        for line in entries.iter() {
            // A map of plain values can always be written into memory.
            let _ = serde_json::to_writer(&mut self.page, line);
            self.page.push(b'\n');
        }
        if self.unwritten > 0 {
            let time = text::time(self.clock.wall());
            let line = json!({ "time": time, "kind": "missed", "count": self.unwritten });
            self.page.extend_from_slice(format!("{line}\n").as_bytes());
        }
        if self.page.is_empty() {
            return;
        }
        match self.put() {
            Ok(()) => (self.unwritten, self.is_torn) = (0, false),
            Err(error) => {
                if !self.is_torn {
                    tracing::warn!(%error, "the access log cannot be written; the server goes on, and counts the lines that are lost");
                }
                self.unwritten += entries.len() as u64;
                self.is_torn = true;
            }
        }
    }

    fn idle(&self) -> Option<Duration> {
        (self.unwritten > 0 || self.is_torn).then_some(AGAIN)
    }

    fn reopen(&mut self) {
        let Out::File(path, file) = &mut self.out else { return };
        match append(path) {
            Ok(opened) => (*file, self.is_torn) = (opened, false),
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "the access log cannot be opened anew; what is open goes on being written");
            }
        }
    }
}

fn append(path: &Path) -> io::Result<File> {
    let mut options = fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use serde_json::Value;

    use super::*;

    fn line(method: &str) -> Line {
        Line { kind: "call", rpc_method: method.to_owned(), ..Line::default() }
    }

    fn kinds(path: &Path) -> Vec<(String, Value)> {
        let text = fs::read_to_string(path).expect("text");
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("each line is JSON"));
        lines
            .map(|line| {
                let what = if line["kind"] == "call" { line["rpc_method"].clone() } else { line["count"].clone() };
                (line["kind"].as_str().expect("a kind").to_owned(), what)
            })
            .collect()
    }

    #[test]
    fn lines_are_added_to_a_file_for_its_owner_only_and_what_was_missed_is_a_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("access.log");
        let mut lines = Lines::open(&Target::File(path.clone()), Clock::system()).expect("it opens");
        lines.write(&mut vec![line("a\"\n")], 3);
        lines.write(&mut Vec::new(), 0);
        assert_eq!(
            kinds(&path),
            [("call".to_owned(), json!("a\"\n")), ("missed".to_owned(), json!(3))],
            "one line each, whatever stands in it"
        );
        assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o600);
        drop(lines);
        Lines::open(&Target::File(path.clone()), Clock::system()).expect("again").write(&mut vec![line("b")], 0);
        assert_eq!(kinds(&path).len(), 3, "what was there stays");
    }

    #[test]
    fn a_file_that_was_moved_away_is_made_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, moved) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
        let mut lines = Lines::open(&Target::File(path.clone()), Clock::system()).expect("it opens");
        lines.write(&mut vec![line("a")], 0);
        fs::rename(&path, &moved).expect("moved");
        lines.write(&mut vec![line("b")], 0);
        lines.reopen();
        lines.write(&mut vec![line("c")], 0);
        assert_eq!((kinds(&moved).len(), kinds(&path)), (2, vec![("call".to_owned(), json!("c"))]));
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_told_when_it_can_be_again() {
        // Always full.
        let mut lines = Lines::open(&Target::File("/dev/full".into()), Clock::system()).expect("it opens");
        lines.write(&mut vec![line("a"), line("b")], 1);
        assert_eq!((lines.unwritten, lines.idle()), (3, Some(AGAIN)));
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("access.log");
        lines.out = Out::File(path.clone(), append(&path).expect("it opens"));
        lines.write(&mut vec![line("c")], 0);
        let text = fs::read_to_string(&path).expect("text");
        assert!(text.starts_with('\n'), "the line that was cut off ends first");
        assert!(text.lines().nth(2).is_some_and(|line| line.contains("\"count\":3")), "{text}");
        assert_eq!((lines.unwritten, lines.idle()), (0, None));
    }

    #[test]
    fn a_path_that_cannot_be_is_told_at_once() {
        let told = Lines::open(&Target::File("/nowhere/access.log".into()), Clock::system()).err().expect("no folder");
        assert!(told.to_string().contains("/nowhere/access.log"), "{told}");
    }
}
