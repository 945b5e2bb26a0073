//! What is written is read back as the same definition.

use std::path::Path;

use super::*;
use crate::cli::{
    job_file::SpecFile,
    located::{self, Syntax},
};

/// Everything that a definition can hold.
const ALL: &str = include_str!("all.yaml");

fn read(text: &str) -> JobSpec {
    let mut nodes = located::documents(text, Syntax::Yaml).unwrap_or_else(|fault| panic!("{fault}: {text}"));
    let mut node = nodes.remove(0);
    assert!(nodes.is_empty() && node.take("job").is_some() && node.take("app").is_some(), "{text}");
    let file: SpecFile = node.read().unwrap_or_else(|faults| panic!("{faults:?}: {text}"));
    let spec = file.into_spec(Path::new("")).unwrap_or_else(|wrong| panic!("{wrong:?}: {text}"));
    transport::settled(&spec).unwrap_or_else(|wrong| panic!("{wrong:?}: {text}"))
}

fn written(spec: &JobSpec) -> String {
    document(&Job { app: "pay".to_owned(), name: "all".to_owned(), spec: Some(spec.clone()), ..Job::default() })
}

#[test]
fn a_definition_with_everything_comes_back_as_it_was() {
    let spec = read(ALL);
    let text = written(&spec);
    assert_eq!(read(&text), spec, "{text}");
    assert_eq!(spec.triggers.len(), 7);
}

#[test]
fn inputs_come_back_byte_by_byte() {
    let payloads: [(&[u8], &str); 9] = [
        (b"{\"a\":1,\"b\":[true,null,\"x: y\",1.5,1e300]}", "application/json"),
        (b"{ \"a\": 1 }", "application/json"),
        (b"{\"a\":18446744073709551615}", "application/json"),
        (b"{\"b\":1,\"a\":2}", "application/json"),
        (b"{\"a\":1}", "text/plain"),
        (b"line\n  two\t\"quoted\" # no comment\r\n\x07", "text/plain"),
        (b"\xff\x00", "application/octet-stream"),
        (b"", "text/plain"),
        ("größe \u{1f600}\u{7f}\u{feff}".as_bytes(), "a/b"),
    ];
    for (data, content_type) in payloads {
        let payload = semel_proto::v1::Payload { data: data.to_vec().into(), content_type: content_type.to_owned() };
        let spec = JobSpec { processor: "exec".to_owned(), payload: Some(payload), ..JobSpec::default() };
        let spec = transport::settled(&spec).expect("good");
        let text = written(&spec);
        assert_eq!(read(&text), spec, "{text}");
    }
}

#[test]
fn what_is_as_usual_is_not_said() {
    let spec = read("app: a\njob: b\nprocessor: exec\nretry: {max_attempts: 3}\ntriggers: {t: {rate: 1s}}\n");
    assert_eq!(
        written(&spec),
        "app: pay\njob: all\nprocessor: exec\nretry:\n  max_attempts: 3\ntriggers:\n  t:\n    rate: \"1s\"\n"
    );
}
