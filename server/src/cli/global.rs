//! The options that every command has: which server, as whom, and in what form to answer. Reads the environment for
//! credentials itself, so that a flag goes over a variable without a conflict and no secret shows in `--help`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use semel_client::{Client, Credentials, Options, Tls, v1::TraceContext};

use super::{failure::Failure, files, parse};

/// The longest that one attempt of a call may take; the whole call may take `--timeout`.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// In what form to answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    #[default]
    Table,
    /// For programs: one JSON document, with the field names of the protocol
    Json,
}

/// When to use colors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// See the module.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Global {
    /// The server
    #[arg(long, global = true, value_name = "URL", env = "SEMEL_SERVER", default_value = "http://127.0.0.1:7400")]
    pub(crate) server: String,
    /// The app to work on; the app of the credentials if left out
    #[arg(long, global = true, value_name = "APP", env = "SEMEL_APP", default_value = "", hide_default_value = true)]
    pub(crate) app: String,
    /// The secret of an app, sent as it is [env: SEMEL_SECRET]
    #[arg(long, global = true, value_name = "SECRET", conflicts_with_all = ["secret_file", "token"])]
    pub(crate) secret: Option<String>,
    /// A file that holds the secret of an app [env: SEMEL_SECRET_FILE]
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "token")]
    pub(crate) secret_file: Option<PathBuf>,
    /// A token, as `semel token issue` gives it [env: SEMEL_TOKEN]
    #[arg(long, global = true, value_name = "TOKEN")]
    pub(crate) token: Option<String>,
    /// CA certificates (PEM) to hold an https:// server against, instead of the system's
    #[arg(long, global = true, value_name = "FILE", env = "SEMEL_CA")]
    pub(crate) ca: Option<PathBuf>,
    /// A client certificate with its chain (PEM), for a server that asks for one
    #[arg(long, global = true, value_name = "FILE", env = "SEMEL_CERT", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// The key of the client certificate (PEM)
    #[arg(long, global = true, value_name = "FILE", env = "SEMEL_KEY", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// Lets credentials go over http:// to other machines: for networks that encrypt by themselves
    #[arg(long, global = true, env = "SEMEL_SERVER_PLAINTEXT")]
    pub(crate) server_plaintext: bool,
    /// The span under which the calls stand in a trace, as W3C Trace Context writes it [env: TRACEPARENT]
    #[arg(long, global = true, value_name = "TRACEPARENT", value_parser = parse::traceparent)]
    pub(crate) traceparent: Option<String>,
    /// How long a call may take over all its attempts
    #[arg(long, global = true, value_name = "SPAN", value_parser = parse::duration, default_value = "60s")]
    pub(crate) timeout: Duration,
    /// In what form to answer
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        value_name = "table|json",
        default_value_t,
        hide_possible_values = true
    )]
    pub(crate) output: Output,
    /// When to use colors
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "auto|always|never",
        default_value_t,
        hide_possible_values = true
    )]
    pub(crate) color: Color,
    /// Says of every call what became of it, and of each attempt that failed
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
}

impl Global {
    /// What these options say of who calls.
    ///
    /// A secret always goes as it is behind `Bearer`, also where `--app` is given: an operator who holds the secret of
    /// one app works on others with it, and exchanging it for a token of the app that is worked on would fail.
    pub(crate) fn credentials(&self) -> Result<Credentials, Failure> {
        self.credentials_with(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn credentials_with(&self, variable: impl Fn(&str) -> Option<String>) -> Result<Credentials, Failure> {
        let from_file = |path: PathBuf| files::secret(&path).map(Credentials::Bearer);
        if let Some(token) = &self.token {
            return Ok(Credentials::Token(token.clone()));
        }
        if let Some(secret) = &self.secret {
            return Ok(Credentials::Bearer(secret.clone()));
        }
        if let Some(path) = &self.secret_file {
            return from_file(path.clone());
        }
        if let Some(token) = variable("SEMEL_TOKEN") {
            return Ok(Credentials::Token(token));
        }
        if let Some(secret) = variable("SEMEL_SECRET") {
            return Ok(Credentials::Bearer(secret));
        }
        variable("SEMEL_SECRET_FILE").map_or(Ok(Credentials::None), |path| from_file(path.into()))
    }

    /// Connects to the server; fails at once if nobody listens there.
    pub(crate) async fn connect(&self) -> Result<Client, Failure> {
        let options = Options::new(&self.server)
            .tls(self.tls()?)
            .allow_plaintext(self.server_plaintext)
            .app(&self.app)
            .credentials(self.credentials()?)
            .overall_timeout(self.timeout)
            .request_timeout(REQUEST_TIMEOUT.min(self.timeout))
            .connect_timeout(Duration::from_secs(5).min(self.timeout))
            .client_name("semel-cli");
        let context = self.trace_context(|name| std::env::var(name).ok());
        let options = options.trace_context(move || context.clone());
        Client::connect(options).await.map_err(|error| Failure::connect(error, &self.server))
    }

    /// Under which span the calls stand: that of the flag, or that of the environment, which may hold anything.
    fn trace_context(&self, variable: impl Fn(&str) -> Option<String>) -> Option<TraceContext> {
        if let Some(traceparent) = self.traceparent.clone() {
            return Some(TraceContext { traceparent, ..Default::default() });
        }
        let traceparent = variable("TRACEPARENT").filter(|text| parse::traceparent(text).is_ok())?;
        Some(TraceContext { traceparent, tracestate: variable("TRACESTATE").unwrap_or_default() })
    }

    fn tls(&self) -> Result<Tls, Failure> {
        let read = |path: &PathBuf| std::fs::read(path).map_err(|error| Failure::file("read", path, &error));
        let mut tls = Tls::new();
        if let Some(path) = &self.ca {
            tls = tls.ca_certificates(read(path)?);
        }
        if let Some((cert, key)) = self.cert.as_ref().zip(self.key.as_ref()) {
            tls = tls.client_certificate(read(cert)?, read(key)?);
        }
        Ok(tls)
    }

    /// Under `--verbose`, shows what the client does: each attempt that is refused, and why.
    pub(crate) fn log_calls(&self) {
        if !self.verbose {
            return;
        }
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter("semel_client=debug")
            .with_ansi(self.colors())
            .with_writer(std::io::stderr);
        // A subscriber that is set already, by whatever embeds this command line, is as good.
        _ = subscriber.try_init();
    }

    /// Whether standard error may be colored.
    pub(crate) fn colors(&self) -> bool {
        use std::io::IsTerminal as _;
        match self.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()) && std::io::stderr().is_terminal(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        global: Global,
    }

    fn credentials(flags: &[&str], variables: &[(&str, &str)]) -> Credentials {
        let arguments = std::iter::once("semel").chain(flags.iter().copied());
        let only = Only::try_parse_from(arguments).expect("good flags");
        let variable = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, v)| (*v).to_owned());
        only.global.credentials_with(variable).expect("good credentials")
    }

    #[test]
    fn a_flag_goes_over_the_environment_and_a_token_over_a_secret() {
        let variables = [("SEMEL_SECRET", "sk_env"), ("SEMEL_TOKEN", "tok_env")];
        let bearer = |text: &str| Credentials::Bearer(text.to_owned());
        assert!(credentials(&["--secret", "sk_flag"], &variables) == bearer("sk_flag"));
        assert!(credentials(&[], &variables) == Credentials::Token("tok_env".to_owned()));
        assert!(credentials(&[], &variables[..1]) == bearer("sk_env"));
        assert!(credentials(&[], &[]) == Credentials::None);
    }

    #[test]
    fn a_secret_is_read_from_a_file_without_its_line_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret");
        std::fs::write(&path, "sk_file\n").expect("written");
        let path = path.to_str().expect("text");
        let expected = Credentials::Bearer("sk_file".to_owned());
        assert!(credentials(&["--secret-file", path], &[]) == expected);
        assert!(credentials(&[], &[("SEMEL_SECRET_FILE", path)]) == expected);
    }

    #[test]
    fn a_span_is_that_of_the_flag_or_a_good_one_of_the_environment() {
        let (one, other) = (format!("00-{}1-{}2-01", "0".repeat(31), "0".repeat(15)), "00-zz-1-01");
        let context = |flags: &[&str], parent: &str| {
            let only = Only::try_parse_from(std::iter::once("semel").chain(flags.iter().copied())).expect("good flags");
            let variables = [("TRACEPARENT", parent), ("TRACESTATE", "a=1")];
            let variable =
                |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, v)| (*v).to_owned());
            only.global.trace_context(variable)
        };
        let given =
            |tracestate: &str| Some(TraceContext { traceparent: one.clone(), tracestate: tracestate.to_owned() });
        assert_eq!(context(&["--traceparent", &one], other), given(""));
        assert_eq!(context(&[], &one), given("a=1"));
        assert_eq!(context(&[], other), None);
        assert!(Only::try_parse_from(["semel", "--traceparent", other]).is_err());
    }

    #[test]
    fn two_credentials_at_once_are_a_mistake() {
        assert!(Only::try_parse_from(["semel", "--secret", "a", "--token", "b"]).is_err());
    }
}
