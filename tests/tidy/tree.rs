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
        walk(&root(), &mut files);
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

/// All that git would take: what the build of a client makes beside its sources is named in its `.gitignore`.
fn walk(root: &Path, files: &mut Vec<(String, String)>) {
    let mut walk = ignore::WalkBuilder::new(root);
    // Not that of the machine: the tree is the same everywhere.
    walk.hidden(false).require_git(false).parents(false).git_global(false).git_exclude(false);
    walk.filter_entry(|entry| entry.depth() == 0 || !is_foreign(entry.path(), &entry.file_name().to_string_lossy()));
    for entry in walk.build() {
        let entry = entry.unwrap_or_else(|error| panic!("cannot read the tree: {error}"));
        // A link leads out of the tree, or to a file that is read anyway.
        if !entry.file_type().is_some_and(|kind| kind.is_file()) || is_generated(&entry.file_name().to_string_lossy()) {
            continue;
        }
        // What is not UTF-8 is no text.
        if let Ok(text) = fs::read_to_string(entry.path()) {
            let path = entry.path().strip_prefix(root).expect("it lies in the tree");
            files.push((path.to_string_lossy().replace('\\', "/"), text));
        }
    }
}

/// Build output, data and tools that lie in the tree but are not part of it.
fn is_foreign(path: &Path, name: &str) -> bool {
    let hidden = name.starts_with('.') && !matches!(name, ".ci" | ".cargo" | ".github" | ".gitignore");
    let known = matches!(name, "target" | "semel-dev" | "node_modules" | "__pycache__");
    hidden || known || path.join("CACHEDIR.TAG").exists() || path.join("pyvenv.cfg").exists()
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
