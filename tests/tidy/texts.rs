//! What holds for every text of the tree, whatever its language: nothing is left for later, nothing names a place on
//! some machine, what is linked is there, and each RPC says whether it may be sent again.

use crate::{Fault, source};

/// Words that put something off. Written in two parts, so that this file does not trip over itself.
const PUT_OFF: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX")];

/// Folders that exist on one machine only, in two parts for the same reason.
const PLACES: &[&str] = &[concat!("/ro", "ot"), concat!("/ho", "me/"), concat!("/Us", "ers/"), concat!("/wo", "rk/")];

/// What is left for later is an issue and not a comment.
pub(crate) fn left_for_later(path: &str, text: &str) -> Vec<Fault> {
    let whole = |_: &str, before, after| !is_name(before) && !is_name(after);
    let message = |word: &str| format!("`{word}` puts something off: do it, or file an issue and say what holds now");
    find(path, text, PUT_OFF, whole, message)
}

/// A path that begins at the root of some machine leads nowhere on another.
pub(crate) fn machine_paths(path: &str, text: &str) -> Vec<Fault> {
    let absolute = |place: &str, before: Option<char>, after| {
        let relative = is_name(before) || before.is_some_and(|c| ".})*~]-".contains(c));
        !relative && (place.ends_with('/') || !is_name(after))
    };
    let message = |place: &str| format!("`{place}` is a place on one machine: use a relative path or a variable");
    find(path, text, PLACES, absolute, message)
}

fn is_name(c: Option<char>) -> bool {
    c.is_some_and(|c| c.is_alphanumeric() || c == '_')
}

/// Every occurrence of one of these words that its neighbours do not excuse.
fn find(
    path: &str,
    text: &str,
    words: &[&str],
    counts: impl Fn(&str, Option<char>, Option<char>) -> bool,
    message: impl Fn(&str) -> String,
) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for word in words {
            let hit = |at: usize| counts(word, line[..at].chars().next_back(), line[at + word.len()..].chars().next());
            if line.match_indices(word).any(|(at, _)| hit(at)) {
                faults.push(Fault::new(path, number + 1, message(word)));
            }
        }
    }
    faults
}

/// How many RPCs a proto file declares.
pub(crate) fn rpcs(text: &str) -> usize {
    rpc_bodies(text).len()
}

/// Meshes and libraries decide by it whether to send a call again, so no RPC leaves it open.
pub(crate) fn idempotency(path: &str, text: &str) -> Vec<Fault> {
    let open = rpc_bodies(text).into_iter().filter(|(_, _, body)| {
        let level = body.split_once("idempotency_level").map(|(_, rest)| rest.trim_start_matches([' ', '=']));
        !level.is_some_and(|level| level.starts_with("IDEMPOTENT") || level.starts_with("NO_SIDE_EFFECTS"))
    });
    open.map(|(line, name, _)| {
        let message =
            format!("rpc {name} has no idempotency_level: IDEMPOTENT for a mutation, NO_SIDE_EFFECTS for a read");
        Fault::new(path, line, message)
    })
    .collect()
}

/// Line, name and body of each RPC; the body is empty if it ends in a semicolon.
fn rpc_bodies(text: &str) -> Vec<(usize, String, String)> {
    let code = source::blank(text);
    let lines: Vec<&str> = code.lines().collect();
    let mut out = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(declared) = line.trim_start().strip_prefix("rpc ") else { continue };
        let name = declared.split(['(', ' ']).next().unwrap_or_default().to_owned();
        let rest = lines[at..].join("\n");
        let body = match rest.find(['{', ';']) {
            Some(open) if rest[open..].starts_with('{') => rest[open..].split('}').next().unwrap_or_default(),
            _ => "",
        };
        out.push((at + 1, name, body.to_owned()));
    }
    out
}

/// Every relative link of a Markdown file leads to something that exists.
pub(crate) fn links(path: &str, text: &str, exists: impl Fn(&str) -> bool) -> Vec<Fault> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut faults = Vec::new();
    let mut fenced = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        for target in targets(line) {
            let file = target.split(['#', '?']).next().unwrap_or_default();
            let elsewhere = file.is_empty() || target.contains("://") || target.starts_with("mailto:");
            if !elsewhere && !normal(folder, file).is_some_and(|file| exists(&file)) {
                faults.push(Fault::new(path, number + 1, format!("`{target}` leads nowhere: mend the link")));
            }
        }
    }
    faults
}

/// The targets of `[text](target)` and of `[name]: target` in a line, code spans left out.
fn targets(line: &str) -> Vec<String> {
    let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
    let mut out = Vec::new();
    for (at, _) in prose.match_indices("](") {
        let inner = prose[at + 2..].split(')').next().unwrap_or_default();
        out.extend(inner.split_whitespace().next().map(str::to_owned));
    }
    if prose.starts_with('[')
        && let Some((_, target)) = prose.split_once("]: ")
    {
        out.extend(target.split_whitespace().next().map(str::to_owned));
    }
    out
}

/// The path from the root of the tree; none if it leads out of it.
fn normal(folder: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_off_is_caught() {
        for word in PUT_OFF {
            assert_eq!(left_for_later("a.md", &format!("b\n// {word}: c"))[0].line, 2);
            assert!(left_for_later("a.md", &format!("{word}S and A{word}")).is_empty());
        }
    }

    #[test]
    fn a_place_on_a_machine_is_caught() {
        for place in PLACES {
            let inside = format!("{}/x", place.trim_end_matches('/'));
            assert_eq!(machine_paths("a.md", &format!("cd {inside}")).len(), 1, "{inside}");
            assert_eq!(machine_paths("a.sh", &format!("A={inside}")).len(), 1, "{inside}");
            assert!(machine_paths("a.md", &format!("see docs{inside}")).is_empty(), "{inside}");
        }
        assert_eq!(machine_paths("a.sh", &format!("cd {}", PLACES[0])).len(), 1);
        assert!(machine_paths("a.md", &format!("{}ed in", PLACES[0])).is_empty());
    }

    #[test]
    fn an_rpc_that_leaves_it_open_is_caught() {
        let text = "service A {\n  // option idempotency_level = IDEMPOTENT;\n  rpc B(C) returns (D);\n  rpc E(F)\n      returns (G) {\n    option idempotency_level = NO_SIDE_EFFECTS;\n  }\n  rpc H(I) returns (J) {\n    option deprecated = true;\n  }\n}\n";
        let lines: Vec<usize> = idempotency("a.proto", text).iter().map(|fault| fault.line).collect();
        assert_eq!(lines, [3, 8]);
        assert_eq!(rpcs(text), 3);
    }

    #[test]
    fn a_link_that_leads_nowhere_is_caught() {
        let text = "[a](../b.md#c) [d](e.md) [f](https://g.example) [h](#i)\n`[j](k)`\n```\n[l](m)\n```\n[n]: o.md\n[p](../../q)\n";
        let known = |file: &str| file == "b.md";
        let lines: Vec<usize> = links("docs/r.md", text, known).iter().map(|fault| fault.line).collect();
        assert_eq!(lines, [1, 6, 7]);
    }
}
