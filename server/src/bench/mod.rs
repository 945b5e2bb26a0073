//! `semel bench`: the figures beside the limit. It starts a server and a bare tonic echo, each a process of its own, lets
//! them take turns under the same callers, and says what Semel costs above what gRPC alone costs on that machine.
//!
//! What makes it honest: every answer that is counted was durable before it left; whatever is compared ran in the same
//! round, one after the other; each figure is a median over rounds with its ends; a call that fails ends the bench and is
//! not passed over. It measures through the protocol alone and must never reach into a server.

mod cores;
mod crew;
mod echo;
mod eyes;
mod growth;
mod points;
mod probe;
mod process;
mod procfs;
mod report;
mod sample;
mod site;
mod steady;
mod stream;
mod table;
mod tally;
mod triggers;
mod unary;
mod watch;
mod whole;

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

pub(crate) use self::{
    echo::serve as serve_echo,
    growth::Growth,
    points::names,
    report::Report,
    table::{markdown, text},
    triggers::{COUNT_MIN as TRIGGERS_MIN, Triggers},
    watch::Watchers,
};
use self::{
    points::{Point, STEADY, TRIGGERS, WATCH},
    sample::Sample,
    site::{EchoSite, Site},
};

/// What is measured, and how long.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The server under test.
    pub(crate) target: Target,
    /// How often each point is measured; figures are medians over these.
    pub(crate) rounds: u32,
    /// How long each point is measured in each round.
    pub(crate) seconds: Duration,
    /// Only these points, and what they are compared with; all of them if it is empty.
    pub(crate) only: Vec<String>,
    /// How long the steady load is measured.
    pub(crate) steady: Duration,
    /// How many watch.
    pub(crate) watchers: Watchers,
    /// How many triggers there are.
    pub(crate) triggers: Triggers,
    /// Whether the store is grown too.
    pub(crate) growth: Option<Growth>,
}

/// The server under test.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// One of the bench's own, in a new folder below `parent` (below the system's folder for temporary files if absent),
    /// which is removed afterwards.
    Own { parent: Option<PathBuf> },
    /// One that runs already. What it is sent stays with it.
    Given { url: String, app: String, secret: String },
}

impl Target {
    /// Below which folder the bench makes its own, if that was chosen.
    fn parent(&self) -> Option<&Path> {
        match self {
            Self::Own { parent } => parent.as_deref(),
            Self::Given { .. } => None,
        }
    }
}

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Too few files may be open.
    #[error("only {limit} files may be open, and the bench needs {needed}: raise the limit with `ulimit -n`")]
    Files { limit: u64, needed: u64 },
    /// No folder for the data.
    #[error("cannot make a folder in {path}: check its rights and its free space, or name another with --data-dir")]
    Folder {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// A file of a child.
    #[error("cannot use {path}")]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// A child did not start.
    #[error("cannot start a process for the server under test")]
    Spawn {
        #[source]
        source: io::Error,
    },
    /// A child started and did not serve.
    #[error("the server under test {fate}\n{log}")]
    Child { fate: String, log: String },
    /// No connection.
    #[error("cannot connect to {url}")]
    Connect {
        url: String,
        #[source]
        source: Box<tonic::transport::Error>,
    },
    /// The credentials are no text for a header.
    #[error("the secret has characters that no secret of a server has")]
    Credentials,
    /// A call that prepares.
    #[error("cannot {doing}")]
    Call {
        doing: &'static str,
        #[source]
        source: Box<semel_client::Error>,
    },
    /// A call that is measured. Figures with failures in them mean nothing, so there are none.
    #[error("a call under measurement failed, so there is no figure: {}: {}", .status.code(), .status.message())]
    Refused { status: Box<tonic::Status> },
    /// The open loop outran the server.
    #[error("the server does not keep up with {rate:.0} calls a second, which is half of what it did before")]
    Overrun { rate: f64 },
    /// The disk is too small for what was asked.
    #[error(
        "growing the store needs about {needed_gb:.0} GB and {free_gb:.0} GB are free: make room, name another disk with \
         --data-dir, or grow it less with --records"
    )]
    Space { needed_gb: f64, free_gb: f64 },
    /// A time of a trigger that is not settled as it should be.
    #[error("a fire was lost, doubled or made up: {why}; please report this")]
    Fires { why: String },
    /// Not on a server that was given.
    #[error("{what} is measured on a server of the bench's own, which {why}: leave out --address")]
    OwnOnly { what: &'static str, why: &'static str },
    /// Nothing came back while it was measured.
    #[error("nothing came back within the time of a point: give it more with --seconds")]
    Nothing,
    /// At a point.
    #[error("at {point}")]
    At {
        point: &'static str,
        #[source]
        source: Box<Error>,
    },
    /// No such point.
    #[error("there is no point {name:?}; they are {}", names().join(", "))]
    NoSuchPoint { name: String },
}

impl Error {
    fn refused(status: tonic::Status) -> Self {
        Self::Refused { status: Box::new(status) }
    }
}

/// The name of the grown store in the report.
const GROWTH: &str = "growth";

/// How far it is.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    /// Measurements that are done.
    pub(crate) done: usize,
    /// And those that there are.
    pub(crate) total: usize,
    /// The present one, for people.
    pub(crate) text: String,
}

/// Measures.
///
/// # Errors
/// See [`Error`]. There is no report with holes.
pub(crate) async fn run(settings: &Settings, progress: &(dyn Fn(Progress) + Sync)) -> Result<Report, Error> {
    site::check_files()?;
    if let (Some(growth), Target::Own { parent }) = (&settings.growth, &settings.target) {
        growth::check_space(parent.as_deref(), growth)?;
    }
    let chosen = points::chosen(&settings.only, &settings.target)?;
    // Whatever is wrong with the server is to be told now, and not after some minutes.
    drop(Site::open(&settings.target).await?);
    let echo = EchoSite::start(settings.target.parent()).await?;
    let (steady, watch) = (points::is_chosen(&settings.only, STEADY), points::is_chosen(&settings.only, WATCH));
    let triggers = is_measured(settings);
    let once = [steady, watch, triggers, settings.growth.is_some()].into_iter().filter(|chosen| *chosen).count();
    let total = chosen.len() * settings.rounds as usize + once;
    let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); chosen.len()];
    for round in 0..settings.rounds as usize {
        for at in order(chosen.len(), round) {
            let done = samples.iter().map(Vec::len).sum();
            let point: &Point = chosen[at];
            progress(Progress { done, total, text: format!("round {}: {}", round + 1, point.name) });
            let sample = point.load.run(&echo, &settings.target, settings.seconds).await;
            samples[at].push(sample.map_err(at_point(point.name))?);
        }
    }
    let mut report = Report::new(settings, &chosen, &samples);
    let mut done = samples.iter().map(Vec::len).sum();
    if steady {
        progress(Progress { done, total, text: format!("{STEADY}: {} s", settings.steady.as_secs_f64()) });
        report.add(STEADY, steady::run(settings).await.map_err(at_point(STEADY))?);
        done += 1;
    }
    if watch {
        let tell = |text: String| progress(Progress { done, total, text: format!("{WATCH}: {text}") });
        report.add(WATCH, watch::run(settings, &tell).await.map_err(at_point(WATCH))?);
        done += 1;
    }
    if triggers {
        let tell = |text: String| progress(Progress { done, total, text: format!("{TRIGGERS}: {text}") });
        report.add(TRIGGERS, triggers::run(settings, &tell).await.map_err(at_point(TRIGGERS))?);
        done += 1;
    }
    if let Some(growth) = &settings.growth {
        let tell = |text: String| progress(Progress { done, total, text: format!("{GROWTH}: {text}") });
        report.add(GROWTH, growth::run(settings, growth, &tell).await.map_err(at_point(GROWTH))?);
    }
    Ok(report)
}

/// Triggers are left out of a whole bench of a server that is given: it would be killed, and they would stay with it. Who
/// asks for them there is told so.
fn is_measured(settings: &Settings) -> bool {
    let is_given = matches!(settings.target, Target::Given { .. });
    points::is_chosen(&settings.only, TRIGGERS) && !(is_given && settings.only.is_empty())
}

fn at_point(point: &'static str) -> impl FnOnce(Error) -> Error {
    move |error| Error::At { point, source: Box::new(error) }
}

/// Every other round goes backwards, so that what drifts does not always help the same side; what is compared stays
/// next to each other.
fn order(count: usize, round: usize) -> Vec<usize> {
    if round.is_multiple_of(2) { (0..count).collect() } else { (0..count).rev().collect() }
}
