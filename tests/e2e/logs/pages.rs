//! docs/LOGS.md says what is so: the fields of both logs, and their settings.

use std::collections::BTreeSet;

use semel_server::{
    config::{Sources, resolve},
    logs::{access, audit},
};
use serde_json::Value;

const PAGE: &str = include_str!("../../../docs/LOGS.md");

/// What the first column of the table under a heading names.
fn named(heading: &str) -> BTreeSet<String> {
    let lines = PAGE.lines().skip_while(|line| *line != heading).skip(1);
    let section = lines.take_while(|line| !line.starts_with('#'));
    section.filter_map(|line| Some(line.strip_prefix("| `")?.split('`').next()?.to_owned())).collect()
}

fn fields(line: &Value) -> BTreeSet<String> {
    line.as_object().expect("an object").keys().cloned().collect()
}

#[test]
fn the_fields_of_the_access_log_are_those() {
    let text = || Some("x".to_owned());
    let line = access::Line {
        network_peer_address: text(),
        network_peer_port: Some(1),
        auth_status: Some("x"),
        auth_method: Some("x"),
        principal: text(),
        app: text(),
        request_id: text(),
        disposition: Some("x"),
        arrivals: Some(1),
        revision: Some(1),
        reason: Some("x"),
        client_name: text(),
        client_version: text(),
        user_agent: text(),
        previous_attempts: Some(1),
        proxy_attempts: Some(1),
        trace_id: text(),
        ..access::Line::default()
    };
    assert_eq!(named("### Its fields"), fields(&serde_json::to_value(&line).expect("JSON")));
}

#[test]
fn the_fields_and_kinds_of_the_audit_log_are_those() {
    let text = || Some("x".to_owned());
    let line = audit::Line {
        prev: text(),
        principal: text(),
        auth_method: Some("x".into()),
        auth_status: Some("x".into()),
        rpc_method: Some("x".into()),
        app: text(),
        target: text(),
        request_id: text(),
        disposition: Some("x".into()),
        revision: Some(1),
        from_revision: Some(1),
        execute_time: text(),
        arrivals: Some(1),
        rpc_response_status_code: Some("x".into()),
        reason: Some("x".into()),
        network_peer_address: text(),
        count: Some(1),
        recovered: true,
        torn_bytes: Some(1),
        server_version: Some("x".into()),
        ..audit::Line::default()
    };
    let mut fields = fields(&serde_json::to_value(&line).expect("JSON"));
    fields.insert("hash".to_owned());
    assert_eq!(named("### The fields of its lines"), fields);
    let kinds = named("### The kinds of its lines");
    assert_eq!(kinds.len(), 9, "{kinds:?}");
    for kind in kinds {
        let read: audit::Kind = serde_json::from_value(Value::String(kind.clone())).expect("a kind");
        assert_ne!(read, audit::Kind::Unknown, "{kind}");
    }
}

#[test]
fn the_settings_are_those() {
    let resolved = resolve(&Sources::default()).expect("the defaults are right");
    let rows = resolved.config.rows();
    let known: BTreeSet<String> = rows
        .iter()
        .map(|(path, _)| (*path).to_owned())
        .filter(|path| path == "log.access" || path.starts_with("audit."))
        .collect();
    assert_eq!(named("## Settings"), known);
    for (path, value) in rows {
        if known.contains(path) && !value.is_empty() {
            let is_told = PAGE.lines().any(|line| line.starts_with(&format!("| `{path}` | `{value}`")));
            assert!(is_told, "docs/LOGS.md does not say that {path} is {value} by default");
        }
    }
}
