//! Whether an audit log is whole: each line as it was written, and none taken out between the first and the last that are there.

use std::path::{Path, PathBuf};

use super::{
    chain::{self, Link},
    line::{Kind, Line},
    read::{Found, Lines},
};

/// So many faults are told one by one.
pub const FAULTS_TOLD_MAX: usize = 100;

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// In which file.
    pub file: PathBuf,
    /// In which line of it, from 1.
    pub number: u64,
    /// What is wrong.
    pub problem: String,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Lines that are lines of the log.
    pub line_count: u64,
    /// The number of the first one; 0 if there is none. Those before it were given up with their files.
    pub first_seq: u64,
    /// The number of the last one.
    pub last_seq: u64,
    /// The `hash` of the last one, to be noted down elsewhere.
    pub last_hash: String,
    /// Whether the `hash` that was asked for is that of a line.
    pub has_expected: bool,
    /// The first faults.
    pub faults: Vec<Fault>,
    /// How many faults there are in all.
    pub fault_count: u64,
    /// Lines that a crash had cut off, as the server itself has told.
    pub torn_count: u64,
}

/// Looks through a whole log, and for a line with this `hash`.
///
/// # Errors
/// If a file cannot be read.
pub fn verify(folder: &Path, expected: Option<Link>) -> std::io::Result<Report> {
    let mut lines = Lines::new(folder);
    let mut verifier = Verifier { expected, ..Verifier::default() };
    while let Some(found) = lines.next_whole()? {
        verifier.take(&found);
    }
    // What stands behind the last line end may be under way.
    verifier.report.torn_count += u64::from(lines.rest().is_some());
    Ok(verifier.end())
}

/// See the module.
#[derive(Debug, Default)]
struct Verifier {
    report: Report,
    expected: Option<Link>,
    last: Option<Last>,
    /// What is no line, and is no fault if the next line says that a crash cut it off.
    odd: Option<Found>,
}

/// The last line that was one.
#[derive(Debug)]
struct Last {
    file: PathBuf,
    seq: u64,
    link: Link,
}

impl Verifier {
    fn take(&mut self, found: &Found) {
        let line = std::str::from_utf8(&found.bytes).ok().and_then(|text| {
            let link = chain::link_of(text)?;
            Some((text, link, serde_json::from_str::<Line>(text).ok()?))
        });
        let Some((text, link, line)) = line else {
            self.settle_odd(None);
            self.odd = Some(found.clone());
            return;
        };
        self.settle_odd(line.torn_bytes);
        if let Some(problem) = self.problem(found, text, &line) {
            self.fault(found, problem);
        }
        self.report.first_seq = if self.report.line_count == 0 { line.seq } else { self.report.first_seq };
        self.report.line_count += 1;
        self.report.last_seq = line.seq;
        self.report.has_expected |= self.expected == Some(link);
        self.last = Some(Last { file: found.file.clone(), seq: line.seq, link });
    }

    fn problem(&self, found: &Found, text: &str, line: &Line) -> Option<String> {
        let stated = line.prev.as_deref().map(Link::parse);
        let before = match (&self.last, stated) {
            // The first line of all that are left says itself what it follows.
            (None, Some(Some(prev))) if line.seq > 1 || prev == Link::START => prev,
            (None, _) => return Some("the log does not begin with the first line of a file".to_owned()),
            (Some(last), stated) => {
                if line.seq != last.seq + 1 {
                    return Some(gap(last.seq, line.seq));
                }
                if stated.is_some_and(|prev| prev != Some(last.link)) || (found.file != last.file && stated.is_none()) {
                    return Some("it does not follow the last line of the file before".to_owned());
                }
                last.link
            }
        };
        (!chain::holds(before, text)).then(|| "this line was changed, or the one before it".to_owned())
    }

    /// What stood before a line and is none is no fault if the line says so.
    fn settle_odd(&mut self, torn_bytes: Option<u64>) {
        let Some(odd) = self.odd.take() else { return };
        if torn_bytes.is_some_and(|bytes| bytes >= odd.bytes.len() as u64) {
            self.report.torn_count += 1;
        } else {
            self.fault(&odd, "this is no line of an audit log: it was changed or damaged".to_owned());
        }
    }

    fn fault(&mut self, found: &Found, problem: String) {
        self.report.fault_count += 1;
        if self.report.faults.len() < FAULTS_TOLD_MAX {
            self.report.faults.push(Fault { file: found.file.clone(), number: found.number, problem });
        }
    }

    fn end(mut self) -> Report {
        self.settle_odd(None);
        self.report.last_hash = self.last.map(|last| last.link.as_str().to_owned()).unwrap_or_default();
        self.report
    }
}

fn gap(before: u64, after: u64) -> String {
    if after <= before {
        return format!("line {after} of the log stands behind line {before}");
    }
    let (from, to) = (before + 1, after - 1);
    if from == to {
        format!("line {from} of the log is missing before it")
    } else {
        format!("lines {from} to {to} of the log are missing before it")
    }
}

/// What a line tells, if it is one.
///
/// # Errors
/// Says what it is instead.
pub fn read(found: &Found) -> Result<Line, &'static str> {
    let text = std::str::from_utf8(&found.bytes).map_err(|_| "it is not text")?;
    let line: Line = serde_json::from_str(text).map_err(|_| "it is no line of an audit log")?;
    if line.kind == Kind::Unknown { Err("it is of a kind that this version does not know") } else { Ok(line) }
}
