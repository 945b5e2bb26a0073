//! YAML 1.2, as located values: the core schema, without anchors, aliases and tags, of which a small file can make a large
//! one. A key stands once in its map.

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput};

use super::{DEPTH_MAX, Entry, Fault, Node, Place, Value};

/// Reads the documents of a file.
pub(super) fn documents(text: &str) -> Result<Vec<Node>, Fault> {
    let mut reader = Reader { parser: Parser::new_from_str(text) };
    let mut documents = Vec::new();
    loop {
        match reader.next()? {
            (Event::StreamEnd, _) => return Ok(documents),
            (Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing, _) => {}
            (event, span) => {
                let node = reader.node(event, span, 0)?;
                // What is there between two separators may be nothing.
                if node.value != Value::Null {
                    documents.push(node);
                }
            }
        }
    }
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), Fault> {
        match self.parser.next_event() {
            Some(event) => event.map_err(|error| fault(&error)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Fault> {
        let place = place(span);
        let wrong = |problem: &str| Err(Fault { place, problem: problem.to_owned() });
        if depth > DEPTH_MAX {
            return wrong("this lies too deep: a file has at most 64 levels");
        }
        let value = match event {
            Event::Scalar(_, _, anchor, _) | Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _)
                if anchor > 0 =>
            {
                return wrong("anchors are not read here: write it out where it is needed");
            }
            Event::Scalar(_, _, _, Some(_)) | Event::SequenceStart(_, Some(_)) | Event::MappingStart(_, Some(_)) => {
                return wrong("tags are not read here: leave it out, and put text in quotes");
            }
            Event::Scalar(text, ScalarStyle::Plain, _, _) => plain(&text),
            Event::Scalar(text, _, _, _) => Value::Text(text.into_owned()),
            Event::SequenceStart(..) => self.list(depth)?,
            Event::MappingStart(..) => self.map(depth)?,
            Event::Alias(_) => return wrong("aliases are not read here: write it out where it is needed"),
            _ => return wrong("a value is missing here"),
        };
        Ok(Node { place, value })
    }

    fn list(&mut self, depth: usize) -> Result<Value, Fault> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::List(items)),
                (event, span) => items.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, Fault> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            let place = place(span);
            let wrong = |problem: String| Err(Fault { place, problem });
            let key = match event {
                Event::MappingEnd => return Ok(Value::Map(entries)),
                Event::Scalar(text, ..) => text.into_owned(),
                _ => return wrong("a key must be text".to_owned()),
            };
            if entries.iter().any(|entry| entry.key == key) {
                return wrong(format!("{key:?} stands here for the second time: keep one of them"));
            }
            let (event, span) = self.next()?;
            let node = self.node(event, span, depth + 1)?;
            entries.push(Entry { place, key, node });
        }
    }
}

/// What stands without quotes, by the core schema.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is_number = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && digits.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '-' | '+'));
    if !is_number {
        return Value::Text(text.to_owned());
    }
    let int = text.parse().map(Value::Int);
    int.or_else(|_| text.parse().map(Value::Float)).unwrap_or_else(|_| Value::Text(text.to_owned()))
}

fn place(span: Span) -> Place {
    Place { line: span.start.line(), column: span.start.col() + 1 }
}

fn fault(error: &ScanError) -> Fault {
    let mark = error.marker();
    Fault { place: Place { line: mark.line(), column: mark.col() + 1 }, problem: format!("no YAML: {}", error.info()) }
}
