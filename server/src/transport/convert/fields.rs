//! Collects what is wrong with the fields of a request, so that a caller learns all of it at once.

use std::collections::BTreeMap;

use semel_core::{
    codec::Payload,
    id::{Millis, RequestId, Revision, RunId, Timestamp},
    job::Labels,
    limits,
};
use semel_proto::v1;

use super::time;

/// See the module. Each method gives the parsed value, or notes what is wrong and gives none.
#[derive(Debug)]
pub(crate) struct Fields {
    violations: Vec<(String, String)>,
    pub(crate) payload_bytes_max: usize,
}

impl Fields {
    pub(crate) fn new(payload_bytes_max: usize) -> Self {
        Self { violations: Vec::new(), payload_bytes_max }
    }

    pub(crate) fn violations(self) -> Vec<(String, String)> {
        self.violations
    }

    /// How much is wrong so far.
    pub(crate) fn count(&self) -> usize {
        self.violations.len()
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }

    pub(crate) fn note(&mut self, field: &str, problem: impl Into<String>) {
        self.violations.push((field.to_owned(), problem.into()));
    }

    pub(crate) fn take<T>(&mut self, field: &str, parsed: Result<T, String>) -> Option<T> {
        parsed.map_err(|problem| self.note(field, problem)).ok()
    }

    /// A value that must lie between two bounds.
    pub(crate) fn bounded<T: PartialOrd + std::fmt::Display + Copy>(
        &mut self,
        field: &str,
        value: T,
        min: T,
        max: T,
    ) -> Option<T> {
        if value >= min && value <= max {
            return Some(value);
        }
        self.note(field, format!("must be from {min} to {max}"));
        None
    }

    pub(crate) fn text(&mut self, field: &str, text: &str, chars_max: usize) -> Option<String> {
        if text.chars().count() <= chars_max {
            return Some(text.to_owned());
        }
        self.note(field, format!("must have at most {chars_max} characters"));
        None
    }

    /// A span between two bounds, if one is given.
    pub(crate) fn span(
        &mut self,
        field: &str,
        span: Option<&prost_types::Duration>,
        min: Millis,
        max: Millis,
    ) -> Option<Millis> {
        let parsed = time::parse_duration(span?).filter(|parsed| *parsed >= min && *parsed <= max);
        if parsed.is_none() {
            self.note(field, format!("must be from {} s to {} s", seconds(min), seconds(max)));
        }
        parsed
    }

    /// A time, if one is given.
    pub(crate) fn time(&mut self, field: &str, at: Option<&prost_types::Timestamp>) -> Option<Timestamp> {
        let parsed = time::parse_timestamp(at?);
        if parsed.is_none() {
            self.note(field, "is no time that can be");
        }
        parsed
    }

    pub(crate) fn etag(&mut self, etag: &str) -> Option<Revision> {
        if etag.is_empty() {
            return None;
        }
        let parsed = etag.parse().map(Revision).ok();
        if parsed.is_none() {
            self.note("etag", "is none that this server gave");
        }
        parsed
    }

    pub(crate) fn run_id(&mut self, text: &str) -> Option<RunId> {
        let parsed = uuid::Uuid::try_parse(text).ok().filter(|_| text.len() == 36).map(|id| RunId(id.into_bytes()));
        if parsed.is_none() {
            self.note("run_id", "must be a UUID of 36 characters");
        }
        parsed
    }

    pub(crate) fn payload(&mut self, field: &str, payload: Option<&v1::Payload>) -> Option<Payload> {
        let payload = payload?;
        if payload.data.len() > self.payload_bytes_max {
            self.note(&format!("{field}.data"), format!("must have at most {} bytes", self.payload_bytes_max));
        }
        if payload.content_type.len() > limits::CONTENT_TYPE_BYTES_MAX {
            let problem = format!("must have at most {} bytes", limits::CONTENT_TYPE_BYTES_MAX);
            self.note(&format!("{field}.content_type"), problem);
        }
        Some(Payload { content_type: payload.content_type.clone(), data: payload.data.clone() })
    }

    pub(crate) fn labels(&mut self, field: &str, labels: &BTreeMap<String, String>) -> Labels {
        if labels.len() > limits::LABELS_MAX {
            self.note(field, format!("must be at most {}", limits::LABELS_MAX));
        }
        for (key, value) in labels {
            if !(1..=limits::LABEL_KEY_CHARS_MAX).contains(&key.chars().count()) {
                let problem = format!("must have 1 to {} characters", limits::LABEL_KEY_CHARS_MAX);
                self.note(&format!("{field}[{key:.20}]"), problem);
            }
            if value.chars().count() > limits::LABEL_VALUE_CHARS_MAX {
                let problem = format!("must have at most {} characters", limits::LABEL_VALUE_CHARS_MAX);
                self.note(&format!("{field}[{key:.20}]"), problem);
            }
        }
        labels.clone()
    }

    pub(crate) fn priority(&mut self, field: &str, priority: i32) -> i32 {
        self.bounded(field, priority, -limits::PRIORITY_MAX, limits::PRIORITY_MAX).unwrap_or(0)
    }
}

fn seconds(span: Millis) -> String {
    format!("{}.{:03}", span.0 / 1000, span.0 % 1000).trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Reads a request id: a UUIDv7 in its 36 character form.
pub(crate) fn parse_request_id(text: &str) -> Option<RequestId> {
    let id = uuid::Uuid::try_parse(text).ok().filter(|_| text.len() == 36)?;
    let is_v7 = id.get_version_num() == 7 && id.get_variant() == uuid::Variant::RFC4122;
    is_v7.then(|| RequestId(id.into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_version_7_uuid_in_its_long_form_is_a_request_id() {
        assert!(parse_request_id("0199c1d2-3e4f-7a5b-8c6d-7e8f9a0b1c2d").is_some());
        for bad in [
            "",
            "0199c1d2-3e4f-4a5b-8c6d-7e8f9a0b1c2d",
            "0199c1d2-3e4f-7a5b-0c6d-7e8f9a0b1c2d",
            "0199c1d23e4f7a5b8c6d7e8f9a0b1c2d",
            "{0199c1d2-3e4f-7a5b-8c6d-7e8f9a0b1c2d}",
            "urn:uuid:0199c1d2-3e4f-7a5b-8c6d-7e8f9a0b1c2d",
            "0199c1d2-3e4f-7a5b-8c6d-7e8f9a0b1c2g",
        ] {
            assert!(parse_request_id(bad).is_none(), "{bad}");
        }
    }
}
