//! Certificates that are renewed while the server runs. New connections get what the files hold now; those that are open keep
//! what they began with.
//!
//! The files are compared by what they hold and not by their times: Kubernetes swaps the folder behind a link, and a clock may
//! have been set back. Tools that write certificate and key one after the other leave a moment in which they do not belong
//! together: then the former pair stays until the files change again.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::{task::JoinHandle, time};
use tokio_rustls::rustls::ServerConfig;
use tracing::{info, warn};

use super::{
    TlsFiles,
    load::{self, Contents, Error},
};
use crate::causes::with_causes;

/// What is served with now. The files are looked at as long as it lives.
pub(crate) struct Reloaded {
    current: Arc<ArcSwap<ServerConfig>>,
    task: JoinHandle<()>,
}

impl Reloaded {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// If TLS cannot be set up with them.
    pub(crate) fn start(files: TlsFiles) -> Result<Self, Error> {
        let contents = load::read(&files)?;
        let current = Arc::new(ArcSwap::new(load::config(&files, &contents)?));
        // Before anything else can happen: a signal that nobody listens for ends the process.
        let task = tokio::spawn(watch(files, contents, current.clone(), Hangup::new()));
        Ok(Self { current, task })
    }

    /// For connections to come.
    pub(in crate::transport) fn current(&self) -> Arc<ArcSwap<ServerConfig>> {
        self.current.clone()
    }
}

impl Drop for Reloaded {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn watch(files: TlsFiles, mut known: Contents, current: Arc<ArcSwap<ServerConfig>>, mut hangup: Hangup) {
    let mut unreadable = false;
    loop {
        hangup.or_after(files.look_every).await;
        let looked = files.clone();
        // A folder of the network may take its time.
        let Ok(read) = tokio::task::spawn_blocking(move || load::read(&looked)).await else { continue };
        match read {
            Ok(contents) if contents == known => unreadable = false,
            Ok(contents) => {
                unreadable = false;
                match load::config(&files, &contents) {
                    Ok(config) => {
                        current.store(config);
                        info!(certificate = %files.certificate.display(), "new connections get the certificate that is there now");
                    }
                    Err(error) => {
                        let error = with_causes(&error);
                        warn!(%error, "the files of TLS have changed and cannot be used; the former certificate stays until they are mended");
                    }
                }
                known = contents;
            }
            // Told once: it may be a swap that is under way.
            Err(error) => {
                if !std::mem::replace(&mut unreadable, true) {
                    let error = with_causes(&error);
                    warn!(%error, "the files of TLS cannot be read; the former certificate stays");
                }
            }
        }
    }
}

/// The signal by which operators ask to look at once.
struct Hangup {
    #[cfg(unix)]
    signal: Option<tokio::signal::unix::Signal>,
}

impl Hangup {
    fn new() -> Self {
        Self {
            #[cfg(unix)]
            signal: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).ok(),
        }
    }

    /// Waits for it, at most so long.
    async fn or_after(&mut self, at_most: Duration) {
        #[cfg(unix)]
        if let Some(signal) = &mut self.signal {
            _ = time::timeout(at_most, signal.recv()).await;
            return;
        }
        time::sleep(at_most).await;
    }
}
