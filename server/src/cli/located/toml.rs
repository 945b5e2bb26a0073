//! TOML, as located values. A date is text, as it is in YAML.

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{DEPTH_MAX, Entry, Fault, Node, Place, Value};

/// Reads a file.
pub(super) fn document(text: &str) -> Result<Node, Fault> {
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        Fault { place: place(text, at), problem: error.message().to_owned() }
    })?;
    // The first thing that is there is where the whole is said to be.
    let begin = text.find(|c: char| !c.is_whitespace()).unwrap_or_default();
    Ok(Node { place: place(text, begin), value: map(text, table.get_ref(), 0)? })
}

/// The place of a byte.
fn place(text: &str, at: usize) -> Place {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    Place { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1 }
}

fn map(text: &str, table: &DeTable<'_>, depth: usize) -> Result<Value, Fault> {
    let entry = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
        let name: &std::borrow::Cow<'_, str> = key.get_ref();
        let node = node(text, value, depth + 1)?;
        Ok(Entry { place: place(text, key.span().start), key: name.clone().into_owned(), node })
    };
    let mut entries = table.iter().map(entry).collect::<Result<Vec<_>, Fault>>()?;
    entries.sort_by_key(|entry| entry.place);
    Ok(Value::Map(entries))
}

fn node(text: &str, spanned: &Spanned<DeValue<'_>>, depth: usize) -> Result<Node, Fault> {
    let place = place(text, spanned.span().start);
    let wrong = |problem: &str| Fault { place, problem: problem.to_owned() };
    if depth > DEPTH_MAX {
        return Err(wrong("this lies too deep: a file has at most 64 levels"));
    }
    let value = match spanned.get_ref() {
        DeValue::String(text) => Value::Text(text.clone().into_owned()),
        DeValue::Integer(number) => {
            let parsed = i64::from_str_radix(number.as_str(), number.radix());
            Value::Int(parsed.map_err(|_| wrong("this number has too many digits"))?)
        }
        DeValue::Float(number) => {
            Value::Float(number.as_str().parse().map_err(|_| wrong("this is no number that can be read"))?)
        }
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Datetime(at) => Value::Text(at.to_string()),
        DeValue::Array(items) => {
            Value::List(items.iter().map(|item| node(text, item, depth + 1)).collect::<Result<_, _>>()?)
        }
        DeValue::Table(table) => map(text, table, depth)?,
    };
    Ok(Node { place, value })
}
