//! Lines of the audit log for people.

use super::{
    super::{out, show},
    Meant,
};
use crate::logs::audit::{Kind, Line, Report};

const HEAD: [&str; 7] = ["TIME", "WHO", "WHAT", "APP", "OUTCOME", "REQUEST", "FROM"];

/// All of them, in columns.
pub(super) fn table(lines: &[Meant]) -> String {
    show::list(&HEAD, lines.iter().map(|(_, line)| row(line)).collect())
}

/// One of them.
pub(super) fn row(line: &Line) -> Vec<String> {
    let cell = |text: Option<&str>| out::cell(text.unwrap_or_default());
    let short = |method: &str| out::cell(method.strip_prefix("semel.v1.").unwrap_or(method));
    let what = line.rpc_method.as_deref().map_or_else(|| kind(line.kind).to_owned(), short);
    let what = match &line.target {
        Some(target) => format!("{what} {}", out::cell(target)),
        None => what,
    };
    vec![
        out::cell(&line.time),
        cell(line.principal.as_deref()),
        what,
        cell(line.app.as_deref()),
        outcome(line),
        cell(line.request_id.as_deref()),
        cell(line.network_peer_address.as_deref()),
    ]
}

fn outcome(line: &Line) -> String {
    let at = |revision: Option<u64>| revision.map(|revision| format!("revision {revision}")).unwrap_or_default();
    let count = line.count.unwrap_or_default();
    let said = |text: Option<&str>| out::cell(text.unwrap_or_default());
    match line.kind {
        Kind::Mutation => {
            let later = if line.recovered { ", written later" } else { "" };
            format!("{}, {}{later}", said(line.disposition.as_deref()), at(line.revision))
        }
        Kind::Refusal => said(line.reason.as_deref()),
        Kind::RefusalsLeftOut => format!("{count} more {}", said(line.reason.as_deref())),
        Kind::Missed => format!("{count} lines"),
        Kind::Gap => {
            let (from, to) = (line.from_revision.unwrap_or_default(), line.revision.unwrap_or_default());
            format!("revisions {from} to {to}")
        }
        Kind::Opened | Kind::Closed | Kind::Continued | Kind::Mark | Kind::Unknown => at(line.revision),
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Opened => "(a server begins)",
        Kind::Closed => "(the server has ended)",
        Kind::Continued => "(a new file)",
        Kind::Mutation => "(a mutation)",
        Kind::Refusal => "(a refusal)",
        Kind::RefusalsLeftOut => "(refusals)",
        Kind::Mark => "(nothing is missing)",
        Kind::Missed => "(lost)",
        Kind::Gap => "(not known)",
        Kind::Unknown => "(of a later version)",
    }
}

/// What was found when the log was checked.
pub(super) fn report(report: &Report) -> String {
    let gone = if report.first_seq > 1 { " (those before went with their files, by audit.bytes_max)" } else { "" };
    let torn = match report.torn_count {
        0 => String::new(),
        count => format!("\nlines that a crash cut off, or that are being written: {count}"),
    };
    let verdict = match report.fault_count {
        0 => "no line was changed or taken out".to_owned(),
        count => format!("faults: {count}"),
    };
    format!(
        "lines: {}, from {} to {}{gone}{torn}\n{verdict}\nlast hash: {}",
        report.line_count, report.first_seq, report.last_seq, report.last_hash
    )
}
