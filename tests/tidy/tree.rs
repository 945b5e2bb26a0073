//! The files of the repository, read once. It decides what belongs to the tree; it judges nothing.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::source::{self, Source};

/// Every text file of the repository by its path from the root, and the Rust sources among them, parsed.
pub(crate) struct Tree {
    files: Vec<(String, String)>,
    sources: Vec<Source>,
}

impl Tree {
    /// Reads the repository that this test was built in.
    pub(crate) fn read() -> Self {
        let mut files = Vec::new();
        walk(&root(), "", &mut files);
        files.sort();
        let rust = files.iter().filter(|(path, _)| path.ends_with(".rs"));
        let mut sources: Vec<Source> = rust.map(|(path, text)| Source::parse(path, text)).collect();
        source::mark_test_modules(&mut sources);
        Self { files, sources }
    }

    /// Path and text of each file.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The Rust sources.
    pub(crate) fn sources(&self) -> &[Source] {
        &self.sources
    }
}

/// Whether a file is this module, or lies in this folder: `server/src/store` is `store.rs` and all below `store/`.
pub(crate) fn under(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest == ".rs" || rest.starts_with('/'))
}

/// Whether there is such a file, folder or module.
pub(crate) fn exists(path: &str) -> bool {
    root().join(path).exists() || root().join(format!("{path}.rs")).exists()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn walk(folder: &Path, prefix: &str, files: &mut Vec<(String, String)>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("cannot read {}: {error}", folder.display()));
    for entry in entries {
        let entry = entry.unwrap_or_else(|error| panic!("cannot read {}: {error}", folder.display()));
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
        // A link leads out of the tree, or to a file that is read anyway.
        let kind = entry.file_type().unwrap_or_else(|error| panic!("cannot read the kind of {path}: {error}"));
        if kind.is_dir() && !is_foreign(&entry.path(), &name) {
            walk(&entry.path(), &path, files);
        } else if kind.is_file() && !is_generated(&name) {
            // What is not UTF-8 is no text.
            if let Ok(text) = fs::read_to_string(entry.path()) {
                files.push((path, text));
            }
        }
    }
}

/// Build output, data and tools that lie in the tree but are not part of it.
fn is_foreign(folder: &Path, name: &str) -> bool {
    let hidden = name.starts_with('.') && !matches!(name, ".ci" | ".cargo" | ".github");
    let known = matches!(name, "target" | "semel-dev" | "node_modules" | "__pycache__");
    hidden || known || folder.join("CACHEDIR.TAG").exists() || folder.join("pyvenv.cfg").exists()
}

fn is_generated(name: &str) -> bool {
    matches!(name, "Cargo.lock" | "LICENSE" | ".git")
}

#[test]
fn a_folder_holds_itself_and_what_lies_below() {
    assert!(under("server/src/store/lmdb.rs", "server/src/store"));
    assert!(under("server/src/store.rs", "server/src/store"));
    assert!(!under("server/src/storefront.rs", "server/src/store"));
    assert!(!under("client/server/src/store.rs", "server/src/store"));
}
