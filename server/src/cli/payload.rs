//! Inputs of runs, from flags, files and standard input. It finds out what form they have; what is in them is nobody's
//! business here.

use std::path::PathBuf;

use bytes::Bytes;
use clap::Args;
use semel_proto::v1::Payload;

use super::{failure::Failure, files, job_file::content_type};

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
