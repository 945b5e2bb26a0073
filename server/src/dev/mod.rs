//! `semel dev`: a server, a worker and an example app in one process, which show on real work what is promised. It owns
//! a data directory of its own and changes nothing outside of it; nothing else in the program depends on it.

mod checksum;
mod crew;
mod examples;
mod files;
mod house;
mod report;
mod show;
mod story;
#[cfg(test)]
mod tests;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use tokio::signal::unix::{SignalKind, signal};

use crate::{server, worker};
use crew::Crew;
use house::{APP, House, Origin};
use report::Report;
use show::Voice;

/// How long the whole story may take. It takes seconds; but if something is wrong a person should be told.
const PATIENCE: Duration = Duration::from_secs(300);

/// What a person may set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where everything is kept. Default `semel-dev`, in the folder that it is started in.
    pub data_dir: PathBuf,
    /// Where the server listens. Default 127.0.0.1:7400; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Whether to end after the story instead of staying up.
    pub once: bool,
    /// Whether a program reads: then nothing is said but one JSON document, when the story is told.
    pub json: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("semel-dev"),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7400)),
            once: false,
            json: false,
        }
    }
}

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything that is promised was seen to hold.
    Held,
    /// Something did not.
    Broken,
}

/// Why the story could not be told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server.
    #[error(transparent)]
    Server(#[from] server::Error),
    /// A file of the data directory.
    #[error("cannot {doing} {path}: check its rights and the free space, or name another --data-dir")]
    File {
        /// What was tried.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The folder that it was started in is gone.
    #[error("cannot tell which folder this is")]
    Folder {
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The worker's thread.
    #[error("cannot start the worker's thread")]
    Thread {
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A call.
    #[error("cannot {doing}")]
    Call {
        /// What was tried.
        doing: &'static str,
        /// What the client says.
        #[source]
        source: Box<semel_client::Error>,
    },
    /// An example that is built in.
    #[error("an example is broken: {0}")]
    Example(Box<dyn std::error::Error + Send + Sync>),
    /// The worker.
    #[error("the worker has stopped")]
    Worker(#[source] worker::Error),
    /// The worker, without a word.
    #[error("the worker has stopped without a reason; its log is server.log in the data directory")]
    WorkerGone,
    /// A person had enough before the story was told.
    #[error("interrupted")]
    Interrupted,
    /// Too slow.
    #[error("not done within {} s; what happened so far is in server.log in the data directory", PATIENCE.as_secs())]
    Patience,
}

/// Starts everything, tells the story, and stays up until Ctrl-C unless it is to end. To be called within a tokio
/// runtime, which the server uses; the worker has its own. Sends what is logged to `server.log` in the data directory,
/// unless a subscriber is set already.
///
/// # Errors
/// See [`Error`]. That a promise was broken is no error but the verdict.
pub async fn run(settings: Settings) -> Result<Verdict, Error> {
    let root = std::env::current_dir().map_err(|source| Error::Folder { source })?;
    house::prepare(&settings.data_dir)?;
    let mut house = House::open(&settings.data_dir, settings.listen).await?;
    let (secret, origin) = house.app().await?;
    let mut crew = Crew::start(&house, secret.clone(), &root)?;
    let verdict = tokio::select! {
        verdict = live(&settings, &mut house, &secret, origin) => verdict,
        error = crew.failed() => Err(error),
    };
    // Whatever came of it: nothing that the worker started stays behind.
    let stopped = crew.stop().await;
    let closed = house.close().await;
    let verdict = verdict?;
    stopped.and(closed).map(|()| verdict)
}

/// Tells the story, and stays up afterwards if that is wanted, until a person has had enough.
async fn live(settings: &Settings, house: &mut House, secret: &str, origin: Origin) -> Result<Verdict, Error> {
    let voice = Voice { quiet: settings.json };
    let report = tokio::select! {
        told = tell(voice, house, secret, origin) => told?,
        () = tokio::time::sleep(PATIENCE) => return Err(Error::Patience),
        // Afterwards it is the ordinary way to end.
        () = interrupted() => return Err(Error::Interrupted),
    };
    if settings.json {
        show::document(&report);
    }
    if !settings.once {
        voice.next(&report.next);
        voice.section("Everything stays up until Ctrl-C.");
        tokio::select! {
            () = interrupted() => {}
            error = house.failed() => return Err(error),
        }
    }
    Ok(if report.held { Verdict::Held } else { Verdict::Broken })
}

async fn tell(voice: Voice, house: &mut House, secret: &str, origin: Origin) -> Result<Report, Error> {
    let client = house::client(&house.endpoint(), secret).map_err(story::calling("set up a client"))?;
    let jobs = story::make_jobs(&client).await?;
    voice.section(concat!("Semel ", env!("CARGO_PKG_VERSION"), ": a server, a worker and an example app"));
    voice.row("server", &format!("{}, data in {}", house.endpoint(), house.data_dir().display()));
    voice.row("worker", &format!("dev, {} slots, offers {}", crew::SLOTS, crew::PROCESSORS.join(", ")));
    let origin = match origin {
        Origin::Created => "new",
        Origin::Kept => "from an earlier start",
        Origin::Rotated => "from an earlier start, with a new secret",
    };
    voice.row("app", &format!("{APP}, {origin}; credentials in {}", house.env_path().display()));
    voice.row("jobs", &jobs.join(", "));
    story::tell(voice, house, &client, jobs).await
}

/// Waits for Ctrl-C, or for whoever ends programs politely.
async fn interrupted() {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut terminated) => {
                terminated.recv().await;
            }
            // Where it cannot be heard it ends the program anyway.
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}
