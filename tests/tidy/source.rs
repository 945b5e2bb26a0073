//! A Rust source as the rules see it: its code without comments and strings, its paths, and which of its lines are
//! tests. It knows just enough of the grammar for that, and no rule.

use std::ops::RangeInclusive;

/// One source.
pub(crate) struct Source {
    /// From the root of the repository.
    pub(crate) path: String,
    /// As it stands in the file.
    pub(crate) text: String,
    /// The same lines with every comment and every string blanked.
    pub(crate) code: String,
    /// Every path in the code, `use` trees spread out.
    pub(crate) paths: Vec<Path>,
    test_lines: Vec<RangeInclusive<usize>>,
}

/// A path in the code, such as `crate::store::Row`; a single name is one too.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Path {
    /// Where.
    pub(crate) line: usize,
    /// Its names.
    pub(crate) segments: Vec<String>,
    /// Whether it is imported rather than just used.
    pub(crate) import: bool,
    /// In how many inline modules it stands, which is what `super` counts from.
    pub(crate) inline: usize,
}

impl Source {
    /// Parses a text.
    pub(crate) fn parse(path: &str, text: &str) -> Self {
        let code = blank(text);
        let tokens = tokens(&code);
        let whole = ["tests", "benches"].iter().any(|folder| path.split('/').any(|part| part == *folder));
        let mut test_lines = test_lines(&tokens);
        if whole {
            test_lines.push(0..=usize::MAX);
        }
        Self { path: path.to_owned(), text: text.to_owned(), paths: paths(&tokens), test_lines, code }
    }

    /// Whether a line belongs to tests only.
    pub(crate) fn is_test(&self, line: usize) -> bool {
        self.test_lines.iter().any(|range| range.contains(&line))
    }

    /// The module that the file is, within its crate: `server/src/store/lmdb.rs` is `[store, lmdb]`.
    pub(crate) fn module(&self) -> Vec<String> {
        let inner = self.path.rsplit_once("src/").map_or(self.path.as_str(), |(_, inner)| inner);
        let mut module: Vec<String> = inner.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
        if module.last().is_some_and(|last| matches!(last.as_str(), "mod" | "lib" | "main")) {
            module.pop();
        }
        module
    }

    /// The path with `self` and `super` spelled out from the root of the crate.
    pub(crate) fn resolve(&self, path: &Path) -> Vec<String> {
        let supers = path.segments.iter().take_while(|segment| *segment == "super").count();
        if supers == 0 && path.segments[0] != "self" {
            return path.segments.clone();
        }
        let up = supers.saturating_sub(path.inline);
        let mut module = self.module();
        module.truncate(module.len().saturating_sub(up));
        let rest = path.segments.iter().skip_while(|segment| matches!(segment.as_str(), "super" | "self")).cloned();
        ["crate".to_owned()].into_iter().chain(module).chain(rest).collect()
    }
}

/// Marks the files that are declared as `#[cfg(test)] mod name;` somewhere, and all below them, as tests.
pub(crate) fn mark_test_modules(sources: &mut [Source]) {
    let mut folders = Vec::new();
    for source in sources.iter() {
        let stem = source.path.trim_end_matches(".rs");
        let parent = stem.rsplit_once('/').map_or("", |(parent, _)| parent);
        let own = matches!(stem.rsplit('/').next(), Some("mod" | "lib" | "main"));
        let folder = if own { parent } else { stem };
        for (line, code) in source.code.lines().enumerate() {
            let name = code.trim().strip_suffix(';').and_then(|code| code.rsplit_once("mod ")).map(|(_, name)| name);
            if let Some(name) = name.filter(|_| source.is_test(line + 1)) {
                folders.push(format!("{folder}/{name}"));
            }
        }
    }
    for source in sources {
        if folders.iter().any(|folder| crate::tree::under(&source.path, folder)) {
            source.test_lines.push(0..=usize::MAX);
        }
    }
}

/// A name or a mark of the code, and where it stands.
#[derive(Debug, Clone, Copy)]
struct Token<'a> {
    text: &'a str,
    line: usize,
}

impl Token<'_> {
    fn is_name(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphanumeric() || c == '_')
    }
}

/// The same text with comments, strings and character literals made blank; lines stay where they are.
pub(crate) fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match literal_end(&chars, at) {
            Some(end) => end.min(chars.len()),
            None => {
                out.push(chars[at]);
                at += 1;
                continue;
            }
        };
        out.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
        at = end;
    }
    out
}

/// Where the comment or literal ends that begins here, if one does.
fn literal_end(chars: &[char], at: usize) -> Option<usize> {
    let next = chars.get(at + 1).copied();
    let find =
        |from: usize, stop: &dyn Fn(usize) -> bool| (from..chars.len()).find(|i| stop(*i)).unwrap_or(chars.len());
    match chars[at] {
        '/' if next == Some('/') => Some(find(at, &|i| chars[i] == '\n')),
        '/' if next == Some('*') => Some(block_comment_end(chars, at)),
        'r' if !after_name(chars, at) => raw_string_end(chars, at),
        '"' => Some(quoted_end(chars, at, '"')),
        // A lifetime has no closing quote right behind its first letter.
        '\'' if next == Some('\\') => Some(quoted_end(chars, at, '\'')),
        '\'' if chars.get(at + 2) == Some(&'\'') => Some(at + 3),
        _ => None,
    }
}

/// Whether a name goes on here; the `b` of `br"…"` does not count as one.
fn after_name(chars: &[char], at: usize) -> bool {
    let before: String = chars[..at].iter().rev().take_while(|c| c.is_alphanumeric() || **c == '_').collect();
    !matches!(before.as_str(), "" | "b" | "c")
}

fn block_comment_end(chars: &[char], start: usize) -> usize {
    let (mut depth, mut at) = (0, start);
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn raw_string_end(chars: &[char], at: usize) -> Option<usize> {
    let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
    let open = at + 1 + hashes;
    if chars.get(open) != Some(&'"') {
        return None;
    }
    let closes =
        |i: &usize| chars[*i] == '"' && chars[*i + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes;
    Some((open + 1..chars.len()).find(closes).map_or(chars.len(), |i| i + 1 + hashes))
}

fn quoted_end(chars: &[char], start: usize, quote: char) -> usize {
    let mut at = start + 1;
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    for (number, row) in code.lines().enumerate() {
        let mut rest = row.trim_start();
        while let Some(first) = rest.chars().next() {
            let name = |c: char| c.is_alphanumeric() || c == '_';
            let length = match first {
                c if name(c) => rest.find(|c| !name(c)).unwrap_or(rest.len()),
                ':' if rest.starts_with("::") => 2,
                c => c.len_utf8(),
            };
            tokens.push(Token { text: &rest[..length], line: number + 1 });
            rest = rest[length..].trim_start();
        }
    }
    tokens
}

fn paths(tokens: &[Token<'_>]) -> Vec<Path> {
    let mut out: Vec<Path> = Vec::new();
    let (mut at, mut depth, mut modules) = (0, 0_usize, Vec::new());
    while at < tokens.len() {
        let (token, next) = (tokens[at], tokens.get(at + 1).map_or("", |next| next.text));
        let first = out.len();
        let mut import = false;
        match token.text {
            "{" => {
                depth += 1;
                if at >= 2 && tokens[at - 2].text == "mod" {
                    modules.push(depth);
                }
            }
            "}" => {
                modules.pop_if(|module| *module == depth);
                depth = depth.saturating_sub(1);
            }
            // `use<'a>` is a bound and imports nothing.
            "use" if next != "<" => {
                import = true;
                at += 1;
                use_tree(tokens, &mut at, &[], &mut out);
                at -= 1;
            }
            "extern" if next == "crate" => {
                import = true;
                at += 2;
                use_tree(tokens, &mut at, &[], &mut out);
                at -= 1;
            }
            _ if token.is_name() => {
                let mut segments = vec![token.text.to_owned()];
                while tokens.get(at + 1).is_some_and(|t| t.text == "::")
                    && tokens.get(at + 2).is_some_and(Token::is_name)
                {
                    at += 2;
                    segments.push(tokens[at].text.to_owned());
                }
                out.push(Path { line: token.line, segments, import: false, inline: 0 });
            }
            _ => {}
        }
        for path in &mut out[first..] {
            path.inline = modules.len();
            path.import = import;
        }
        at += 1;
    }
    out
}

/// Spreads out a `use` tree; stops at the mark behind it.
fn use_tree(tokens: &[Token<'_>], at: &mut usize, prefix: &[String], out: &mut Vec<Path>) {
    let mut segments = prefix.to_vec();
    let mut line = 0;
    while let Some(token) = tokens.get(*at) {
        match token.text {
            "::" => *at += 1,
            "{" => {
                *at += 1;
                while tokens.get(*at).is_some_and(|token| !matches!(token.text, "}" | ";")) {
                    use_tree(tokens, at, &segments, out);
                    if tokens.get(*at).is_some_and(|token| token.text == ",") {
                        *at += 1;
                    }
                }
                *at += 1;
                return;
            }
            "as" => *at += 2,
            "*" => *at += 1,
            "self" if !prefix.is_empty() => {
                line = token.line;
                *at += 1;
            }
            _ if token.is_name() => {
                line = token.line;
                segments.push(token.text.to_owned());
                *at += 1;
            }
            _ => break,
        }
    }
    if line > 0 {
        out.push(Path { line, segments, import: true, inline: 0 });
    } else if tokens.get(*at).is_some_and(|token| !matches!(token.text, "," | "}" | ";")) {
        // Not a tree, as within a macro's pattern: step on, so that the caller does.
        *at += 1;
    }
}

/// The lines of every item that stands under `#[cfg(test)]`.
fn test_lines(tokens: &[Token<'_>]) -> Vec<RangeInclusive<usize>> {
    let mut ranges = Vec::new();
    for at in 0..tokens.len() {
        let texts: Vec<&str> = tokens[at..].iter().take(8).map(|token| token.text).collect();
        match texts.as_slice() {
            ["#", "!", "[", "cfg", "(", "test", ")", ..] => ranges.push(0..=usize::MAX),
            ["#", "[", "cfg", "(", "test", ")", "]", ..] | ["#", "[", "cfg", "(", "all", "(", "test", ..] => {
                ranges.push(tokens[at].line..=item_end(&tokens[at..]));
            }
            _ => {}
        }
    }
    ranges
}

/// The last line of the item that these tokens begin with: its closing brace, or the semicolon of one without a body.
fn item_end(tokens: &[Token<'_>]) -> usize {
    let mut depth = 0_i32;
    for token in tokens {
        match token.text {
            "{" | "(" | "[" => depth += 1,
            ")" | "]" => depth -= 1,
            "}" => {
                depth -= 1;
                if depth == 0 {
                    return token.line;
                }
            }
            ";" if depth == 0 => return token.line,
            _ => {}
        }
    }
    usize::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(code: &str) -> Vec<String> {
        Source::parse("server/src/a/b.rs", code).paths.iter().map(|path| path.segments.join("::")).collect()
    }

    #[test]
    fn comments_and_literals_are_blanked_and_lines_stay() {
        let code = "a /* x /* y */ z */ b // c\n\"d\\\"e\" f r#\"g\"h\"# 'i' '\\'' br\"j\" &'k l";
        let kept: Vec<String> = blank(code).lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(kept, ["ab", "fb&'kl"]);
    }

    #[test]
    fn use_trees_are_spread_out() {
        let code = "pub use a::{b::{self, c as d}, e::*, f};\nextern crate g;\nfn h() -> impl X + use<'_> { i::j() }";
        let expected = ["a::b", "a::b::c", "a::e", "a::f", "g", "i::j"];
        let spread: Vec<String> = spread(code).into_iter().filter(|path| path.contains("::") || path == "g").collect();
        assert_eq!(spread, expected);
    }

    #[test]
    fn super_counts_inline_modules() {
        let source = Source::parse("server/src/a/b.rs", "use super::c;\nmod d { use super::e; use super::super::f; }");
        let resolved: Vec<String> =
            source.paths.iter().filter(|path| path.import).map(|path| source.resolve(path).join("::")).collect();
        assert_eq!(resolved, ["crate::a::c", "crate::a::b::e", "crate::a::f"]);
    }

    #[test]
    fn code_under_cfg_test_is_a_test() {
        let source = Source::parse("server/src/a.rs", "fn a() {}\n#[cfg(test)]\nmod b {\n fn c() {}\n}\nfn d() {}\n");
        let tests: Vec<bool> = (1..=6).map(|line| source.is_test(line)).collect();
        assert_eq!(tests, [false, true, true, true, true, false]);
    }

    #[test]
    fn a_file_declared_under_cfg_test_is_a_test() {
        let mut sources = vec![
            Source::parse("server/src/a.rs", "#[cfg(test)]\nmod b;\nmod c;\n"),
            Source::parse("server/src/a/b.rs", "fn d() {}"),
            Source::parse("server/src/a/c.rs", "fn d() {}"),
        ];
        mark_test_modules(&mut sources);
        assert!(sources[1].is_test(1));
        assert!(!sources[2].is_test(1));
    }
}
