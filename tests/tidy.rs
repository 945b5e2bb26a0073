//! Holds the walls of the house: who may import whom, who may read the clock, how long a file or a function may be,
//! and that what is written down resolves. It reads the sources as text and never builds or runs them.
//!
//! Each rule is a function over one file and has a test of its own that shows that it catches a fault. A rule that
//! stands in the way is changed here, with its reason, and not worked around.

#[path = "tidy/shape.rs"]
mod shape;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/texts.rs"]
mod texts;
#[path = "tidy/tree.rs"]
mod tree;
#[path = "tidy/walls.rs"]
mod walls;

use std::fmt;

use source::Source;
use tree::Tree;

/// Files that are longer than `shape::FILE_LINES_MAX`, with their present length. It may only shrink.
const LONG_FILES: &[(&str, usize)] = &[];

/// Functions that are longer than `shape::FUNCTION_LINES_MAX`, as `path::name`, with their present length. It may
/// only shrink.
const LONG_FUNCTIONS: &[(&str, usize)] = &[];

/// Test files that may sleep, each with the reason why no condition can be waited for instead.
const SLEEPERS: &[(&str, &str)] = &[
    ("tests/e2e/binary.rs", "files of another process tell nobody when they change, and a kill comes at some moment"),
    ("tests/faults/src/call.rs", "to hold an answer back is what it is for"),
    ("tests/faults/src/messages.rs", "to hold a message of a stream back is what it is for"),
];

/// Folders that must hold sources, so that no rule passes because it found nothing to read.
const PRESENT: &[&str] = &[
    "client/rust/src",
    "client/rust/tests",
    "proto",
    "server/benches",
    "server/core/src",
    "server/src",
    "server/src/admin",
    "server/src/bench",
    "server/src/cli",
    "server/src/dev",
    "server/src/engine",
    "server/src/metrics",
    "server/src/store",
    "server/src/transport",
    "server/src/worker",
    "server/tests",
    "tests",
    "tests/faults/src",
];

/// Folders and files that the walls name and that are still to come. Move each to `PRESENT` when it is there.
const COMING: &[&str] = &["server/src/cluster"];

/// What is wrong, where, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fault {
    path: String,
    line: usize,
    message: String,
}

impl Fault {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// Fails with all faults at once, one a line.
fn assert_tidy(faults: &[Fault]) {
    let list: Vec<String> = faults.iter().map(Fault::to_string).collect();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), list.join("\n"));
}

/// Applies a rule to every Rust source of the tree.
fn check_sources(rule: impl Fn(&Source) -> Vec<Fault>) {
    let tree = Tree::read();
    assert_tidy(&tree.sources().iter().flat_map(rule).collect::<Vec<_>>());
}

/// Applies a rule to every text file of the tree whose name ends so.
fn check_texts(ends: &[&str], rule: impl Fn(&str, &str) -> Vec<Fault>) {
    let tree = Tree::read();
    let chosen = tree.files().filter(|(path, _)| ends.iter().any(|end| path.ends_with(end)));
    assert_tidy(&chosen.flat_map(|(path, text)| rule(path, text)).collect::<Vec<_>>());
}

#[test]
fn every_part_of_the_house_was_read() {
    let tree = Tree::read();
    for folder in PRESENT {
        let seen = tree.sources().iter().any(|source| tree::under(&source.path, folder));
        assert!(seen, "no source was read below {folder}: mend the walk, or PRESENT in tests/tidy.rs");
    }
    let rpcs: usize =
        tree.files().filter(|(path, _)| path.ends_with(".proto")).map(|(_, text)| texts::rpcs(text)).sum();
    assert!(rpcs >= 28, "only {rpcs} RPCs were read below proto/: mend the walk, or this bound");
}

#[test]
fn walls_name_only_known_folders() {
    for folder in walls::folders() {
        let known = PRESENT.contains(&folder) || COMING.contains(&folder) || tree::exists(folder);
        assert!(known, "a wall names {folder}, which neither exists nor stands in COMING of tests/tidy.rs");
    }
}

#[test]
fn imports_keep_to_the_walls() {
    check_sources(walls::imports);
}

#[test]
fn layers_import_only_what_lies_below_them() {
    check_sources(walls::layers);
}

#[test]
fn only_the_clock_reads_the_clock() {
    check_sources(walls::clock);
}

#[test]
fn manifests_keep_to_the_walls() {
    check_texts(&["Cargo.toml"], walls::manifest);
}

#[test]
fn every_source_opens_with_what_it_owns() {
    check_sources(shape::head);
}

#[test]
fn files_are_short() {
    check_texts(&[".rs", ".proto", ".py", ".ci/run"], |path, text| shape::file_length(path, text, LONG_FILES));
}

#[test]
fn functions_are_short() {
    check_sources(|source| shape::function_lengths(source, LONG_FUNCTIONS));
}

#[test]
fn exceptions_still_exist() {
    let tree = Tree::read();
    let paths = LONG_FILES.iter().map(|(path, _)| *path).chain(SLEEPERS.iter().map(|(path, _)| *path));
    for path in paths {
        assert!(tree.files().any(|(file, _)| file == path), "{path} is gone: strike it from tests/tidy.rs");
    }
    for (name, _) in LONG_FUNCTIONS {
        let found = tree.sources().iter().any(|source| shape::functions(source).iter().any(|(key, ..)| key == name));
        assert!(found, "{name} is gone: strike it from LONG_FUNCTIONS in tests/tidy.rs");
    }
}

#[test]
fn lints_are_not_silenced_without_a_reason() {
    check_sources(shape::bare_allow);
}

#[test]
fn tests_wait_for_conditions() {
    check_sources(|source| shape::sleeps(source, SLEEPERS));
}

#[test]
fn nothing_is_left_for_later() {
    check_texts(&[""], texts::left_for_later);
}

#[test]
fn no_file_names_a_place_on_some_machine() {
    check_texts(&[""], texts::machine_paths);
}

#[test]
fn every_rpc_says_whether_it_is_idempotent() {
    check_texts(&[".proto"], texts::idempotency);
}

#[test]
fn links_resolve() {
    check_texts(&[".md"], |path, text| texts::links(path, text, tree::exists));
}
