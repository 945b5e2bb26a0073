//! The processes under test: a Semel server and the bare echo, each a child with a folder of its own. A child that is
//! dropped is dead and gone before its folder is removed, however the bench ends.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::Error;

/// How often the ready file is looked for: the error of a start time.
const LOOK: Duration = Duration::from_millis(2);
/// How long a start may take; a store of ten million records is loaded within it.
const START_MAX: Duration = Duration::from_secs(300);
/// How much of a child's log an error shows.
const LOG_SHOWN_BYTES: usize = 2048;

/// Which of the two.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// The bare echo.
    Echo,
    /// A server on this data directory, with these settings, as `("SEMEL_WINDOW_LENGTH", "60s")`.
    Semel { data: PathBuf, settings: Vec<(&'static str, String)> },
}

/// See the module.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    /// `http://…`
    pub(super) url: String,
    /// How long it took from its start until it served, to 2 ms.
    pub(super) start: Duration,
}

impl Process {
    /// Starts it; comes back when it serves. `folder` holds its log and its ready file.
    ///
    /// # Errors
    /// [`Error::Child`] with the end of its log, if it does not come to serve.
    pub(super) async fn start(kind: &Kind, folder: &Path) -> Result<Self, Error> {
        let ready = folder.join("ready");
        let log = folder.join("log");
        let begun = Instant::now();
        let child = spawn(kind, folder, &ready, &log).map_err(|source| Error::Spawn { source })?;
        let mut process = Self { child, url: String::new(), start: Duration::ZERO };
        loop {
            if let Some(address) = address(&ready) {
                process.start = begun.elapsed();
                process.url = format!("http://{address}");
                // The next start in this folder waits for a file of its own.
                fs::remove_file(&ready).map_err(|source| Error::File { path: ready, source })?;
                return Ok(process);
            }
            let ended = process.child.try_wait().ok().flatten();
            if ended.is_some() || begun.elapsed() > START_MAX {
                let fate =
                    ended.map_or_else(|| "does not come to serve".to_owned(), |status| format!("ended: {status}"));
                return Err(Error::Child { fate, log: end_of(&log) });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    /// As `kill -9` does: what was acknowledged is on disk, and nothing else matters here.
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn spawn(kind: &Kind, folder: &Path, ready: &Path, log: &Path) -> io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    // A semel.toml that lies where the bench was started is not to change it either.
    command.current_dir(folder);
    // What a shell sets for another server is not to change what is measured.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SEMEL_") {
            command.env_remove(name);
        }
    }
    match kind {
        Kind::Echo => _ = command.args(["bench", "echo-server"]),
        Kind::Semel { data, settings } => {
            command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data);
            command.env("SEMEL_LOG_FILTER", "warn");
            command.envs(settings.iter().map(|(name, value)| (name, value)));
        }
    }
    let log = File::options().create(true).append(true).open(log)?;
    command.arg("--ready-file").arg(ready);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()
}

fn address(ready: &Path) -> Option<String> {
    let said: Value = serde_json::from_str(&fs::read_to_string(ready).ok()?).ok()?;
    said["address"].as_str().map(str::to_owned)
}

fn end_of(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let from = text.len().saturating_sub(LOG_SHOWN_BYTES);
    let from = (from..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    text[from..].trim().to_owned()
}
