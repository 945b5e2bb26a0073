//! `semel keys`: the server's own keys, in its data directory. Works on the file, not through a server.

use clap::Subcommand;
use serde_json::json;

use super::{
    config_check::SettingArgs,
    failure::{Done, Failure},
    global::{Global, Output},
    out,
};
use crate::{
    auth::{Keyring, KeyringError},
    server::KEYS_FILE,
};

/// See the module.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Adds a new key, which the server uses from its next start on; what older keys signed stays good
    Rotate(SettingArgs),
}

pub(crate) fn run(command: &KeysCommand, global: &Global) -> Result<Done, Failure> {
    let KeysCommand::Rotate(args) = command;
    let path = args.resolve()?.config.data_dir.join(KEYS_FILE);
    if !path.exists() {
        let message = format!("there is no {}", path.display());
        return Err(Failure::local(
            message,
            "name the directory with --data-dir; a server makes the file at its start",
        ));
    }
    let keyring = Keyring::rotate(&path).map_err(|error| failed(&error))?;
    match global.output {
        Output::Table => {
            out::text(&format!("new key {}; {} keys are kept", keyring.current_id(), keyring.len()))?;
            out::note("restart the server to use it");
        }
        Output::Json => out::json(&json!({ "key_id": keyring.current_id(), "key_count": keyring.len() }))?,
    }
    Ok(Done::OK)
}

fn failed(error: &KeyringError) -> Failure {
    let cause = std::error::Error::source(error).map(|cause| format!(" ({cause})")).unwrap_or_default();
    Failure::local(format!("{error}{cause}"), "nothing was changed")
}
