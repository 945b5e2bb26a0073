//! Answers as tables for people and as JSON for programs. JSON has the field names of the protocol, all of them; absent
//! messages are null, enums lose their prefix, times are RFC 3339. Nothing here calls or decides.

mod app;
mod auth;
mod job;
mod request;
mod run;
mod server;
mod trigger;
mod watch;

use std::{collections::BTreeMap, fmt::Display};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use comfy_table::{Table, presets};
use semel_proto::v1::{AuthMethod, AuthResult, AuthStatus, Disposition, PageResponse, Payload, ResponseHeader};
use serde_json::{Map, Value, json};

pub(crate) use self::{
    run::{run_state, state_line},
    trigger::event_words,
    watch::{event_kind, item_json, worker_state},
};
use super::out;

/// An answer that can be shown.
pub(crate) trait Show {
    /// For programs.
    fn json(&self) -> Value;

    /// For people.
    fn text(&self) -> String;
}

/// The name of an enum's value without its prefix; the number of one that is newer than this program.
macro_rules! enum_name {
    ($kind:ty, $prefix:literal, $number:expr) => {
        <$kind>::try_from($number).map_or_else(
            |_| $number.to_string(),
            |value| value.as_str_name().strip_prefix($prefix).unwrap_or(value.as_str_name()).to_owned(),
        )
    };
}
use enum_name;

/// The verdict on credentials, by its name.
pub(crate) fn auth_status(status: AuthStatus) -> String {
    enum_name!(AuthStatus, "AUTH_STATUS_", i32::from(status))
}

/// What became of a call, in one line.
pub(crate) fn header_line(header: &ResponseHeader) -> String {
    let disposition = enum_name!(Disposition, "DISPOSITION_", header.disposition);
    let effect = match header.disposition() {
        Disposition::Replayed => {
            format!(" (arrival {}, took effect {})", header.arrivals, time_cell(header.execute_time.as_ref()))
        }
        Disposition::Executed => format!(" (arrival {})", header.arrivals),
        _ => String::new(),
    };
    format!("request {} {disposition}{effect}, auth {}", out::cell(&header.request_id), auth_of(header))
}

/// What an answer says of the credentials.
pub(crate) fn auth_of(header: &ResponseHeader) -> String {
    header.auth.as_ref().map_or_else(|| "UNSPECIFIED".to_owned(), auth_line)
}

/// A verdict on credentials, in a few words.
fn auth_line(auth: &AuthResult) -> String {
    let status = enum_name!(AuthStatus, "AUTH_STATUS_", auth.status);
    match auth.principal.as_str() {
        "" => status,
        principal => format!("{status} as {}", out::cell(principal)),
    }
}

impl Show for ResponseHeader {
    fn json(&self) -> Value {
        json!({
            "request_id": self.request_id,
            "auth": self.auth.as_ref().map(auth_json),
            "disposition": enum_name!(Disposition, "DISPOSITION_", self.disposition),
            "execute_time": string(self.execute_time.as_ref()),
            "safe_retry_until": string(self.safe_retry_until.as_ref()),
            "arrivals": self.arrivals,
            "revision": self.revision,
            "server_time": string(self.server_time.as_ref()),
            "server_id": self.server_id,
            "server_version": self.server_version,
        })
    }

    fn text(&self) -> String {
        header_line(self)
    }
}

/// A verdict on credentials.
fn auth_json(auth: &AuthResult) -> Value {
    json!({
        "status": enum_name!(AuthStatus, "AUTH_STATUS_", auth.status),
        "principal": auth.principal,
        "method": enum_name!(AuthMethod, "AUTH_METHOD_", auth.method),
        "expire_time": string(auth.expire_time.as_ref()),
    })
}

fn header_json(header: Option<&ResponseHeader>) -> Value {
    header.map_or(Value::Null, Show::json)
}

fn page_json(page: Option<&PageResponse>) -> Value {
    json!({ "next_page_token": page.map_or("", |page| page.next_page_token.as_str()) })
}

/// Times and spans: the protocol's own types print themselves as JSON has them.
fn string(value: Option<&impl Display>) -> Value {
    value.map_or(Value::Null, |value| Value::String(value.to_string()))
}

/// Bytes that may be text: parsed where they say that they are JSON, as text where they are text, else in base64.
fn payload_json(payload: Option<&Payload>) -> Value {
    let Some(payload) = payload else { return Value::Null };
    let mut object = Map::new();
    object.insert("content_type".to_owned(), json!(payload.content_type));
    object.insert("size".to_owned(), json!(payload.data.len()));
    match std::str::from_utf8(&payload.data) {
        Ok(text) => {
            object.insert("text".to_owned(), json!(text));
            if is_json(&payload.content_type)
                && let Ok(value) = serde_json::from_str::<Value>(text)
            {
                object.insert("json".to_owned(), value);
            }
        }
        Err(_) => _ = object.insert("base64".to_owned(), json!(STANDARD.encode(&payload.data))),
    }
    Value::Object(object)
}

fn is_json(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/json") || media_type.to_ascii_lowercase().ends_with("+json")
}

/// Bytes for people: the text, or how many they are.
fn payload_cell(payload: Option<&Payload>) -> String {
    let Some(payload) = payload else { return String::new() };
    match std::str::from_utf8(&payload.data) {
        Ok(text) if text.trim().is_empty() => format!("({} bytes)", payload.data.len()),
        Ok(text) => out::clean(text.trim_end()),
        Err(_) => format!("({} bytes of {}; -o json shows them)", payload.data.len(), out::cell(&payload.content_type)),
    }
}

/// A time to the second.
pub(crate) fn time_cell(time: Option<&impl Display>) -> String {
    let Some(text) = time.map(ToString::to_string) else { return String::new() };
    match text.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => text,
    }
}

/// A span of the protocol, as people write it.
fn span_cell<D>(span: Option<&D>) -> String
where
    D: Copy + TryInto<std::time::Duration>,
{
    let span = span.and_then(|span| (*span).try_into().ok());
    span.map(crate::config::show_duration).unwrap_or_default()
}

fn labels_cell(labels: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    out::cell(&pairs.join(" "))
}

/// A list, with a head in capitals; if it is empty, a word that says so.
pub(crate) fn list(head: &[&str], rows: Vec<Vec<String>>) -> String {
    if rows.is_empty() {
        return "none".to_owned();
    }
    let mut table = plain();
    table.set_header(head.to_vec());
    table.add_rows(rows);
    finish(table)
}

/// One thing: a row for each of its fields that has a value.
fn fields(rows: Vec<(&str, String)>) -> String {
    let mut table = plain();
    table.add_rows(
        rows.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| [name.to_owned(), value]),
    );
    finish(table)
}

fn plain() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table
}

/// The lines without the space that fills the first and the last column.
fn finish(mut table: Table) -> String {
    for index in 0..table.column_count() {
        if let Some(column) = table.column_mut(index) {
            column.set_padding((0, 2));
        }
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests;
