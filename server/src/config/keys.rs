//! All settings, one row each: the path by which a setting is known in file, environment and flags, how it is read
//! within its bounds, and how it is shown. Adding a setting is a field of [`Config`] and a row here.

use std::{path::Path, time::Duration};

use semel_core::app::Grant;
use serde_json::{Value, json};
use tracing_subscriber::EnvFilter;

use super::{
    Config, LogFormat,
    given::{FOREVER, Given},
    identities, issuers, millis, otlp, parse_mode, quotas, show_duration,
};
use crate::{
    auth::{Forwarder, Mode},
    engine::QUEUE_LIMIT,
    logs::{access::Target, audit::Events},
    transport::{ClientAuth, WebOrigin},
};

/// One setting.
pub(super) struct Key {
    pub(super) path: &'static str,
    pub(super) set: fn(&mut Config, &Given<'_>) -> Result<(), String>,
    pub(super) show: fn(&Config) -> Value,
}

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
/// Larger messages than this hold up everything else on their connection.
const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// Eight files of some hundred lines, and what no disk holds.
const AUDIT_BYTES_MIN: u64 = 1 << 20;
const AUDIT_BYTES_MAX: u64 = 1 << 50;
/// What the machines have at most that this runs on.
const MEMORY_BYTES_MAX: usize = 1 << 40;
/// More connections than this no machine has memory for.
const CONNECTIONS_MAX: usize = 1_000_000;
/// Nor for more calls than this.
const CALLS_MAX: usize = 10_000_000;
/// What 47 bits of address space hold, with room for the rest of the process.
const MAP_SIZE_GIB_MAX: usize = 64 << 10;

/// The largest quota.
pub(super) const QUOTA_MAX: u64 = 1_000_000;

/// A row for a field: how it is read, and how it is shown.
macro_rules! key {
    ($path:literal, $config:ident, $given:ident, $set:expr, $show:expr) => {
        Key {
            path: $path,
            set: |$config, $given| {
                $set;
                Ok(())
            },
            show: |$config| json!($show),
        }
    };
}

pub(super) const KEYS: &[Key] = &[
    key!("listen", config, given, config.listen = given.address()?, config.listen.to_string()),
    key!(
        "admin.listen",
        config,
        given,
        config.admin_listen = given.address_or_none()?,
        config.admin_listen.map(|address| address.to_string()).unwrap_or_default()
    ),
    key!("data_dir", config, given, config.data_dir = given.path()?, config.data_dir.to_string_lossy()),
    key!(
        "tls.certificate",
        config,
        given,
        config.tls_certificate = given.path_or_none()?,
        show_path(config.tls_certificate.as_deref())
    ),
    key!("tls.key", config, given, config.tls_key = given.path_or_none()?, show_path(config.tls_key.as_deref())),
    key!(
        "tls.client_ca",
        config,
        given,
        config.tls_client_ca = given.path_or_none()?,
        show_path(config.tls_client_ca.as_deref())
    ),
    key!(
        "tls.client_auth",
        config,
        given,
        config.tls_client_auth = client_auth(given.text("optional")?)?,
        client_auth_name(config.tls_client_auth)
    ),
    key!("allow_plaintext", config, given, config.allow_plaintext = given.flag()?, config.allow_plaintext),
    key!(
        "drain_delay",
        config,
        given,
        config.drain_delay = given.duration(Duration::ZERO, HOUR)?,
        show_duration(config.drain_delay)
    ),
    key!(
        "drain_timeout",
        config,
        given,
        config.drain_timeout = given.duration(Duration::ZERO, HOUR)?,
        show_duration(config.drain_timeout)
    ),
    key!(
        "auth.mode",
        config,
        given,
        config.auth_mode = parse_mode(given.text("enforce")?)?,
        mode_name(config.auth_mode)
    ),
    key!(
        "auth.identities",
        config,
        given,
        config.identities = identities::read(given)?,
        identities::show(&config.identities)
    ),
    key!(
        "auth.forwarders",
        config,
        given,
        config.forwarders = given.words("10.1.0.0/16", Forwarder::parse)?,
        config.forwarders.iter().map(Forwarder::show).collect::<Vec<_>>()
    ),
    key!("auth.anonymous", config, given, config.anonymous = given.grants()?, show_grants(&config.anonymous)),
    key!("auth.issuers", config, given, config.issuers = issuers::read(given)?, issuers::show(&config.issuers)),
    key!(
        "web.origins",
        config,
        given,
        config.web_origins = given.words("https://ops.example.com", WebOrigin::parse)?,
        config.web_origins.iter().map(WebOrigin::as_str).collect::<Vec<_>>()
    ),
    key!(
        "window.length",
        config,
        given,
        config.window.length = millis(given.duration(MINUTE, YEAR)?),
        show_millis(config.window.length.0)
    ),
    key!(
        "window.future_max",
        config,
        given,
        config.window.future_max = millis(given.duration(Duration::ZERO, 24 * HOUR)?),
        show_millis(config.window.future_max.0)
    ),
    key!(
        "window.records_per_app_max",
        config,
        given,
        config.window.records_per_app_max = given.number(1, 1_000_000_000)?,
        config.window.records_per_app_max
    ),
    key!(
        "retention.runs",
        config,
        given,
        config.keep_runs = given.duration_or_forever(MINUTE, 100 * YEAR)?,
        show_kept(config.keep_runs)
    ),
    key!(
        "retention.events",
        config,
        given,
        config.keep_events = given.duration_or_forever(MINUTE, 100 * YEAR)?,
        show_kept(config.keep_events)
    ),
    key!("engine.lease", config, given, config.lease = given.duration(SECOND, HOUR)?, show_duration(config.lease)),
    key!(
        "engine.cancel_grace",
        config,
        given,
        config.cancel_grace = given.duration(Duration::ZERO, 24 * HOUR)?,
        show_duration(config.cancel_grace)
    ),
    key!(
        "engine.live_runs_per_app_max",
        config,
        given,
        config.live_runs_per_app_max = given.number(1, 1_000_000_000)?,
        config.live_runs_per_app_max
    ),
    key!(
        "engine.queue_max",
        config,
        given,
        config.bounds.queue_max = given.size(1, QUEUE_LIMIT)?,
        config.bounds.queue_max
    ),
    key!(
        "engine.queue_bytes_max",
        config,
        given,
        config.bounds.queue_bytes_max = given.number(1 << 20, 1 << 36)?,
        config.bounds.queue_bytes_max
    ),
    key!(
        "engine.queue_wait_max",
        config,
        given,
        config.bounds.wait_max = given.duration(10 * MILLISECOND, MINUTE)?,
        show_duration(config.bounds.wait_max)
    ),
    key!(
        "quota.mutations_per_second",
        config,
        given,
        config.quota.mutations_per_second = given.number(0, QUOTA_MAX)?,
        config.quota.mutations_per_second
    ),
    key!(
        "quota.mutations_burst",
        config,
        given,
        config.quota.mutations_burst = given.number(0, QUOTA_MAX)?,
        config.quota.mutations_burst
    ),
    key!(
        "quota.calls_max",
        config,
        given,
        config.quota.calls_max = given.number(0, QUOTA_MAX)?,
        config.quota.calls_max
    ),
    key!("quota.apps", config, given, config.quota_apps = quotas::read(given)?, quotas::show(&config.quota_apps)),
    key!(
        "limits.connection_age",
        config,
        given,
        config.connection_age = given.duration_or_forever(MINUTE, YEAR)?,
        show_kept(config.connection_age)
    ),
    key!(
        "limits.payload_bytes_max",
        config,
        given,
        config.payload_bytes_max = given.size(1, MESSAGE_BYTES_MAX)?,
        config.payload_bytes_max
    ),
    key!(
        "limits.message_bytes_max",
        config,
        given,
        config.message_bytes_max = given.size(64 << 10, MESSAGE_BYTES_MAX)?,
        config.message_bytes_max
    ),
    key!(
        "limits.intake_bytes_max",
        config,
        given,
        config.intake_bytes_max = given.size(1 << 20, MEMORY_BYTES_MAX)?,
        config.intake_bytes_max
    ),
    key!(
        "limits.answer_bytes_max",
        config,
        given,
        config.answer_bytes_max = given.size(1 << 20, MEMORY_BYTES_MAX)?,
        config.answer_bytes_max
    ),
    key!("limits.connections", config, given, config.connections = given.size(1, CONNECTIONS_MAX)?, config.connections),
    key!(
        "limits.connections_per_address",
        config,
        given,
        config.connections_per_address = given.size(1, CONNECTIONS_MAX)?,
        config.connections_per_address
    ),
    key!("limits.calls", config, given, config.calls_max = given.size(1, CALLS_MAX)?, config.calls_max),
    key!(
        "limits.window_bytes_max",
        config,
        given,
        config.window_bytes_max = given.size(1 << 20, MEMORY_BYTES_MAX)?,
        config.window_bytes_max
    ),
    key!(
        "store.map_size_gib",
        config,
        given,
        config.map_size_gib = given.size(1, MAP_SIZE_GIB_MAX)?,
        config.map_size_gib
    ),
    key!(
        "otlp.endpoint",
        config,
        given,
        config.otlp_endpoint = otlp::endpoint(given)?,
        config.otlp_endpoint.as_ref().map(ToString::to_string).unwrap_or_default()
    ),
    key!(
        "otlp.headers",
        config,
        given,
        config.otlp_headers = otlp::headers(given)?,
        otlp::show_headers(&config.otlp_headers)
    ),
    key!("otlp.ca", config, given, config.otlp_ca = given.path_or_none()?, show_path(config.otlp_ca.as_deref())),
    key!("otlp.sample_ratio", config, given, config.otlp_sample_ratio = otlp::ratio(given)?, config.otlp_sample_ratio),
    key!(
        "otlp.interval",
        config,
        given,
        config.otlp_interval = given.duration(SECOND, HOUR)?,
        show_duration(config.otlp_interval)
    ),
    key!(
        "log.format",
        config,
        given,
        config.log_format = log_format(given.text("text")?)?,
        log_format_name(config.log_format)
    ),
    key!(
        "log.access",
        config,
        given,
        config.access_log = access_log(given.text("/var/log/semel/access.log")?),
        access_log_name(config.access_log.as_ref())
    ),
    key!(
        "audit.events",
        config,
        given,
        config.audit.events = audit_events(given.text("admin")?)?,
        audit_events_name(config.audit.events)
    ),
    key!(
        "audit.bytes_max",
        config,
        given,
        config.audit.bytes_max = given.number(AUDIT_BYTES_MIN, AUDIT_BYTES_MAX)?,
        config.audit.bytes_max
    ),
    key!("audit.required", config, given, config.audit.is_required = given.flag()?, config.audit.is_required),
    key!("log.filter", config, given, config.log_filter = log_filter(given.text("info")?)?, config.log_filter),
];

/// The word for a mode of treating credentials.
pub(super) fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Enforce => "enforce",
        Mode::Permissive => "permissive",
        Mode::Off => "off",
    }
}

fn client_auth(text: &str) -> Result<ClientAuth, String> {
    match text {
        "off" => Ok(ClientAuth::Off),
        "optional" => Ok(ClientAuth::Optional),
        "required" => Ok(ClientAuth::Required),
        _ => Err(format!("{text:?} is none of off, optional and required")),
    }
}

fn client_auth_name(auth: ClientAuth) -> &'static str {
    match auth {
        ClientAuth::Off => "off",
        ClientAuth::Optional => "optional",
        ClientAuth::Required => "required",
    }
}

fn show_path(path: Option<&Path>) -> String {
    path.map(|path| path.display().to_string()).unwrap_or_default()
}

fn access_log(text: &str) -> Option<Target> {
    match text {
        "" => None,
        "stdout" => Some(Target::Stdout),
        "stderr" => Some(Target::Stderr),
        path => Some(Target::File(path.into())),
    }
}

fn access_log_name(target: Option<&Target>) -> String {
    match target {
        None => String::new(),
        Some(Target::Stdout) => "stdout".to_owned(),
        Some(Target::Stderr) => "stderr".to_owned(),
        Some(Target::File(path)) => path.display().to_string(),
    }
}

fn audit_events(text: &str) -> Result<Option<Events>, String> {
    match text {
        "off" => Ok(None),
        "admin" => Ok(Some(Events::Admin)),
        "all" => Ok(Some(Events::All)),
        _ => Err(format!("{text:?} is none of off, admin and all")),
    }
}

fn audit_events_name(events: Option<Events>) -> &'static str {
    match events {
        None => "off",
        Some(Events::Admin) => "admin",
        Some(Events::All) => "all",
    }
}

fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(format!("{text:?} is no format; they are text and json")),
    }
}

fn log_format_name(format: LogFormat) -> &'static str {
    match format {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    }
}

fn log_filter(text: &str) -> Result<String, String> {
    match EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("{text:?} is no filter ({error}); write it like info or info,semel_server=debug")),
    }
}

pub(super) fn show_millis(millis: i64) -> String {
    show_duration(Duration::from_millis(u64::try_from(millis).unwrap_or_default()))
}

fn show_kept(kept: Option<Duration>) -> String {
    kept.map_or_else(|| FOREVER.to_owned(), show_duration)
}

pub(super) fn show_grants(grants: &[Grant]) -> Value {
    grants.iter().map(|grant| json!({ "role": grant.role.as_str(), "apps": grant.apps.to_string() })).collect()
}
