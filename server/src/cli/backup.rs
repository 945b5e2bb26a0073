//! `semel backup` and `semel restore`: they work on directories, not through a server.

use std::{io::IsTerminal as _, path::PathBuf};

use clap::Args;
use serde_json::json;

use super::{
    config_check::SettingArgs,
    failure::{Done, Failure},
    global::{Global, Output},
    out,
};
use crate::{
    backup::{self, Error, Manifest, Progress},
    clock::Clock,
};

/// What `semel backup` was told.
#[derive(Args, Debug)]
pub(crate) struct BackupArgs {
    /// Where to put the backup: a directory that is empty or not there yet
    #[arg(long, value_name = "BACKUP")]
    to: PathBuf,
    #[command(flatten)]
    settings: SettingArgs,
}

/// What `semel restore` was told.
#[derive(Args, Debug)]
pub(crate) struct RestoreArgs {
    /// The backup
    #[arg(long, value_name = "BACKUP")]
    from: PathBuf,
    #[command(flatten)]
    settings: SettingArgs,
}

pub(crate) fn make(args: &BackupArgs, global: &Global) -> Result<Done, Failure> {
    let data_dir = args.settings.resolve()?.config.data_dir;
    let now = Clock::system().now().wall;
    let manifest = backup::make(&data_dir, &args.to, now, &mut tell(global)).map_err(|error| failed(&error))?;
    show(&manifest, global)?;
    Ok(Done::OK)
}

pub(crate) fn restore(args: &RestoreArgs, global: &Global) -> Result<Done, Failure> {
    let data_dir = args.settings.resolve()?.config.data_dir;
    let now = Clock::system().now().wall;
    let manifest = backup::restore(&args.from, &data_dir, now, &mut tell(global)).map_err(|error| failed(&error))?;
    show(&manifest, global)?;
    if global.output == Output::Table {
        out::note(
            "calls that were made after the backup are not in it; under ids of before this restore they are refused, \
             never executed\ntokens and secrets that were taken back after it are good again: take them back again",
        );
    }
    Ok(Done::OK)
}

/// Says how far it is, on standard error.
fn tell(global: &Global) -> impl FnMut(Progress) + use<> {
    let (is_shown, is_moving) = (global.output == Output::Table, std::io::stderr().is_terminal());
    move |progress| match progress {
        Progress::Copied(bytes) if is_shown && is_moving => eprint!("\rtables: {} MiB", bytes >> 20),
        Progress::Checked(file) if is_shown => {
            out::note(&format!("{}{file}: checked", if is_moving { "\r" } else { "" }))
        }
        _ => {}
    }
}

fn show(manifest: &Manifest, global: &Global) -> Result<(), Failure> {
    let bytes: u64 = manifest.files.iter().map(|file| file.size).sum();
    match global.output {
        Output::Json => out::json(&json!(manifest)),
        Output::Table => out::text(&format!(
            "store {}\nrevision {}\nfiles {}, {bytes} bytes\nmade by semel {}",
            manifest.store_id,
            manifest.revision,
            manifest.files.len(),
            manifest.made_by,
        )),
    }
}

fn failed(error: &Error) -> Failure {
    let next = match error {
        Error::NotEmpty { .. } => "nothing was changed",
        Error::Unfinished { .. } | Error::Newer { .. } | Error::Damaged { .. } => "nothing was restored",
        Error::Store(crate::store::Error::Format { .. } | crate::store::Error::Absent { .. }) => "nothing was changed",
        Error::File { .. } | Error::Store(_) => "mend it, then begin again with an empty directory",
    };
    Failure::with_causes(error, next)
}
