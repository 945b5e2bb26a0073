//! `semel serve`: runs a server until it is asked to stop. Only the glue: settings come from [`config`](crate::config),
//! the server itself from [`server`](crate::server).

use std::{
    fmt::Write as _,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use serde_json::json;

use super::{
    config_check::SettingArgs,
    failure::{Done, Failure},
    global::{Global, Output},
    out, signal,
};
use crate::{
    config::Config,
    server::{self, Data, Running, Settings},
    transport::QuotaRules,
};

/// How long a server whose store has failed may take to tell its callers.
const FAILED_DRAIN_MAX: Duration = Duration::from_secs(5);

/// What `semel serve` was told.
#[derive(Args, Debug)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    settings: SettingArgs,
    /// Writes {"address": …, "pid": …} into this file once the server is ready, in one step
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

pub(crate) fn run(args: &ServeArgs, global: &Global) -> Result<Done, Failure> {
    let config = args.settings.resolve()?.config;
    super::log_to_stderr(&config.log_filter, config.log_format, global);
    super::runtime::server_runtime()?.block_on(async {
        let server = server::start(settings(&config)).await.map_err(|error| failed(&error))?;
        let place = Place { address: server.address(), admin: server.admin_address() };
        if let Some(path) = &args.ready_file {
            write_ready(path, place.address, place.admin).map_err(|error| Failure::file("write", path, &error))?;
        }
        match global.output {
            Output::Table => out::text(&greeting(&config, place, server.first_admin_secret_file()))?,
            Output::Json => out::json_line(&greeting_json(&config, place, server.first_admin_secret_file()))?,
        }
        serve_until_stopped(server, global.output).await
    })
}

async fn serve_until_stopped(server: Running, output: Output) -> Result<Done, Failure> {
    tokio::select! {
        error = server.failed() => {
            // Callers get what there is to say; those that hang on are cut, so that the process ends soon.
            if tokio::time::timeout(FAILED_DRAIN_MAX, server.end()).await.is_err() {
                tracing::warn!("callers that hang on are cut");
            }
            return Err(failed(&error));
        }
        signal = signal::stop() => {
            if output == Output::Table {
                out::note(&format!("{signal}: stopping; a second one stops at once"));
            }
        }
    }
    tokio::select! {
        ended = server.shutdown() => ended.map_err(|error| failed(&error))?,
        signal = signal::stop() => {
            // Nothing that was acknowledged is lost by it: what is committed is on disk.
            return Err(Failure::local(format!("{signal}: stopped at once"), "calls under way were cut; they may be sent again under their ids"));
        }
    }
    Ok(Done::OK)
}

fn settings(config: &Config) -> Settings {
    let data = Data::Directory { path: config.data_dir.clone(), map_size: config.map_size() };
    Settings {
        listen: config.listen,
        admin_listen: config.admin_listen,
        engine: config.engine_options(),
        auth_mode: config.auth_mode,
        anonymous: config.anonymous.clone(),
        tls: config.tls_files(),
        identities: config.identities.clone(),
        forwarders: config.forwarders.clone(),
        issuers: config.issuers.clone(),
        allow_plaintext: config.allow_plaintext,
        web_origins: config.web_origins.clone(),
        payload_bytes_max: config.payload_bytes_max,
        message_bytes_max: config.message_bytes_max,
        intake_bytes_max: config.intake_bytes_max,
        answer_bytes_max: config.answer_bytes_max,
        connections: config.connection_limits(),
        calls_max: config.calls_max,
        window_bytes_max: config.window_bytes_max,
        quota: QuotaRules::new(config.quota, &config.quota_apps),
        connection_age: config.connection_age,
        drain_delay: config.drain_delay,
        drain_timeout: config.drain_timeout,
        access_log: config.access_log.clone(),
        audit: config.audit,
        otlp: config.otlp_settings(),
        ..Settings::new(data)
    }
}

/// Beside it first, then in its place: whoever waits for the file never reads half of it.
pub(super) fn write_ready(path: &Path, address: SocketAddr, admin: Option<SocketAddr>) -> std::io::Result<()> {
    let beside = path.with_extension(format!("{}.new", std::process::id()));
    let mut ready = json!({ "address": address.to_string(), "pid": std::process::id() });
    if let Some(admin) = admin {
        ready["admin"] = json!(admin.to_string());
    }
    fs::write(&beside, format!("{ready}\n"))?;
    fs::rename(&beside, path)
}

/// Where a server listens: for callers, and for operators if it does.
#[derive(Clone, Copy)]
struct Place {
    address: SocketAddr,
    admin: Option<SocketAddr>,
}

/// What people need to know when it starts.
fn greeting(config: &Config, place: Place, admin_secret: Option<&Path>) -> String {
    let address = place.address;
    let mut text = format!("semel {} serves on {address}\n", env!("CARGO_PKG_VERSION"));
    let rows = config.rows();
    let mode = rows.iter().find(|(path, _)| *path == "auth.mode").map_or("", |(_, value)| value.as_str());
    _ = writeln!(text, "  data       {}", config.data_dir.display());
    _ = writeln!(text, "  auth mode  {mode}");
    let scheme = if let Some(files) = config.tls_files() {
        _ = writeln!(text, "  TLS        with {}", files.certificate.display());
        "https"
    } else {
        "http"
    };
    if let Some(admin) = place.admin {
        _ = writeln!(text, "  operators  http://{admin}/metrics, /healthz, /readyz");
    }
    for warning in config.warnings() {
        _ = writeln!(text, "  WARNING    {warning}");
    }
    let secret_file = config.data_dir.join(server::ADMIN_SECRET_FILE);
    if let Some(path) = admin_secret {
        _ = writeln!(text, "  admin      its secret was made and is in {}, for its owner's eyes only", path.display());
    }
    let is_usual = address.port() == 7400 && scheme == "http";
    let server = if is_usual { String::new() } else { format!(" SEMEL_SERVER={scheme}://{address}") };
    _ = writeln!(text, "try next, in another shell:");
    _ = writeln!(text, "  export SEMEL_SECRET_FILE={}{server}", secret_file.display());
    _ = writeln!(text, "  semel app create demo && semel job create hello --app demo --processor exec");
    text
}

fn greeting_json(config: &Config, place: Place, admin_secret: Option<&Path>) -> serde_json::Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "address": place.address.to_string(),
        "admin": place.admin.map(|admin| admin.to_string()),
        "pid": std::process::id(),
        "settings": config.json(),
        "warnings": config.warnings(),
        "admin_secret_file": admin_secret.map(|path| path.display().to_string()),
    })
}

/// Why the server does not run, with all its causes.
fn failed(error: &server::Error) -> Failure {
    let next = match error {
        server::Error::Listen { .. } => "stop the other one, or take another address with --listen",
        server::Error::Plaintext { .. } => "see allow_plaintext in `semel config check`",
        server::Error::Tls(_) => "mend what is named above; `semel config check` looks at the same files",
        server::Error::Keyring(_) | server::Error::File { .. } | server::Error::Store(_) => {
            "check the data directory: its rights, its free space, and that no other server uses it"
        }
        server::Error::Access(_) => "mend it, or leave log.access out",
        server::Error::Audit(_) => "nobody is served without it unless audit.events says so; see `semel config check`",
        server::Error::AuditLost(_) => "make room, then start it again: what is missing is written then",
        server::Error::Engine(_) => {
            "mend what is named above, as by making space, then start it again: all that was acknowledged is there"
        }
        server::Error::Otlp(_) => "mend otlp.endpoint or otlp.ca, or leave otlp.endpoint out",
    };
    Failure::with_causes(error, next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Mode;

    #[test]
    fn the_greeting_says_where_the_secret_is_and_warns_of_an_open_door() {
        let admin = Some(SocketAddr::from(([127, 0, 0, 1], 7401)));
        let place = Place { address: SocketAddr::from(([127, 0, 0, 1], 7400)), admin };
        let quiet = greeting(&Config::default(), place, None);
        assert!(quiet.contains("http://127.0.0.1:7401/metrics"));
        assert!(quiet.contains("auth mode  enforce") && !quiet.contains("WARNING") && !quiet.contains("was made"));
        let open = Config { auth_mode: Mode::Off, ..Config::default() };
        let loud = greeting(&open, place, Some(Path::new("semel-data/admin-secret")));
        assert!(loud.contains("WARNING") && loud.contains("semel-data/admin-secret"));
    }

    #[test]
    fn a_ready_file_is_written_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ready.json");
        let admin = SocketAddr::from(([127, 0, 0, 1], 4712));
        write_ready(&path, SocketAddr::from(([127, 0, 0, 1], 4711)), Some(admin)).expect("written");
        let text = fs::read_to_string(&path).expect("is there");
        let ready: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!((&ready["address"], &ready["admin"]), (&json!("127.0.0.1:4711"), &json!("127.0.0.1:4712")));
        assert_eq!(ready["pid"], std::process::id());
        assert_eq!(fs::read_dir(folder.path()).expect("reads").count(), 1);
    }

    #[test]
    fn the_settings_of_the_server_are_those_of_the_config() {
        let config = Config { payload_bytes_max: 77, map_size_gib: 3, ..Config::default() };
        let settings = settings(&config);
        assert_eq!(settings.payload_bytes_max, 77);
        assert!(matches!(settings.data, Data::Directory { map_size, .. } if map_size == 3 << 30));
    }

    #[test]
    fn the_defaults_are_those_of_the_server() {
        let config = Config::default();
        let defaults = Settings::new(Data::Directory { path: config.data_dir.clone(), map_size: 0 });
        assert_eq!((config.listen, config.auth_mode), (defaults.listen, defaults.auth_mode));
        assert_eq!(config.drain_timeout, defaults.drain_timeout);
        assert_eq!(config.payload_bytes_max, defaults.payload_bytes_max);
        assert_eq!(config.message_bytes_max, defaults.message_bytes_max);
        let engine = config.engine_options();
        assert_eq!((engine.window, engine.lease), (defaults.engine.window, defaults.engine.lease));
    }
}
