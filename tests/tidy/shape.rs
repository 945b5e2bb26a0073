//! The form of the code: how a file opens, how long files and functions are, and what may not stand in them. What the
//! code says is not its business.

use crate::{Fault, source::Source};

/// No file is longer.
pub(crate) const FILE_LINES_MAX: usize = 500;

/// No function is longer, from the line of its name to the line of its closing brace.
pub(crate) const FUNCTION_LINES_MAX: usize = 70;

/// Every file says first what it owns and what it must never do.
pub(crate) fn head(source: &Source) -> Vec<Fault> {
    if source.text.starts_with("//! ") {
        return Vec::new();
    }
    let message = "a file opens with `//!`: say what it owns, and what it must never do";
    vec![Fault::new(&source.path, 1, message)]
}

/// No file is too long.
pub(crate) fn file_length(path: &str, text: &str, exceptions: &[(&str, usize)]) -> Vec<Fault> {
    let advice = format!("split it: {FILE_LINES_MAX} lines are the most");
    ratchet(text.lines().count(), FILE_LINES_MAX, listed(exceptions, path), &advice)
        .map(|message| Fault::new(path, 1, message))
        .into_iter()
        .collect()
}

/// No function is too long.
pub(crate) fn function_lengths(source: &Source, exceptions: &[(&str, usize)]) -> Vec<Fault> {
    let advice = format!("name its parts: {FUNCTION_LINES_MAX} lines are the most for a function");
    let judge = |(key, line, length): (String, usize, usize)| {
        let message = ratchet(length, FUNCTION_LINES_MAX, listed(exceptions, &key), &advice)?;
        Some(Fault::new(&source.path, line, format!("{key}: {message}")))
    };
    functions(source).into_iter().filter_map(judge).collect()
}

fn listed(exceptions: &[(&str, usize)], key: &str) -> Option<usize> {
    exceptions.iter().find(|(name, _)| *name == key).map(|(_, length)| *length)
}

/// A listed length may shrink, and the list must follow it down.
fn ratchet(length: usize, length_max: usize, listed: Option<usize>, advice: &str) -> Option<String> {
    match listed {
        None if length > length_max => Some(format!("{length} lines; {advice}")),
        Some(_) if length <= length_max => Some(format!("{length} lines now: strike its exception from tests/tidy.rs")),
        Some(listed) if length > listed => Some(format!("{length} lines, and it was {listed}; {advice}")),
        Some(listed) if length < listed => Some(format!("{length} lines now: lower its exception in tests/tidy.rs")),
        _ => None,
    }
}

/// Each function with a body, as its key `path::name`, the line it begins at, and its length.
pub(crate) fn functions(source: &Source) -> Vec<(String, usize, usize)> {
    let lines: Vec<&str> = source.code.lines().collect();
    let mut out = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if let Some(name) = function_name(line)
            && let Some(length) = body_length(&lines[at..])
        {
            out.push((format!("{}::{name}", source.path), at + 1, length));
        }
    }
    out
}

/// The name of the function that a line declares; `fn(u32)` is a type and declares none.
fn function_name(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    if before.ends_with(|c: char| c.is_alphanumeric() || c == '_') {
        return None;
    }
    let name = after.split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
    (!name.is_empty()).then_some(name)
}

/// How many lines it takes until the brace that closes the first one; none if there is no body.
fn body_length(lines: &[&str]) -> Option<usize> {
    let (mut braces, mut others) = (0_usize, 0_usize);
    for (number, line) in lines.iter().enumerate() {
        // What stands before `fn` on its line belongs to something else.
        let skipped = if number == 0 { line.find("fn ").unwrap_or(0) } else { 0 };
        for c in line[skipped..].chars() {
            match c {
                '(' | '[' => others += 1,
                ')' | ']' => others = others.saturating_sub(1),
                '{' => braces += 1,
                '}' if braces <= 1 => return (braces == 1).then_some(number + 1),
                '}' => braces -= 1,
                ';' if braces == 0 && others == 0 => return None,
                _ => {}
            }
        }
    }
    None
}

/// A lint is silenced by `#[expect]`, and never without a reason.
pub(crate) fn bare_allow(source: &Source) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (at, _) in source.code.match_indices("allow(") {
        let (before, rest) = source.code.split_at(at);
        // An attribute is what stands behind `#[`, `#![` or, within one, `cfg_attr(`.
        let opened = before.rfind('#').map_or("", |hash| &before[hash..]);
        let plain = matches!(opened, "#[" | "#![");
        let conditional = opened.contains("cfg_attr(") && !opened.contains(']');
        let end = rest.find(']').unwrap_or(rest.len());
        if (plain || conditional) && !rest[..end].contains("reason =") {
            let message =
                "lints are not silenced without a reason: mend the code, or use #[expect(.., reason = \"..\")]";
            faults.push(Fault::new(&source.path, before.lines().count().max(1), message));
        }
    }
    faults
}

/// Tests wait for a condition or move the test clock; a fixed time is too long on one machine and too short on another.
pub(crate) fn sleeps(source: &Source, exceptions: &[(&str, &str)]) -> Vec<Fault> {
    if exceptions.iter().any(|(path, reason)| *path == source.path && !reason.is_empty()) {
        return Vec::new();
    }
    let sleeps = |segments: &[String]| match segments {
        [.., module, name] => matches!(module.as_str(), "thread" | "time") && name.starts_with("sleep"),
        _ => false,
    };
    let found = source.paths.iter().filter(|path| source.is_test(path.line) && sleeps(&path.segments));
    found
        .map(|path| {
            let message = "a test does not sleep: wait for a condition, or move the test clock (or, with its reason, \
                           SLEEPERS in tests/tidy.rs)";
            Fault::new(&source.path, path.line, message)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, code: &str) -> Source {
        Source::parse(path, code)
    }

    #[test]
    fn a_file_without_a_head_is_caught() {
        assert!(head(&source("a.rs", "//! Owns a.\n")).is_empty());
        assert_eq!(head(&source("a.rs", "use b;\n//! Owns a.\n")).len(), 1);
        assert_eq!(head(&source("a.rs", "")).len(), 1);
    }

    #[test]
    fn a_long_file_is_caught_and_an_exception_only_shrinks() {
        let lines = |count: usize| "x\n".repeat(count);
        assert!(file_length("a.rs", &lines(500), &[]).is_empty());
        assert_eq!(file_length("a.rs", &lines(501), &[]).len(), 1);
        assert!(file_length("a.rs", &lines(600), &[("a.rs", 600)]).is_empty());
        for count in [601, 599, 400] {
            assert_eq!(file_length("a.rs", &lines(count), &[("a.rs", 600)]).len(), 1, "{count}");
        }
    }

    #[test]
    fn a_long_function_is_caught_and_an_exception_only_shrinks() {
        let body = |count: usize| {
            format!(
                "impl A {{\n    pub async fn b(\n        c: D,\n    ) {{\n{}    }}\n}}\n",
                "        e();\n".repeat(count)
            )
        };
        let judge = |count, exceptions: &[(&str, usize)]| function_lengths(&source("a.rs", &body(count)), exceptions);
        assert!(judge(66, &[]).is_empty());
        let faults = judge(67, &[]);
        assert_eq!((faults.len(), faults[0].line), (1, 2));
        assert!(faults[0].message.starts_with("a.rs::b: 71 lines"), "{}", faults[0].message);
        assert!(judge(67, &[("a.rs::b", 71)]).is_empty());
        assert_eq!(judge(68, &[("a.rs::b", 71)]).len(), 1);
        assert_eq!(judge(10, &[("a.rs::b", 71)]).len(), 1);
    }

    #[test]
    fn what_only_looks_like_a_function_is_none() {
        let code =
            "trait A { fn b(&self); fn c() -> [u8; 4] { d(\"}\") } }\nstruct E { f: fn(u8), g: Gfn }\n// fn h() {}\n";
        let found: Vec<(String, usize, usize)> = functions(&source("a.rs", code));
        assert!(found.iter().all(|(_, line, length)| (*line, *length) == (1, 1)), "{found:?}");
    }

    #[test]
    fn a_bare_allow_is_caught() {
        let count = |code| bare_allow(&source("a.rs", code)).len();
        assert_eq!(count("#[allow(dead_code)]\nfn a() {}"), 1);
        assert_eq!(count("#![allow(\n    dead_code\n)]"), 1);
        assert_eq!(count("#[cfg_attr(test, allow(dead_code))]"), 1);
        assert_eq!(count("#[expect(dead_code, reason = \"b\")]"), 0);
        assert_eq!(count("#[allow(dead_code, reason = \"generated\")]"), 0);
        assert_eq!(count("#[a]\nfn b() { may.allow(c) } // #[allow(d)]"), 0);
    }

    #[test]
    fn a_sleeping_test_is_caught() {
        let test = "#[cfg(test)]\nmod tests { fn a() { std::thread::sleep(B) } }";
        assert_eq!(sleeps(&source("server/src/a.rs", test), &[]).len(), 1);
        assert_eq!(sleeps(&source("tests/a.rs", "use tokio::{task, time::sleep};"), &[]).len(), 1);
        assert_eq!(sleeps(&source("tests/a.rs", "use tokio::time::sleep;"), &[("tests/a.rs", "a poll")]).len(), 0);
        assert_eq!(sleeps(&source("client/rust/src/a.rs", "use tokio::time::sleep;"), &[]).len(), 0);
    }
}
