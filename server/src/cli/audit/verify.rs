//! `semel audit --verify`: whether the log is whole, and where it ends.

use std::path::Path;

use serde_json::json;

use super::{
    super::{
        failure::{Done, Failure},
        global::{Global, Output},
        hints::Exit,
        out,
    },
    show,
};
use crate::logs::audit::{self, Link, Report};

pub(super) fn run(folder: &Path, expected: Option<Link>, global: &Global) -> Result<Done, Failure> {
    let report = audit::verify(folder, expected).map_err(|error| Failure::file("read", folder, &error))?;
    let is_missing = expected.is_some() && !report.has_expected;
    match global.output {
        Output::Json => out::json(&report_json(&report, expected.is_some()))?,
        Output::Table => {
            out::text(&show::report(&report))?;
            tell_faults(&report, is_missing);
        }
    }
    let is_whole = report.fault_count == 0 && !is_missing && report.line_count > 0;
    Ok(if is_whole { Done::OK } else { Done::with(Exit::General) })
}

fn tell_faults(report: &Report, is_missing: bool) {
    for fault in &report.faults {
        out::note(&format!("{} line {}: {}", fault.file.display(), fault.number, fault.problem));
    }
    let more = report.fault_count.saturating_sub(report.faults.len() as u64);
    if more > 0 {
        out::note(&format!("and {more} more"));
    }
    if is_missing {
        out::note(
            "no line has the hash that was asked for: lines were cut off, made anew, or are so old that they went",
        );
    }
    if report.line_count == 0 {
        out::note("there is no line at all");
    }
    if report.fault_count > 0 || is_missing {
        out::note(
            "keep these files as they are, and compare them with a copy; what took effect is in the store as well",
        );
    }
}

fn report_json(report: &Report, is_expecting: bool) -> serde_json::Value {
    let faults = report.faults.iter();
    let faults: Vec<_> = faults
        .map(
            |fault| json!({ "file": fault.file.display().to_string(), "line": fault.number, "problem": fault.problem }),
        )
        .collect();
    json!({
        "lines": report.line_count,
        "first_seq": report.first_seq,
        "last_seq": report.last_seq,
        "last_hash": report.last_hash,
        "expected_found": is_expecting.then_some(report.has_expected),
        "torn_lines": report.torn_count,
        "fault_count": report.fault_count,
        "faults": faults,
    })
}
