//! The settings `otlp.*`: where spans and metrics go, if anywhere. How their values are read; values of headers are shown to
//! nobody.

use serde_json::{Value, json};

use super::{Config, given::Given};
use crate::otlp::{CollectorUrl, Headers, Settings};

/// What is shown in place of a secret.
const HIDDEN: &str = "***";

/// An address; an empty text means none.
pub(super) fn endpoint(given: &Given<'_>) -> Result<Option<CollectorUrl>, String> {
    match given.text("http://127.0.0.1:4317")? {
        "" => Ok(None),
        text => CollectorUrl::parse(text).map(Some),
    }
}

/// Headers: in a file a table, as text `NAME=VALUE,NAME=VALUE`. No fault shows a value.
pub(super) fn headers(given: &Given<'_>) -> Result<Headers, String> {
    let form = "must be a table such as { x-api-key = \"…\" }, or as text NAME=VALUE with commas between them";
    match given {
        Given::Text(text) => {
            let pairs: Option<Vec<(&str, &str)>> =
                text.split(',').filter(|pair| !pair.trim().is_empty()).map(|pair| pair.split_once('=')).collect();
            let pairs = pairs.ok_or(form)?;
            Headers::parse(pairs.into_iter().map(|(name, value)| (name.trim(), value.trim())))
        }
        Given::Toml(toml::Value::Table(table)) => {
            let pairs: Option<Vec<(&str, &str)>> =
                table.iter().map(|(name, value)| Some((name.as_str(), value.as_str()?))).collect();
            Headers::parse(pairs.ok_or(form)?)
        }
        Given::Toml(_) => Err(form.to_owned()),
    }
}

/// The names alone, in the form of the file.
pub(super) fn show_headers(headers: &Headers) -> Value {
    headers.names().map(|name| (name.to_owned(), json!(HIDDEN))).collect()
}

/// A part of a whole: from 0 to 1.
pub(super) fn ratio(given: &Given<'_>) -> Result<f64, String> {
    let value = match given {
        Given::Text(text) => text.parse().ok(),
        Given::Toml(toml::Value::Float(value)) => Some(*value),
        Given::Toml(toml::Value::Integer(0)) => Some(0.0),
        Given::Toml(toml::Value::Integer(1)) => Some(1.0),
        Given::Toml(_) => None,
    };
    value.filter(|value| (0.0..=1.0).contains(value)).ok_or_else(|| "must be a number from 0 to 1".to_owned())
}

impl Config {
    /// Where spans and metrics go; none for nowhere.
    pub fn otlp_settings(&self) -> Option<Settings> {
        Some(Settings {
            endpoint: self.otlp_endpoint.clone()?,
            headers: self.otlp_headers.clone(),
            ca: self.otlp_ca.clone(),
            sample_ratio: self.otlp_sample_ratio,
            interval: self.otlp_interval,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Sources, resolve},
        *,
    };

    fn config(text: &str) -> Result<Config, String> {
        let sources = Sources { file: Some(("semel.toml".to_owned(), text.to_owned())), ..Sources::default() };
        resolve(&sources).map(|resolved| resolved.config).map_err(|faults| format!("{faults:?}"))
    }

    #[test]
    fn nothing_is_sent_anywhere_unless_it_is_said_where() {
        assert!(config("").expect("the defaults hold").otlp_settings().is_none());
        assert!(config("[otlp]\nendpoint = \"\"").expect("it holds").otlp_settings().is_none());
    }

    #[test]
    fn all_of_it_is_read_and_no_value_of_a_header_is_shown() {
        let text = r#"
            [otlp]
            endpoint = "https://otel.example:4317"
            headers = { x-api-key = "hunter2" }
            ca = "/etc/semel/otel.pem"
            sample_ratio = 0.25
            interval = "30s"
        "#;
        let config = config(text).expect("it holds");
        let settings = config.otlp_settings().expect("it is on");
        assert_eq!(settings.endpoint.to_string(), "https://otel.example:4317/");
        assert_eq!((settings.sample_ratio, settings.interval.as_secs()), (0.25, 30));
        let shown = format!("{} {:?} {settings:?} {config:?}", config.json(), config.rows());
        assert!(shown.contains("x-api-key") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn headers_can_stand_in_the_environment() {
        let environment = [("SEMEL_OTLP_HEADERS".to_owned(), "x-api-key=hunter2, authorization=Bearer a=b".to_owned())];
        let sources = Sources { environment: environment.into(), ..Sources::default() };
        let config = resolve(&sources).expect("they hold").config;
        assert_eq!(config.otlp_headers.names().collect::<Vec<_>>(), ["x-api-key", "authorization"]);
    }

    #[test]
    fn credentials_do_not_cross_a_network_in_plaintext() {
        let text = "[otlp]\nendpoint = \"http://otel.example:4317\"\nheaders = { x-api-key = \"hunter2\" }";
        let problem = config(text).expect_err("anybody could read it");
        assert!(problem.contains("otlp.headers") && !problem.contains("hunter2"), "{problem}");
        assert!(config(&format!("allow_plaintext = true\n{text}")).is_ok());
        assert!(config("[otlp]\nendpoint = \"http://otel.example:4317\"").is_ok(), "spans are no secrets");
        assert!(config(&text.replace("otel.example", "127.0.0.1")).is_ok());
    }

    #[test]
    fn faults_say_what_would_be_right_and_show_no_value() {
        for (text, says) in [
            ("sample_ratio = 1.5", "from 0 to 1"),
            ("sample_ratio = \"x\"", "from 0 to 1"),
            ("endpoint = \"collector:4317\"", "http://"),
            ("headers = { x-api-key = 7 }", "must be a table"),
            ("headers = \"hunter2\"", "must be a table"),
            ("headers = { \"a b\" = \"hunter2\" }", "no name of a header"),
            ("interval = \"1ms\"", "from"),
        ] {
            let problem = config(&format!("[otlp]\n{text}")).expect_err(text);
            assert!(problem.contains(says) && !problem.contains("hunter2"), "{problem}");
        }
    }
}
