//! What a server says of itself, shown.

use semel_proto::v1::{AuthMode, DedupWindow, GetServerInfoResponse};
use serde_json::{Value, json};

use super::{Show, auth_line, enum_name, fields, header_json, span_cell, string, time_cell};
use crate::cli::out;

pub(super) fn window_json(window: &DedupWindow) -> Value {
    json!({
        "length": string(window.length.as_ref()),
        "future_max": string(window.future_max.as_ref()),
        "records_per_app_max": window.records_per_app_max,
    })
}

impl Show for GetServerInfoResponse {
    fn json(&self) -> Value {
        json!({
            "header": header_json(self.header.as_ref()),
            "dedup_window": self.dedup_window.as_ref().map(window_json),
            "auth_mode": enum_name!(AuthMode, "AUTH_MODE_", self.auth_mode),
            "payload_bytes_max": self.payload_bytes_max,
            "message_bytes_max": self.message_bytes_max,
            "shard_count": self.shard_count,
            "store_kind": self.store_kind,
            "start_time": string(self.start_time.as_ref()),
            "revision": self.revision,
            "oldest_revision": self.oldest_revision,
            "live_run_count": self.live_run_count,
            "worker_count": self.worker_count,
            "window_record_count": self.window_record_count,
            "anonymous_call_count": self.anonymous_call_count,
        })
    }

    fn text(&self) -> String {
        let header = self.header.clone().unwrap_or_default();
        let window = self.dedup_window.unwrap_or_default();
        let remembers = format!(
            "requests for {}, at most {} of an app; ids may be {} ahead",
            span_cell(window.length.as_ref()),
            window.records_per_app_max,
            span_cell(window.future_max.as_ref()),
        );
        fields(vec![
            ("server", out::cell(&header.server_id)),
            ("version", out::cell(&header.server_version)),
            ("store", format!("{}, shards: {}", out::cell(&self.store_kind), self.shard_count)),
            ("auth mode", enum_name!(AuthMode, "AUTH_MODE_", self.auth_mode).to_lowercase()),
            ("you are", header.auth.as_ref().map(auth_line).unwrap_or_default()),
            ("remembers", remembers),
            ("payloads up to", format!("{} bytes", self.payload_bytes_max)),
            ("messages up to", format!("{} bytes", self.message_bytes_max)),
            ("unfinished runs", self.live_run_count.to_string()),
            ("in the window", self.window_record_count.to_string()),
            ("anonymous calls", self.anonymous_call_count.to_string()),
            ("workers", self.worker_count.to_string()),
            ("revision", format!("{}, events are kept from {} on", self.revision, self.oldest_revision)),
            ("started", time_cell(self.start_time.as_ref())),
            ("its clock", time_cell(header.server_time.as_ref())),
        ])
    }
}
