//! The settings of a server: their names, defaults and bounds, and how file, environment and flags make one [`Config`].
//!
//! This module reads no file and no environment itself: both are handed to it, and every fault in them is told at once.

mod duration;
mod fault;
mod given;
mod identities;
mod issuers;
mod keys;
mod otlp;
mod quotas;

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use semel_core::{app::Grant, id::Millis, limits, window::Window};
use serde_json::{Map, Value};

use crate::{
    auth::{Forwarder, Identity, Mode, jwt},
    engine,
    logs::{access, audit},
    otlp::{CollectorUrl, Headers},
    store,
    transport::{
        AppQuota, CALLS_MAX_DEFAULT, ClientAuth, ConnectionLimits, LOOK_EVERY, Quota, TlsFiles,
        WINDOW_BYTES_MAX_DEFAULT, WebOrigin,
    },
};

pub use self::{
    duration::{parse_duration, show_duration},
    fault::{Fault, Origin},
    given::{parse_grant, parse_mode},
};
use self::{given::Given, keys::KEYS};

/// The file that is read when none is named, if it is there.
pub const FILE_DEFAULT: &str = "semel.toml";

const DAY: Duration = Duration::from_secs(24 * 3600);

/// How logs are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Everything that an operator may set.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen. Default `127.0.0.1:7400`.
    pub listen: SocketAddr,
    /// Where to listen for operators: metrics, health, readiness. Default nowhere.
    pub admin_listen: Option<SocketAddr>,
    /// Where everything is kept. Default `semel-data`.
    pub data_dir: PathBuf,
    /// The server's certificate with its chain, PEM; with the key it turns TLS on. Default none.
    pub tls_certificate: Option<PathBuf>,
    /// Its key, PEM. Default none.
    pub tls_key: Option<PathBuf>,
    /// The authorities of callers' certificates, PEM. Default none.
    pub tls_client_ca: Option<PathBuf>,
    /// Whether callers show certificates. Default optional; without authorities nobody is asked.
    pub tls_client_auth: ClientAuth,
    /// Who callers are by their certificates. Default nobody.
    pub identities: Vec<Identity>,
    /// Which peers are believed when they say who their callers are. Default none.
    pub forwarders: Vec<Forwarder>,
    /// Whether plaintext is served on other addresses than loopback. Default false.
    pub allow_plaintext: bool,
    /// How credentials are treated. Default enforce.
    pub auth_mode: Mode,
    /// What callers without credentials may do under `permissive`. Default nothing.
    pub anonymous: Vec<Grant>,
    /// Whose tokens are taken beside the server's own. Default nobody's.
    pub issuers: Vec<jwt::IssuerSettings>,
    /// From where pages may call over gRPC-Web, beside the server's own origin. Default nowhere.
    pub web_origins: Vec<WebOrigin>,
    /// How long and how much requests are remembered.
    pub window: Window,
    /// How long finished runs are kept after their end; none means for ever. Default 30 days.
    pub keep_runs: Option<Duration>,
    /// How long events are kept; none means for ever. Default 7 days.
    pub keep_events: Option<Duration>,
    /// After how long a silence a worker counts as lost. Default 30 s.
    pub lease: Duration,
    /// How long a worker may take to let go of a cancelled attempt. Default 30 s.
    pub cancel_grace: Duration,
    /// How many runs of one app may be unfinished.
    pub live_runs_per_app_max: u64,
    /// How much may wait for the engine, and how long.
    pub bounds: engine::Bounds,
    /// What each app may ask for. Default no bound.
    pub quota: Quota,
    /// What of it differs for some apps; the first that holds an app counts.
    pub quota_apps: Vec<AppQuota>,
    /// The largest payload or result. Default 1 MiB.
    pub payload_bytes_max: usize,
    /// The largest message. Default 4 MiB.
    pub message_bytes_max: usize,
    /// What requests without an answer may hold together. Default 256 MiB.
    pub intake_bytes_max: usize,
    /// What answers that their callers have not read yet may hold together. Default 256 MiB.
    pub answer_bytes_max: usize,
    /// How many connections are taken in all. Default 4096.
    pub connections: usize,
    /// How many of one address, which a proxy or a gateway gives to all who come through it. Default 1024.
    pub connections_per_address: usize,
    /// How many calls may be open on all of them together. Default 131072.
    pub calls_max: usize,
    /// What callers may send that is not read yet: the windows of all connections, and 256 KiB for each beyond. Default 512 MiB.
    pub window_bytes_max: usize,
    /// How large the store may grow, in GiB. Default 64.
    pub map_size_gib: usize,
    /// How old connections become, give or take a tenth; none means as old as they like. Default none.
    pub connection_age: Option<Duration>,
    /// How long a stopping server still serves as before, while its health says that it goes. Default nothing.
    pub drain_delay: Duration,
    /// How long a stopping server waits for calls under way. Default 10 s.
    pub drain_timeout: Duration,
    /// Where a line is written for each call. Default nowhere.
    pub access_log: Option<access::Target>,
    /// What is written of who changed what and who was refused. Default what [`audit::Settings`] has.
    pub audit: audit::Settings,
    /// Where spans and metrics go, over OTLP. Default nowhere.
    pub otlp_endpoint: Option<CollectorUrl>,
    /// Sent with all of it. Default nothing.
    pub otlp_headers: Headers,
    /// The authorities of the collector's certificate, PEM. Default those of the system.
    pub otlp_ca: Option<PathBuf>,
    /// Of the traces that begin here, which part is recorded. Default all.
    pub otlp_sample_ratio: f64,
    /// How often metrics are sent, and how long spans may wait. Default 10 s.
    pub otlp_interval: Duration,
    /// How logs are written. Default text.
    pub log_format: LogFormat,
    /// Which logs are written, as `tracing` filters have it. Default `info`.
    pub log_filter: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7400)),
            admin_listen: None,
            data_dir: PathBuf::from("semel-data"),
            tls_certificate: None,
            tls_key: None,
            tls_client_ca: None,
            tls_client_auth: ClientAuth::default(),
            identities: Vec::new(),
            forwarders: Vec::new(),
            allow_plaintext: false,
            auth_mode: Mode::Enforce,
            anonymous: Vec::new(),
            issuers: Vec::new(),
            web_origins: Vec::new(),
            window: Window::default(),
            keep_runs: Some(30 * DAY),
            keep_events: Some(7 * DAY),
            lease: Duration::from_secs(30),
            cancel_grace: Duration::from_secs(30),
            live_runs_per_app_max: limits::LIVE_RUNS_PER_APP_MAX,
            bounds: engine::Bounds::default(),
            quota: Quota::default(),
            quota_apps: Vec::new(),
            payload_bytes_max: limits::PAYLOAD_BYTES_MAX,
            message_bytes_max: 4 << 20,
            intake_bytes_max: 256 << 20,
            answer_bytes_max: 256 << 20,
            connections: ConnectionLimits::default().total,
            connections_per_address: ConnectionLimits::default().per_address,
            calls_max: CALLS_MAX_DEFAULT,
            window_bytes_max: WINDOW_BYTES_MAX_DEFAULT,
            map_size_gib: store::MAP_SIZE_DEFAULT >> 30,
            connection_age: None,
            drain_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(10),
            access_log: None,
            audit: audit::Settings::default(),
            otlp_endpoint: None,
            otlp_headers: Headers::default(),
            otlp_ca: None,
            otlp_sample_ratio: 1.0,
            otlp_interval: Duration::from_secs(10),
            log_format: LogFormat::Text,
            log_filter: "info".to_owned(),
        }
    }
}

/// What a config is made of. Later ones go over earlier ones: file, then environment, then flags.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The name and the text of the file.
    pub file: Option<(String, String)>,
    /// The environment; only the variables that [`variable`] names are looked at.
    pub environment: BTreeMap<String, String>,
    /// Flags, as the path of the setting and its text.
    pub flags: Vec<(&'static str, String)>,
}

/// A config, and where each setting comes from.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The settings.
    pub config: Config,
    /// By path, for those that are not at their defaults' source.
    pub origins: BTreeMap<&'static str, Origin>,
}

/// Makes a config of its sources.
///
/// # Errors
/// All faults of all sources, at once. A fault counts even where a later source goes over it.
pub fn resolve(sources: &Sources) -> Result<Resolved, Vec<Fault>> {
    let mut build = Build::default();
    if let Some((name, text)) = &sources.file {
        build.file(name, text);
    }
    for key in KEYS {
        let variable = variable(key.path);
        if let Some(text) = sources.environment.get(&variable) {
            build.set(key, &Given::Text(text), Origin::Environment(variable));
        }
    }
    for (path, text) in &sources.flags {
        let origin = Origin::Flag(flag(path));
        match KEYS.iter().find(|key| key.path == *path) {
            Some(key) => build.set(key, &Given::Text(text), origin),
            None => build.faults.push(Fault::new(*path, origin, "there is no such setting")),
        }
    }
    build.check_together();
    if build.faults.is_empty() { Ok(build.resolved) } else { Err(build.faults) }
}

/// The environment variable of a setting: `engine.lease` is `SEMEL_ENGINE_LEASE`.
///
/// Other variables that begin so are not faults: Kubernetes puts `SEMEL_PORT` and its like into every container beside
/// a service named `semel`.
pub fn variable(path: &str) -> String {
    format!("SEMEL_{}", path.to_uppercase().replace('.', "_"))
}

fn flag(path: &str) -> String {
    // Given once for each.
    let path = if path == "web.origins" { "web.origin" } else { path };
    format!("--{}", path.replace(['.', '_'], "-"))
}

impl Config {
    /// The options of the engine.
    pub fn engine_options(&self) -> engine::Options {
        let mut options = engine::Options { window: self.window, lease: millis(self.lease), ..Default::default() };
        options.retention.runs = self.keep_runs.map(millis);
        options.retention.events = self.keep_events.map(millis);
        options.limits.cancel_grace = millis(self.cancel_grace);
        options.limits.live_runs_per_app_max = self.live_runs_per_app_max;
        options.bounds = self.bounds;
        options
    }

    /// The files of TLS; none if it is off.
    pub fn tls_files(&self) -> Option<TlsFiles> {
        let (certificate, key) = self.tls_certificate.clone().zip(self.tls_key.clone())?;
        let asked = self.tls_client_ca.clone().filter(|_| self.tls_client_auth != ClientAuth::Off);
        let clients = asked.map(|authorities| (authorities, self.tls_client_auth));
        Some(TlsFiles { certificate, key, clients, look_every: LOOK_EVERY })
    }

    /// How many connections are taken.
    pub fn connection_limits(&self) -> ConnectionLimits {
        ConnectionLimits { total: self.connections, per_address: self.connections_per_address }
    }

    /// The size of the store's map, in bytes.
    pub fn map_size(&self) -> usize {
        self.map_size_gib << 30
    }

    /// What is legal and should yet be seen by whoever starts the server.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        match self.auth_mode {
            Mode::Enforce if !self.anonymous.is_empty() => {
                warnings.push("auth.anonymous has no effect while auth.mode is enforce".to_owned());
            }
            Mode::Enforce => {}
            Mode::Permissive => warnings.push(
                "auth.mode is permissive: calls without credentials are served with the rights of auth.anonymous"
                    .to_owned(),
            ),
            Mode::Off => warnings
                .push("auth.mode is off: nobody is asked for credentials and everybody may do everything".to_owned()),
        }
        if !self.listen.ip().is_loopback() && self.tls_files().is_none() {
            warnings.push(format!("credentials cross the network in plaintext on {}", self.listen));
        }
        if self.audit.events.is_none() {
            warnings.push("audit.events is off: nothing is written of who changes what, and who is refused".to_owned());
        }
        if self.quota.mutations_burst > 0 && self.quota.mutations_per_second == 0 {
            warnings.push("quota.mutations_burst has no effect without quota.mutations_per_second".to_owned());
        }
        for row in &self.quota_apps {
            if row.mutations_burst > Some(0) && row.settled(self.quota).mutations_per_second == 0 {
                warnings.push(format!(
                    "mutations_burst of {} in quota.apps has no effect without mutations_per_second",
                    row.apps
                ));
            }
        }
        let asks_nobody = self.tls_files().is_none_or(|files| files.clients.is_none());
        if !self.identities.is_empty() && self.forwarders.is_empty() && asks_nobody {
            warnings
                .push("auth.identities has no effect: callers are asked for no certificate (tls.client_ca)".to_owned());
        }
        if !self.forwarders.is_empty() && self.identities.is_empty() {
            warnings
                .push("auth.forwarders has no effect: nobody is known by a certificate (auth.identities)".to_owned());
        }
        let by_certificate = |peer: &Forwarder| matches!(peer, Forwarder::Certificate(_));
        if asks_nobody && self.forwarders.iter().any(by_certificate) {
            warnings.push(
                "auth.forwarders names peers by certificates, and peers are asked for none (tls.client_ca)".to_owned(),
            );
        }
        warnings
    }

    /// All settings, as nested objects in the form of the file.
    pub fn json(&self) -> Value {
        let mut root = Map::new();
        for key in KEYS {
            let value = (key.show)(self);
            match key.path.split_once('.') {
                None => _ = root.insert(key.path.to_owned(), value),
                Some((section, name)) => {
                    let section = root.entry(section).or_insert_with(|| Value::Object(Map::new()));
                    section.as_object_mut().map(|section| section.insert(name.to_owned(), value));
                }
            }
        }
        Value::Object(root)
    }

    /// All settings, as their paths with their values in words.
    pub fn rows(&self) -> Vec<(&'static str, String)> {
        let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        KEYS.iter().map(|key| (key.path, text((key.show)(self)))).collect()
    }
}

fn millis(duration: Duration) -> Millis {
    Millis(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
}

/// What is known while the sources are gone through.
struct Build {
    resolved: Resolved,
    faults: Vec<Fault>,
}

impl Default for Build {
    fn default() -> Self {
        Self { resolved: Resolved { config: Config::default(), origins: BTreeMap::new() }, faults: Vec::new() }
    }
}

impl Build {
    fn file(&mut self, name: &str, text: &str) {
        match text.parse::<toml::Table>() {
            Ok(table) => self.table(name, "", &table),
            Err(error) => {
                let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
                let line = before.matches('\n').count() + 1;
                let problem = format!("line {line}: {}", error.message());
                self.faults.push(Fault::new("", Origin::File(name.to_owned()), problem));
            }
        }
    }

    fn table(&mut self, name: &str, prefix: &str, table: &toml::Table) {
        for (field, value) in table {
            let path = format!("{prefix}{field}");
            let section = format!("{path}.");
            let is_section = KEYS.iter().any(|key| key.path.starts_with(&section));
            let origin = Origin::File(name.to_owned());
            match (KEYS.iter().find(|key| key.path == path), value) {
                (Some(key), value) => self.set(key, &Given::Toml(value), origin),
                (None, toml::Value::Table(inner)) if is_section => self.table(name, &section, inner),
                (None, _) if is_section => {
                    self.faults.push(Fault::new(&path, origin, format!("must be a table: write [{path}]")));
                }
                (None, _) => self.faults.push(Fault::new(&path, origin, unknown(prefix))),
            }
        }
    }

    fn set(&mut self, key: &'static keys::Key, given: &Given<'_>, origin: Origin) {
        match (key.set)(&mut self.resolved.config, given) {
            Ok(()) => _ = self.resolved.origins.insert(key.path, origin),
            Err(problem) => self.faults.push(Fault::new(key.path, origin, problem)),
        }
    }

    /// What only two settings together can get wrong. Asked only of settings that are each right.
    fn check_together(&mut self) {
        let config = self.resolved.config.clone();
        let mut judge = |paths: [&'static str; 2], wrong: bool, problem: String| {
            if wrong && !self.faults.iter().any(|fault| paths.contains(&fault.path.as_str())) {
                let origin = self.resolved.origins.get(paths[0]).cloned().unwrap_or(Origin::Default);
                self.faults.push(Fault::new(paths[0], origin, problem));
            }
        };
        let half = config.tls_certificate.is_some() != config.tls_key.is_some();
        judge(["tls.certificate", "tls.key"], half, "and tls.key go together: set both, or none".to_owned());
        let has_tls = config.tls_certificate.is_some() && config.tls_key.is_some();
        let idle = config.tls_client_ca.is_some() && !has_tls && !half;
        judge(["tls.client_ca", "tls.certificate"], idle, "needs tls.certificate and tls.key".to_owned());
        let nobody = config.tls_client_auth == ClientAuth::Required && config.tls_client_ca.is_none();
        judge(["tls.client_auth", "tls.client_ca"], nobody, "is required, and needs tls.client_ca".to_owned());
        let exposed = !config.listen.ip().is_loopback() && !config.allow_plaintext && !has_tls;
        let problem = format!(
            "{} can be reached from other machines, and credentials would cross the network in plaintext; set \
             tls.certificate and tls.key, listen on 127.0.0.1 behind a proxy that ends TLS, or set allow_plaintext = true",
            config.listen
        );
        judge(["listen", "allow_plaintext"], exposed, problem);
        let open = config.admin_listen.filter(|address| !address.ip().is_loopback() && !config.allow_plaintext);
        let problem = "asks nobody for credentials, so listen on 127.0.0.1, or set allow_plaintext = true";
        judge(["admin.listen", "allow_plaintext"], open.is_some(), problem.to_owned());
        let shown = config.otlp_endpoint.as_ref().is_some_and(|endpoint| !endpoint.is_private());
        let shown = shown && !config.otlp_headers.is_empty() && !config.allow_plaintext;
        let problem =
            "would cross the network in plaintext; write otlp.endpoint with https://, or set allow_plaintext = true";
        judge(["otlp.headers", "otlp.endpoint"], shown, problem.to_owned());
        let room = config.payload_bytes_max.saturating_add(limits::LOG_CHUNK_BYTES_MAX);
        let problem =
            format!("must be at least {room}: a payload of limits.payload_bytes_max, and what goes around it");
        judge(["limits.message_bytes_max", "limits.payload_bytes_max"], config.message_bytes_max < room, problem);
        let problem =
            "must be at least twice limits.message_bytes_max, or the largest message finds no room".to_owned();
        let narrow = config.intake_bytes_max / 2 < config.message_bytes_max;
        judge(["limits.intake_bytes_max", "limits.message_bytes_max"], narrow, problem.clone());
        let narrow = config.answer_bytes_max / 2 < config.message_bytes_max;
        judge(["limits.answer_bytes_max", "limits.message_bytes_max"], narrow, problem);
        let swallowed = config.window.future_max >= config.window.length;
        let problem = "must be shorter than window.length".to_owned();
        judge(["window.future_max", "window.length"], swallowed, problem);
    }
}

fn unknown(prefix: &str) -> String {
    let inside = KEYS.iter().filter_map(|key| key.path.strip_prefix(prefix));
    let mut names: Vec<&str> = inside.map(|path| path.split('.').next().unwrap_or(path)).collect();
    names.dedup();
    let place = if prefix.is_empty() {
        "the settings are".to_owned()
    } else {
        format!("[{}] has", &prefix[..prefix.len() - 1])
    };
    format!("there is no such setting; {place} {}", names.join(", "))
}

#[cfg(test)]
mod tests;
