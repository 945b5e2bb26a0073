//! Inputs of runs, from flags, files and standard input. It finds out what form they have; what is in them is nobody's
//! business here.

use std::path::{Path, PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use clap::Args;
use semel_proto::v1::Payload;
use serde::Deserialize;

use super::{failure::Failure, files};

/// The options of an input.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct PayloadArgs {
    /// The input, as text
    #[arg(long, value_name = "TEXT", conflicts_with = "payload_file")]
    payload: Option<String>,
    /// A file that holds the input; `-` for standard input
    #[arg(long, value_name = "FILE")]
    payload_file: Option<PathBuf>,
    /// Its media type; found out if left out: application/json, text/plain or application/octet-stream
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
}

impl PayloadArgs {
    /// Takes standard input, as `--payload-file -` does.
    pub(crate) fn or_standard_input(mut self, wanted: bool) -> Self {
        if wanted {
            self.payload_file = Some(PathBuf::from("-"));
        }
        self
    }

    /// The input, if one is given.
    pub(crate) fn read(&self) -> Result<Option<Payload>, Failure> {
        let data = match (&self.payload, &self.payload_file) {
            (Some(text), _) => text.clone().into_bytes(),
            (None, Some(path)) => files::read(path)?,
            (None, None) if self.content_type.is_some() => {
                return Err(Failure::usage("--content-type says nothing without --payload or --payload-file"));
            }
            (None, None) => return Ok(None),
        };
        let content_type = self.content_type.clone().unwrap_or_else(|| content_type(&data).to_owned());
        Ok(Some(Payload { data: Bytes::from(data), content_type }))
    }
}

/// An input as a file with the definition of a job has it: exactly one of these, and its media type.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PayloadFile {
    text: Option<String>,
    json: Option<serde_json::Value>,
    base64: Option<String>,
    file: Option<PathBuf>,
    content_type: Option<String>,
}

impl PayloadFile {
    /// The input. A file is looked for in `folder`.
    pub(crate) fn read(self, folder: &Path) -> Result<Payload, Failure> {
        let (data, known) = match (self.text, self.json, self.base64, self.file) {
            (Some(text), None, None, None) => (text.into_bytes(), None),
            (None, Some(json), None, None) => (json.to_string().into_bytes(), Some("application/json")),
            (None, None, Some(base64), None) => {
                let bytes = STANDARD.decode(base64.trim());
                (bytes.map_err(|error| Failure::usage(format!("payload.base64 is none: {error}")))?, None)
            }
            (None, None, None, Some(file)) => (files::read(&folder.join(file))?, None),
            _ => return Err(Failure::usage("payload needs exactly one of text, json, base64 and file")),
        };
        let content_type = self.content_type.unwrap_or_else(|| known.unwrap_or(content_type(&data)).to_owned());
        Ok(Payload { data: Bytes::from(data), content_type })
    }
}

/// What bytes are, by their looks. A bare number or word is valid JSON, but meant as text.
fn content_type(data: &[u8]) -> &'static str {
    let Ok(text) = std::str::from_utf8(data) else { return "application/octet-stream" };
    let structured = text.trim_start().starts_with(['{', '[']);
    if structured && serde_json::from_str::<serde_json::Value>(text).is_ok() {
        "application/json"
    } else {
        "text/plain"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_taken_for_what_they_look_like() {
        assert_eq!(content_type(b"{\"a\": 1}"), "application/json");
        assert_eq!(content_type(b" [1, 2]\n"), "application/json");
        assert_eq!(content_type(b"{not json"), "text/plain");
        assert_eq!(content_type(b"42"), "text/plain");
        assert_eq!(content_type(&[0xff, 0xfe]), "application/octet-stream");
    }

    #[test]
    fn a_stated_type_wins_and_needs_an_input() {
        let args = PayloadArgs {
            payload: Some("{}".to_owned()),
            content_type: Some("text/x-special".to_owned()),
            ..PayloadArgs::default()
        };
        let payload = args.read().expect("good").expect("there");
        assert_eq!((payload.content_type.as_str(), &payload.data[..]), ("text/x-special", &b"{}"[..]));
        let alone = PayloadArgs { content_type: Some("a/b".to_owned()), ..PayloadArgs::default() };
        assert!(alone.read().is_err());
        assert!(PayloadArgs::default().read().expect("good").is_none());
    }

    #[test]
    fn a_file_says_its_input_in_one_way() {
        let parse = |text: &str| toml::from_str::<PayloadFile>(text).expect("toml").read(Path::new(""));
        assert_eq!(&parse("base64 = \"/w==\"").expect("good").data[..], [0xff]);
        assert_eq!(parse("text = \"hello\"").expect("good").content_type, "text/plain");
        assert!(parse("text = \"a\"\nbase64 = \"/w==\"").is_err());
        assert!(parse("content_type = \"a/b\"").is_err());
    }
}
