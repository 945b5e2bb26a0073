//! `semel config check`: the settings that `semel serve` would take, or all that is wrong with them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    failure::{Done, Failure},
    files,
    global::{Global, Output},
    out, show,
};
use crate::{
    auth::jwt::{self, KeySource},
    config::{self, Config, FILE_DEFAULT, Fault, Origin, Resolved, Sources},
    transport::check_tls,
};

/// See the module.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Shows each setting and where it comes from, or all faults at once
    Check(SettingArgs),
}

/// Where settings come from: the options that `serve` and `config check` share.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct SettingArgs {
    /// The file with the settings; ./semel.toml if it is there [env: SEMEL_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where to listen
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Where to listen for operators: metrics, health, readiness; nowhere if left out
    #[arg(long, value_name = "ADDRESS")]
    admin_listen: Option<String>,
    /// Where everything is kept
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// How to treat credentials: enforce, permissive or off
    #[arg(long, value_name = "MODE")]
    auth_mode: Option<String>,
    /// Serves plaintext on other addresses than loopback
    #[arg(long)]
    allow_plaintext: bool,
    /// From where pages may call, such as https://ops.example.com; once for each
    #[arg(long, value_name = "ORIGIN")]
    web_origin: Vec<String>,
    /// How to write logs: text or json
    #[arg(long, value_name = "FORM")]
    log_format: Option<String>,
}

impl SettingArgs {
    /// Makes the config of file, environment and flags.
    pub(crate) fn resolve(&self) -> Result<Resolved, Failure> {
        let environment = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok().filter(|name| name.starts_with("SEMEL_"))?;
            Some((name, value.to_string_lossy().into_owned()))
        });
        let mut sources = Sources { environment: environment.collect(), flags: self.flags(), file: None };
        let named = self.config.clone().or_else(|| sources.environment.get("SEMEL_CONFIG").map(PathBuf::from));
        let path = named.or_else(|| Path::new(FILE_DEFAULT).exists().then(|| PathBuf::from(FILE_DEFAULT)));
        if let Some(path) = path {
            sources.file = Some((path.display().to_string(), files::read_text(&path)?));
        }
        config::resolve(&sources).map_err(Failure::Faults)
    }

    fn flags(&self) -> Vec<(&'static str, String)> {
        let given = [
            ("listen", self.listen.clone()),
            ("admin.listen", self.admin_listen.clone()),
            ("data_dir", self.data_dir.clone()),
            ("auth.mode", self.auth_mode.clone()),
            ("allow_plaintext", self.allow_plaintext.then(|| "true".to_owned())),
            ("web.origins", (!self.web_origin.is_empty()).then(|| self.web_origin.join(","))),
            ("log.format", self.log_format.clone()),
        ];
        given.into_iter().filter_map(|(path, value)| value.map(|value| (path, value))).collect()
    }
}

/// The key sets that lie in files must be there. Those behind URLs may come and go, and are not asked for here.
fn check_key_files(config: &Config, origins: &BTreeMap<&'static str, Origin>) -> Result<(), Failure> {
    const PATH: &str = "auth.issuers";
    let origin = origins.get(PATH).cloned().unwrap_or(Origin::Default);
    let faults = config.issuers.iter().filter_map(|issuer| match &issuer.keys {
        KeySource::File(path) => {
            let error = jwt::check_file(path).err()?;
            Some(Fault::new(PATH, origin.clone(), format!("the issuer {:?}: {error}", issuer.issuer)))
        }
        KeySource::Url(_) => None,
    });
    let faults: Vec<Fault> = faults.collect();
    if faults.is_empty() { Ok(()) } else { Err(Failure::Faults(faults)) }
}

pub(crate) fn run(command: &ConfigCommand, global: &Global) -> Result<Done, Failure> {
    let ConfigCommand::Check(args) = command;
    let Resolved { config, origins } = args.resolve()?;
    if let Some(files) = config.tls_files() {
        check_tls(&files).map_err(|error| Failure::with_causes(&error, "mend what is named above"))?;
    }
    check_key_files(&config, &origins)?;
    let origin = |path| origins.get(path).unwrap_or(&Origin::Default).to_string();
    match global.output {
        Output::Table => {
            let rows = config.rows().into_iter();
            let rows = rows.map(|(path, value)| vec![path.to_owned(), out::cell(&value), origin(path)]).collect();
            out::text(&show::list(&["SETTING", "VALUE", "FROM"], rows))?;
            config.warnings().iter().for_each(|warning| out::note(&format!("WARNING: {warning}")));
        }
        Output::Json => {
            let origins: serde_json::Map<_, _> =
                config.rows().into_iter().map(|(path, _)| (path.to_owned(), json!(origin(path)))).collect();
            out::json(&json!({ "settings": config.json(), "origins": origins, "warnings": config.warnings() }))?;
        }
    }
    Ok(Done::OK)
}
