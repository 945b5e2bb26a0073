//! The tables of `docs/CONFORMANCE.md`: each part stands between its own marks and is written by the command that made it.
//! Nothing in it depends on when or where it was made, but for the figures of the bench, which say so.

use std::collections::BTreeMap;

use crate::suite::{Cell, Entry, STUB};

/// The order of the columns; others follow by name.
const ORDER: &[&str] = &["rust", "python", "python-asyncio", "go", "java", "typescript", STUB];

/// What a new file begins with.
const HEAD: &str = "# Conformance of the clients\n\nMade by `semel-conformance`; do not edit. Each row is a case that a runner \
makes a client go through, against real servers and what networks do to calls, and judges by the client's answer *and* by what \
the server then has. `holds`: all of it. `safe` (only for `stub`, the plain generated stub with no client of ours): it did not \
do all of it, but told its caller so by an error, and nothing happened twice. `–`: it has no such thing. How to run it stands \
in [client/conformance](../client/conformance/README.md).\n";

/// The parts of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The cases.
    Cases,
    /// The storm.
    Storm,
    /// What the clients get through.
    Bench,
}

impl Part {
    fn marks(self) -> (&'static str, &'static str) {
        match self {
            Self::Cases => ("<!-- cases -->", "<!-- end of cases -->"),
            Self::Storm => ("<!-- storm -->", "<!-- end of storm -->"),
            Self::Bench => ("<!-- bench -->", "<!-- end of bench -->"),
        }
    }
}

/// The file with this part in place of what it had; a new file if there was none.
pub fn with_part(file: &str, part: Part, text: &str) -> String {
    let (begin, end) = part.marks();
    let whole = format!("{begin}\n{text}{end}");
    let at = file.find(begin).zip(file.find(end));
    match at {
        Some((from, to)) if from < to => format!("{}{whole}{}", &file[..from], &file[to + end.len()..]),
        _ if file.is_empty() => format!("{HEAD}\n{whole}\n"),
        _ => format!("{}\n\n{whole}\n", file.trim_end()),
    }
}

/// The table of the cases.
pub fn of_cases(results: &[Entry]) -> String {
    let columns = columns(results.iter().map(|result| result.client.as_str()));
    let mut text = String::new();
    let mut theme = "";
    let mut rows: Vec<(&Entry, BTreeMap<&str, &Cell>)> = Vec::new();
    for result in results {
        match rows.iter_mut().find(|(row, _)| row.case.name == result.case.name && row.theme == result.theme) {
            Some((_, cells)) => drop(cells.insert(&result.client, &result.cell)),
            None => rows.push((result, BTreeMap::from([(result.client.as_str(), &result.cell)]))),
        }
    }
    for (row, cells) in rows {
        if row.theme != theme {
            theme = row.theme;
            text.push_str(&format!("\n## {}\n\n{}", heading(theme), head(&columns)));
        }
        let cells: Vec<&str> = columns.iter().map(|column| cells.get(column).map_or("", |cell| word(cell))).collect();
        text.push_str(&format!("| {} | {} |\n", row.case.says, cells.join(" | ")));
    }
    text.push('\n');
    text
}

fn head(columns: &[&str]) -> String {
    format!("| case | {} |\n|---|{}\n", columns.join(" | "), "---|".repeat(columns.len()))
}

fn heading(theme: &str) -> String {
    let mut letters = theme.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

/// Columns in their order, each once.
pub fn columns<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut columns: Vec<&str> = Vec::new();
    for name in names {
        if !columns.contains(&name) {
            columns.push(name);
        }
    }
    columns.sort_by_key(|name| (ORDER.iter().position(|known| known == name).unwrap_or(ORDER.len()), *name));
    columns
}

fn word(cell: &Cell) -> &'static str {
    match cell {
        Cell::Holds => "holds",
        Cell::Safe(_) => "safe",
        Cell::Unsupported(_) => "–",
        Cell::Unsafe(_) => "unsafe",
        Cell::Fails(_) => "FAILS",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_takes_the_place_of_its_former_self_and_leaves_the_other() {
        let first = with_part("", Part::Cases, "one\n");
        let both = with_part(&first, Part::Storm, "two\n");
        assert!(both.starts_with("# Conformance"));
        let again = with_part(&both, Part::Cases, "three\n");
        assert!(again.contains("three\n<!-- end of cases -->") && again.contains("two\n<!-- end of storm -->"));
        assert!(!again.contains("one"));
        assert_eq!(with_part(&again, Part::Cases, "three\n"), again);
    }

    #[test]
    fn columns_stand_in_their_order() {
        assert_eq!(columns(["stub", "zig", "go", "rust", "go"].into_iter()), ["rust", "go", "stub", "zig"]);
    }
}
