//! The place where a bench happens: the folder, the processes, the app and its jobs. It makes what the points call, and
//! measures nothing. All that it made is gone when it is dropped, but for runs on a server that was given to it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use semel_client::{Client, Credentials, Options, v1};
use tempfile::TempDir;
use tonic::{
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};

use super::{
    Error, Target,
    process::{Kind, Process},
    procfs::{self, Memory, Usage},
};
use crate::server::ADMIN_SECRET_FILE;

/// The app that is made on a server of the bench's own.
const APP: &str = "bench";
/// The job whose runs no worker takes: they stay queued.
pub(super) const IDLE_JOB: &str = "semel-bench-idle";
/// The job whose runs a worker of the bench ends at once.
pub(super) const NOOP_JOB: &str = "semel-bench-noop";
/// The job whose runs are handed out one at a time.
pub(super) const START_JOB: &str = "semel-bench-start";
/// Open files that the bench and a child need: connections, the store, some to spare.
const FILES_MIN: u64 = 256;

/// How long a call may take that prepares: a server that is not there is to be told soon.
const PREPARE_MAX: Duration = Duration::from_secs(10);

/// A server under test, as its callers see it.
#[derive(Debug)]
pub(super) struct Site {
    /// Absent for a server that was given.
    process: Option<Process>,
    url: String,
    /// The app; empty means that of the credentials.
    pub(super) app: String,
    authorization: MetadataValue<Ascii>,
    // Removed after the process is gone: fields are dropped in this order.
    own: Option<Own>,
}

/// What a server of the bench's own is started with, and again.
#[derive(Debug)]
struct Own {
    folder: Folder,
    settings: Vec<(&'static str, String)>,
}

impl Own {
    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    async fn start(&self) -> Result<Process, Error> {
        let kind = Kind::Semel { data: self.data(), settings: self.settings.clone() };
        Process::start(&kind, self.folder.path()).await
    }
}

/// A temporary folder with the data of a server. It may hold several starts.
#[derive(Debug)]
pub(super) struct Folder(TempDir);

impl Folder {
    /// Makes one in `parent`, or where the system has such.
    ///
    /// # Errors
    /// [`Error::Folder`].
    pub(super) fn new(parent: Option<&Path>) -> Result<Self, Error> {
        let parent = parent.map_or_else(std::env::temp_dir, Path::to_owned);
        // A child starts elsewhere, so its paths have to be whole.
        let made = fs::create_dir_all(&parent).and_then(|()| parent.canonicalize());
        let made = made.and_then(|parent| tempfile::Builder::new().prefix("semel-bench-").tempdir_in(parent));
        made.map(Self).map_err(|source| Error::Folder { path: parent, source })
    }

    /// Its path.
    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Site {
    /// Starts a server of the bench's own, on a folder that goes with it.
    ///
    /// # Errors
    /// If it does not start, or the app cannot be made.
    pub(super) async fn own(parent: Option<&Path>, settings: Vec<(&'static str, String)>) -> Result<Self, Error> {
        let own = Own { folder: Folder::new(parent)?, settings };
        let process = own.start().await?;
        let path = own.data().join(ADMIN_SECRET_FILE);
        let secret = fs::read_to_string(&path).map_err(|source| Error::File { path, source })?;
        let admin = client(&process.url, "", secret.trim())?;
        let request = v1::CreateAppRequest { app: APP.to_owned(), ..Default::default() };
        let made = admin.create_app(request).await.map_err(calling("create the app of the bench"))?;
        let url = process.url.clone();
        let site = Self {
            process: Some(process),
            authorization: bearer(&made.secret)?,
            url,
            app: APP.to_owned(),
            own: Some(own),
        };
        site.jobs(&made.secret).await?;
        Ok(site)
    }

    /// What the settings say: a server of its own, or the one that is given.
    ///
    /// # Errors
    /// As [`Site::own`].
    pub(super) async fn open(target: &Target) -> Result<Self, Error> {
        match target {
            Target::Own { parent } => Self::own(parent.as_deref(), wide()).await,
            Target::Given { url, app, secret } => {
                let authorization = bearer(secret)?;
                let site = Self { process: None, url: url.clone(), app: app.clone(), authorization, own: None };
                site.jobs(secret).await?;
                Ok(site)
            }
        }
    }

    /// The jobs may be there from an earlier bench.
    async fn jobs(&self, secret: &str) -> Result<(), Error> {
        let client = client(&self.url, &self.app, secret)?;
        for job in [IDLE_JOB, NOOP_JOB, START_JOB] {
            let spec = v1::JobSpec { processor: job.to_owned(), ..Default::default() };
            let request = v1::CreateJobRequest { job: job.to_owned(), spec: Some(spec), ..Default::default() };
            match client.create_job(request).await {
                Err(error) if error.reason() != Some("ALREADY_EXISTS") => {
                    return Err(calling("create the jobs of the bench")(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// So many connections.
    ///
    /// # Errors
    /// [`Error::Connect`].
    pub(super) async fn connect(&self, count: usize) -> Result<Vec<Channel>, Error> {
        connect(&self.url, count).await
    }

    /// What stands behind `authorization` in each call.
    pub(super) fn authorization(&self) -> MetadataValue<Ascii> {
        self.authorization.clone()
    }

    /// Kills the server and starts it again on its data; gives how long it took until it served. One that was given is
    /// let be.
    ///
    /// # Errors
    /// [`Error::Child`].
    pub(super) async fn restart(&mut self) -> Result<Duration, Error> {
        let Some(own) = &self.own else { return Ok(Duration::ZERO) };
        // Two at once would not do: the data has a lock.
        self.process = None;
        let process = own.start().await?;
        let start = process.start;
        self.url.clone_from(&process.url);
        self.process = Some(process);
        Ok(start)
    }

    /// The process of the server, where it is known.
    pub(super) fn process(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// The memory of the server, where it is known.
    pub(super) fn memory(&self) -> Option<Memory> {
        self.process.as_ref().and_then(|process| Memory::of(process.id()))
    }

    /// What the data takes on disk.
    pub(super) fn store_bytes(&self) -> Option<u64> {
        self.own.as_ref().and_then(|own| procfs::used_bytes(&own.data()))
    }

    /// What the server has used so far; nothing is known of one that was given.
    pub(super) fn usage(&self) -> Usage {
        let own = self.process.as_ref().zip(self.own.as_ref());
        own.map_or_else(Usage::default, |(process, own)| Usage::of(process.id(), own.folder.path()))
    }
}

/// Settings of a server that is not to refuse what a bench of some minutes leaves in one app.
pub(super) fn wide() -> Vec<(&'static str, String)> {
    let many = "1000000000".to_owned();
    vec![("SEMEL_WINDOW_RECORDS_PER_APP_MAX", many.clone()), ("SEMEL_ENGINE_LIVE_RUNS_PER_APP_MAX", many)]
}

/// The bare echo, in a process of its own.
#[derive(Debug)]
pub(super) struct EchoSite {
    process: Process,
    folder: Folder,
}

impl EchoSite {
    /// Starts it, with its folder below `parent`: the same disk is asked, so that what others write there is seen.
    ///
    /// # Errors
    /// [`Error::Child`].
    pub(super) async fn start(parent: Option<&Path>) -> Result<Self, Error> {
        let folder = Folder::new(parent)?;
        let process = Process::start(&Kind::Echo, folder.path()).await?;
        Ok(Self { process, folder })
    }

    /// Where it listens.
    pub(super) fn url(&self) -> &str {
        &self.process.url
    }

    /// So many connections.
    ///
    /// # Errors
    /// [`Error::Connect`].
    pub(super) async fn connect(&self, count: usize) -> Result<Vec<Channel>, Error> {
        connect(&self.process.url, count).await
    }

    /// Its process.
    pub(super) fn process(&self) -> Option<u32> {
        Some(self.process.id())
    }

    pub(super) fn usage(&self) -> Usage {
        Usage::of(self.process.id(), self.folder.path())
    }
}

/// The same kind of connection to both, so that no setting of ours makes one of them look better.
async fn connect(url: &str, count: usize) -> Result<Vec<Channel>, Error> {
    let failed = |source: tonic::transport::Error| Error::Connect { url: url.to_owned(), source: Box::new(source) };
    let endpoint = Endpoint::from_shared(url.to_owned()).map_err(failed)?;
    let endpoint = endpoint.tcp_nodelay(true).connect_timeout(Duration::from_secs(5));
    let mut channels = Vec::with_capacity(count);
    for _ in 0..count {
        channels.push(endpoint.connect().await.map_err(failed)?);
    }
    Ok(channels)
}

/// A request with these credentials.
pub(super) fn authorized<T>(authorization: &MetadataValue<Ascii>, message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.metadata_mut().insert("authorization", authorization.clone());
    request
}

fn bearer(secret: &str) -> Result<MetadataValue<Ascii>, Error> {
    format!("Bearer {secret}").parse().map_err(|_| Error::Credentials)
}

fn client(url: &str, app: &str, secret: &str) -> Result<Client, Error> {
    let options = Options::new(url).app(app).credentials(Credentials::Bearer(secret.to_owned()));
    Client::connect_lazy(options.client_name("semel-bench").overall_timeout(PREPARE_MAX))
        .map_err(calling("set up a client"))
}

fn calling(doing: &'static str) -> impl FnOnce(semel_client::Error) -> Error {
    move |source| Error::Call { doing, source: Box::new(source) }
}

/// Whether this process may have as many files open as it will need.
///
/// # Errors
/// [`Error::Files`].
pub(super) fn check_files() -> Result<(), Error> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    match limit {
        Some(limit) if limit < FILES_MIN => Err(Error::Files { limit, needed: FILES_MIN }),
        _ => Ok(()),
    }
}
