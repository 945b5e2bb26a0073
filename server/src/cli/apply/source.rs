//! The files of `semel apply`: found, read, and held against the rules of this version before anything is sent. All
//! mistakes of all files are told, each with file, line and column.

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
};

use semel_proto::v1::JobSpec;
use serde_json::{Value, json};

use crate::{
    cli::{
        failure::Failure,
        files,
        job_file::SpecFile,
        located::{self, Fault, Node, Place, Syntax},
    },
    transport,
};

/// How deep folders are looked into.
const FOLDER_DEPTH_MAX: usize = 8;
/// How many documents are taken at once: each costs a call or two, one after the other.
const DOCUMENTS_MAX: usize = 10_000;

/// A job as a file has it.
#[derive(Debug)]
pub(super) struct Item {
    /// Which of all documents it is, from 1: what its request id is made of.
    pub(super) number: u32,
    /// Its app; empty means that of the caller.
    pub(super) app: String,
    /// Its name.
    pub(super) job: String,
    /// The definition, as the file says it.
    pub(super) spec: JobSpec,
    /// The same as the server would keep it.
    pub(super) settled: JobSpec,
    file: PathBuf,
    node: Node,
}

/// A mistake of a file.
#[derive(Debug)]
pub(super) struct Mistake {
    file: PathBuf,
    fault: Fault,
}

impl fmt::Display for Mistake {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.file.display(), self.fault)
    }
}

impl Mistake {
    /// For programs.
    pub(super) fn json(&self) -> Value {
        let Place { line, column } = self.fault.place;
        json!({ "file": self.file.display().to_string(), "line": line, "column": column, "problem": self.fault.problem })
    }
}

impl Item {
    /// Where the document begins, `file:line`.
    pub(super) fn place(&self) -> String {
        format!("{}:{}", self.file.display(), self.node.place.line)
    }

    /// Says where in the file something is wrong, by the path of the field in the request.
    pub(super) fn mistake(&self, field: &str, problem: &str) -> Mistake {
        mistake(&self.file, &self.node, field, problem)
    }
}

/// Reads the documents of all files. Whatever names no app is of `app`.
///
/// # Errors
/// A file or folder that cannot be read.
pub(super) fn read(paths: &[PathBuf], app: &str) -> Result<Result<Vec<Item>, Vec<Mistake>>, Failure> {
    let (mut items, mut mistakes, mut number) = (Vec::new(), Vec::new(), 0_u32);
    for file in find(paths)? {
        let text = files::read_text(&file)?;
        let syntax = if has_extension(&file, &["toml"]) { Syntax::Toml } else { Syntax::Yaml };
        match located::documents(&text, syntax) {
            Err(fault) => mistakes.push(Mistake { file, fault }),
            Ok(nodes) => {
                for node in nodes {
                    number += 1;
                    match item(number, &file, node, syntax, app) {
                        Ok(item) => items.push(item),
                        Err(mut wrong) => mistakes.append(&mut wrong),
                    }
                }
            }
        }
    }
    if number as usize > DOCUMENTS_MAX {
        return Err(Failure::usage(format!("{number} jobs are too many at once: apply {DOCUMENTS_MAX} at most")));
    }
    twice(&items, &mut mistakes);
    Ok(if mistakes.is_empty() { Ok(items) } else { Err(mistakes) })
}

fn item(number: u32, file: &Path, mut node: Node, syntax: Syntax, app: &str) -> Result<Item, Vec<Mistake>> {
    let whole = node.clone();
    let told = |fault: Fault| Mistake { file: file.to_owned(), fault };
    let mut mistakes = Vec::new();
    let mut name = |key: &str| {
        let read = node.take(key).map(|entry| entry.node.read::<String>().map_err(|faults| (entry, faults)));
        read.transpose().unwrap_or_else(|(_, faults)| {
            mistakes.extend(faults.into_iter().map(told));
            Some(String::new())
        })
    };
    let (named, job) = (name("app"), name("job"));
    // A file of TOML holds one job, which may be called what the file is called.
    let stem = || file.file_stem().filter(|_| syntax == Syntax::Toml).map(|stem| stem.to_string_lossy().into_owned());
    let job = job.or_else(stem).unwrap_or_else(|| {
        let problem = "missing field `job`: the name of the job".to_owned();
        mistakes.push(told(Fault { place: whole.place, problem }));
        String::new()
    });
    let spec = match node.read::<SpecFile>() {
        Err(faults) => {
            mistakes.extend(faults.into_iter().map(told));
            return Err(mistakes);
        }
        Ok(read) => read.into_spec(file.parent().unwrap_or(Path::new(""))),
    };
    let judged = match spec {
        Ok(spec) => match transport::settled(&spec) {
            Ok(settled) => Some((spec, settled)),
            Err(violations) => {
                mistakes.extend(violations.iter().map(|(field, problem)| mistake(file, &whole, field, problem)));
                None
            }
        },
        Err(wrong) => {
            let fault = |path: &[String], problem| Fault { place: whole.place_of(path), problem };
            mistakes.extend(wrong.into_iter().map(|wrong| told(fault(&wrong.path, wrong.problem))));
            None
        }
    };
    match judged.filter(|_| mistakes.is_empty()) {
        Some((spec, settled)) => {
            let app = named.unwrap_or_else(|| app.to_owned());
            Ok(Item { number, app, job, spec, settled, file: file.to_owned(), node: whole })
        }
        None => {
            mistakes.sort_by_key(|mistake| mistake.fault.place);
            Err(mistakes)
        }
    }
}

/// Turns what the server says of a field into what it is in the file.
fn mistake(file: &Path, node: &Node, field: &str, problem: &str) -> Mistake {
    let path = parts(field);
    let name = path.iter().filter(|part| *part != "when").map(String::as_str).collect::<Vec<_>>().join(".");
    let problem = if name.is_empty() { problem.to_owned() } else { format!("{name} {problem}") };
    Mistake { file: file.to_owned(), fault: Fault { place: node.place_of(&path), problem } }
}

/// The parts of a field's path, such as `spec.triggers["nightly"].exclude[2]`.
fn parts(field: &str) -> Vec<String> {
    let (mut parts, mut part, mut in_quotes, mut in_brackets) = (Vec::new(), String::new(), false, false);
    for c in field.chars() {
        match c {
            '"' => in_quotes = !in_quotes,
            _ if in_quotes => part.push(c),
            '[' | ']' => {
                parts.push(std::mem::take(&mut part));
                in_brackets = c == '[';
            }
            '.' if !in_brackets => parts.push(std::mem::take(&mut part)),
            c => part.push(c),
        }
    }
    parts.push(part);
    parts.retain(|part| !part.is_empty());
    if parts.first().is_some_and(|first| first == "spec") {
        parts.remove(0);
    }
    parts
}

/// A job that two documents define would be what the later one says, and change back with each apply.
fn twice(items: &[Item], mistakes: &mut Vec<Mistake>) {
    let mut seen: BTreeMap<(&str, &str), &Item> = BTreeMap::new();
    for item in items {
        if let Some(first) = seen.get(&(item.app.as_str(), item.job.as_str())) {
            let problem = format!("job {:?} stands at {} already: keep one of them", item.job, first.place());
            let fault = Fault { place: item.node.place_of(&["job".to_owned()]), problem };
            mistakes.push(Mistake { file: item.file.clone(), fault });
        } else {
            seen.insert((&item.app, &item.job), item);
        }
    }
}

/// The files that are meant, in order: what is named as it is named, and what lies in a folder by name.
fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            let before = found.len();
            walk(path, 0, &mut found)?;
            if found.len() == before {
                let what = format!("{} holds no file whose name ends with .yaml, .yml or .toml", path.display());
                return Err(Failure::usage(what));
            }
        } else {
            found.push(path.clone());
        }
    }
    Ok(found)
}

fn walk(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), Failure> {
    if depth > FOLDER_DEPTH_MAX {
        return Err(Failure::usage(format!("{} lies too deep: name it with -f by itself", folder.display())));
    }
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut paths: Vec<PathBuf> =
        entries.map_err(|error| Failure::file("read", folder, &error))?.iter().map(fs::DirEntry::path).collect();
    paths.sort();
    let is_hidden = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    for path in paths.into_iter().filter(|path| !is_hidden(path)) {
        // A link to a folder may lead round in a circle.
        if path.is_dir() && !path.is_symlink() {
            walk(&path, depth + 1, found)?;
        } else if path.is_file() && has_extension(&path, &["yaml", "yml", "toml"]) {
            found.push(path);
        }
    }
    Ok(())
}

fn has_extension(path: &Path, any: &[&str]) -> bool {
    path.extension().is_some_and(|extension| any.iter().any(|one| extension.eq_ignore_ascii_case(one)))
}

#[cfg(test)]
mod tests;
