//! A tree of values with their order: written as YAML, or compared leaf by leaf.

use serde_json::Value;

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Tree {
    Text(String),
    Number(String),
    /// Something of the caller's, which is written on one line.
    Json(Value),
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

/// A leaf that differs; what is absent on a side is nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// The names on the way to it, with points between them.
    pub(crate) field: String,
    /// What is there.
    pub(crate) old: Option<String>,
    /// What the file says.
    pub(crate) new: Option<String>,
}

impl Tree {
    /// What stands under a name.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Map(fields) => fields.iter().find(|(field, _)| field == name).map(|(_, tree)| tree),
            _ => None,
        }
    }

    /// Leaves out the fields that `other` has alike.
    pub(crate) fn without(self, other: &Self) -> Self {
        match self {
            Self::Map(fields) => {
                Self::Map(fields.into_iter().filter(|(name, tree)| other.get(name) != Some(tree)).collect())
            }
            whole => whole,
        }
    }

    /// Where this one and a newer one differ.
    pub(crate) fn differences(&self, newer: &Self) -> Vec<Difference> {
        let mut found = Vec::new();
        compare("", Some(self), Some(newer), &mut found);
        found
    }

    /// Writes it as YAML; lines end with a line end.
    pub(crate) fn yaml(&self) -> String {
        let mut out = String::new();
        self.write(0, &mut out);
        out
    }

    fn write(&self, depth: usize, out: &mut String) {
        let indent = "  ".repeat(depth);
        match self {
            Self::Map(fields) => {
                for (name, tree) in fields {
                    out.push_str(&format!("{indent}{}:", quoted(name)));
                    match tree {
                        Self::Map(fields) if !fields.is_empty() => {
                            out.push('\n');
                            tree.write(depth + 1, out);
                        }
                        Self::List(items) if items.iter().any(|item| matches!(item, Self::Map(_))) => {
                            out.push('\n');
                            items.iter().for_each(|item| out.push_str(&format!("{indent}  - {}\n", item.line())));
                        }
                        _ => out.push_str(&format!(" {}\n", tree.line())),
                    }
                }
            }
            _ => out.push_str(&format!("{indent}{}\n", self.line())),
        }
    }

    /// On one line.
    pub(crate) fn line(&self) -> String {
        match self {
            Self::Text(text) => quoted(text),
            Self::Number(number) => number.clone(),
            Self::Json(value) => value.to_string(),
            Self::List(items) => format!("[{}]", items.iter().map(Self::line).collect::<Vec<_>>().join(", ")),
            Self::Map(fields) => {
                let pairs = fields.iter().map(|(name, tree)| format!("{}: {}", quoted(name), tree.line()));
                format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
            }
        }
    }
}

fn compare(field: &str, old: Option<&Tree>, new: Option<&Tree>, found: &mut Vec<Difference>) {
    if old == new {
        return;
    }
    if let (Some(Tree::Map(old)), Some(Tree::Map(new))) = (old, new) {
        let below = |name: &str| if field.is_empty() { name.to_owned() } else { format!("{field}.{name}") };
        let of = |fields: &'_ [(String, Tree)], name: &str| fields.iter().position(|(other, _)| other == name);
        for (name, tree) in old {
            compare(&below(name), Some(tree), of(new, name).map(|at| &new[at].1), found);
        }
        for (name, tree) in new.iter().filter(|(name, _)| of(old, name).is_none()) {
            compare(&below(name), None, Some(tree), found);
        }
        return;
    }
    found.push(Difference { field: field.to_owned(), old: old.map(Tree::line), new: new.map(Tree::line) });
}

/// Text as YAML, without quotes where nothing else could be meant by it.
fn quoted(text: &str) -> String {
    let is_word = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/'))
        && !matches!(
            text.to_ascii_lowercase().as_str(),
            "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n"
        );
    if is_word { text.to_owned() } else { Value::String(text.to_owned()).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&str, Tree)]) -> Tree {
        Tree::Map(fields.iter().map(|(name, tree)| ((*name).to_owned(), tree.clone())).collect())
    }

    fn text(text: &str) -> Tree {
        Tree::Text(text.to_owned())
    }

    #[test]
    fn text_that_could_be_something_else_is_quoted() {
        let tree = map(&[
            ("a", text("no")),
            ("b", text("08:00")),
            ("c", text("plain-text")),
            ("d", map(&[("1", Tree::List(vec![text("x y"), Tree::Number("3".to_owned())]))])),
        ]);
        assert_eq!(tree.yaml(), "a: \"no\"\nb: \"08:00\"\nc: plain-text\nd:\n  \"1\": [\"x y\", 3]\n");
    }

    #[test]
    fn leaves_that_differ_are_named_with_both_sides() {
        let old = map(&[("a", map(&[("b", text("x")), ("c", text("same"))])), ("gone", text("word"))]);
        let new = map(&[("a", map(&[("b", text("z")), ("c", text("same")), ("d", text("w"))]))]);
        let said: Vec<String> = old
            .differences(&new)
            .iter()
            .map(|found| format!("{} {:?} {:?}", found.field, found.old.as_deref(), found.new.as_deref()))
            .collect();
        assert_eq!(said, ["a.b Some(\"x\") Some(\"z\")", "a.d None Some(\"w\")", "gone Some(\"word\") None"]);
        assert!(old.differences(&old).is_empty());
    }
}
