//! The worker of `semel dev`, on a thread and a runtime of its own: on one runtime the server and its worker would wait
//! for each other's turns. It connects over the wire as any worker does, and finds the server again after a restart.

use std::{path::Path, thread, time::Duration};

use semel_client::worker::Summary;
use tokio::sync::oneshot;

use super::{
    Error,
    checksum::Checksum,
    examples,
    house::{self, House},
};
use crate::worker::{self, exec, http};

/// How many runs it takes at a time: enough that `nap` does not hold up the others.
pub(super) const SLOTS: usize = 4;
/// The name of the processor that only dev has.
const CHECKSUM: &str = "checksum";
/// What it offers.
pub(super) const PROCESSORS: &[&str] = &[CHECKSUM, "exec", "http"];
/// How long what runs may go on at the end. Somebody waits at a terminal.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// A worker that works.
pub(super) struct Crew {
    stop: oneshot::Sender<()>,
    ended: oneshot::Receiver<Result<Summary, worker::Error>>,
}

impl Crew {
    /// Starts the worker. `root` is the folder whose files its runs may read.
    pub(super) fn start(house: &House, secret: String, root: &Path) -> Result<Self, Error> {
        let settings = settings(house.data_dir())?;
        let checksum = Checksum { root: root.to_owned(), except: root.join(house.data_dir()) };
        let endpoint = house.endpoint();
        let (stop, stopped) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|source| Error::Thread { source })?;
        let work = async move {
            let client = house::client(&endpoint, &secret)?;
            let builder = worker::builder(&settings, client)?.processor(CHECKSUM, checksum);
            let stopped = async {
                // Whoever could stop it is gone: that is an end too.
                let _ = stopped.await;
            };
            Ok(builder.build()?.run(stopped).await?)
        };
        let thread = thread::Builder::new().name("semel-dev-worker".to_owned());
        let spawned = thread.spawn(move || {
            // It fails when nobody waits for the end any more.
            let _ = end.send(runtime.block_on(work));
        });
        spawned.map_err(|source| Error::Thread { source })?;
        Ok(Self { stop, ended })
    }

    /// Waits until the worker ends by itself, which it only does when something is wrong.
    pub(super) async fn failed(&mut self) -> Error {
        match (&mut self.ended).await {
            Ok(Err(error)) => Error::Worker(error),
            Ok(Ok(_)) | Err(_) => Error::WorkerGone,
        }
    }

    /// Lets the worker finish, briefly, and stop. A worker that has ended already is no failure here.
    pub(super) async fn stop(mut self) -> Result<(), Error> {
        drop(self.stop);
        if self.ended.is_terminated() {
            return Ok(());
        }
        match (&mut self.ended).await {
            Ok(Err(error)) => Err(Error::Worker(error)),
            Ok(Ok(_)) => Ok(()),
            Err(_) => Err(Error::WorkerGone),
        }
    }
}

/// What the worker may do: what the examples do, and commands work in the data directory.
fn settings(data_dir: &Path) -> Result<worker::Settings, Error> {
    let commands = examples::COMMANDS.iter().map(|command| command.parse());
    let commands: Result<Vec<exec::Prefix>, _> = commands.collect();
    let url: Result<http::Prefix, _> = examples::FETCH_URL.parse();
    let allowed = || -> Result<_, Box<dyn std::error::Error + Send + Sync>> { Ok((commands?, url?)) };
    let (commands, url) = allowed().map_err(Error::Example)?;
    Ok(worker::Settings {
        name: "dev".to_owned(),
        slots: SLOTS,
        exec: exec::Settings { allow: commands, folder: data_dir.to_owned(), ..exec::Settings::default() },
        http: http::Settings { allow: vec![url], ..http::Settings::default() },
        drain_timeout: DRAIN_TIMEOUT,
        ..worker::Settings::default()
    })
}
