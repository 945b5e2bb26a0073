//! A worker for a first use: the client's worker runtime with the built-in processors `exec` and `http`. It owns what its
//! operator may say; what a run may do is bounded by that and by nothing that a submitter sends. The server never uses
//! it: nothing is executed there.

pub mod exec;
pub mod http;
mod payload;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, fmt, future::Future, str::FromStr, time::Duration};

use semel_client::{
    Client,
    worker::{Builder, Summary, Worker},
};
use serde::Deserialize;

/// How long a stopped command's last words may take to reach the log, on top of its time of grace.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What the operator of a worker says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A name for people, for instance the host's. Default: none.
    pub name: String,
    /// How many attempts it takes at a time, 1 to 10,000. Default 1.
    pub slots: usize,
    /// What it offers. Empty by default, which means all; of them only what has something on its allow-list is
    /// offered.
    pub processors: BTreeSet<Kind>,
    /// What commands may be started.
    pub exec: exec::Settings,
    /// Where requests may go.
    pub http: http::Settings,
    /// How long what runs may go on after the shutdown has begun. Default 30 s.
    pub drain_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: String::new(),
            slots: 1,
            processors: BTreeSet::new(),
            exec: exec::Settings::default(),
            http: http::Settings::default(),
            drain_timeout: Duration::from_secs(30),
        }
    }
}

/// A built-in processor. Its name is that under which jobs ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Starts a command.
    Exec,
    /// Sends a request.
    Http,
}

impl Kind {
    /// Each of them.
    pub const ALL: [Self; 2] = [Self::Exec, Self::Http];

    /// The name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exec => "exec",
            Self::Http => "http",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| Error::UnknownProcessor(text.to_owned()))
    }
}

/// Why a worker does not work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing to offer.
    #[error("this worker would offer nothing: allow it commands (--exec-allow) or URLs (--http-allow)")]
    Nothing,
    /// No processor of this name is built in.
    #[error("there is no built-in processor {0:?}; there are `exec` and `http`")]
    UnknownProcessor(String),
    /// The processor `http` cannot be set up.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// The settings do not fit, or a server refused the worker for good.
    #[error(transparent)]
    Client(#[from] semel_client::Error),
}

impl Settings {
    /// What is offered: of what was asked for, that which has something on its allow-list. A processor that may do nothing
    /// is not offered, for every run that it took would fail; so those runs wait for a worker that may.
    fn offered(&self) -> Result<BTreeSet<Kind>, Error> {
        let allowed = |kind: &Kind| match kind {
            Kind::Exec => !self.exec.allow.is_empty(),
            Kind::Http => !self.http.allow.is_empty(),
        };
        let asked = if self.processors.is_empty() { BTreeSet::from(Kind::ALL) } else { self.processors.clone() };
        let offered: BTreeSet<Kind> = asked.into_iter().filter(allowed).collect();
        for kind in self.processors.difference(&offered) {
            tracing::warn!(processor = %kind, "not offered: it may do nothing, give it an allow-list");
        }
        if offered.is_empty() { Err(Error::Nothing) } else { Ok(offered) }
    }
}

/// Works until `shutdown` is ready, then drains. The app is that of the client, or of its credentials.
pub async fn run(settings: Settings, client: Client, shutdown: impl Future<Output = ()>) -> Result<Summary, Error> {
    let builder = builder(&settings, client)?;
    Ok(builder.build()?.run(shutdown).await?)
}

/// A worker as the settings say, to which further processors may be added.
pub fn builder(settings: &Settings, client: Client) -> Result<Builder, Error> {
    let mut builder = Worker::builder(client)
        .name(settings.name.clone())
        .slots(settings.slots)
        .drain_timeout(settings.drain_timeout)
        .cancel_timeout(settings.exec.grace.saturating_add(LAST_WORDS));
    for kind in settings.offered()? {
        builder = match kind {
            Kind::Exec => {
                let allow: Vec<String> = settings.exec.allow.iter().map(ToString::to_string).collect();
                tracing::info!(processor = %kind, allow = %allow.join(" "), timeout = ?settings.exec.timeout, "offering commands");
                builder.processor(kind.as_str(), exec::Exec::new(settings.exec.clone()))
            }
            Kind::Http => {
                let allow: Vec<String> = settings.http.allow.iter().map(ToString::to_string).collect();
                tracing::info!(processor = %kind, allow = %allow.join(" "), timeout = ?settings.http.timeout, "offering requests");
                builder.processor(kind.as_str(), http::Http::new(settings.http.clone())?)
            }
        };
    }
    tracing::info!(name = %settings.name, slots = settings.slots, "the worker is set up");
    Ok(builder)
}
