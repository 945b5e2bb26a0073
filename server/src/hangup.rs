//! SIGHUP, by which operators ask a server to look at its files at once: certificates that were renewed, a log that was moved
//! away. Once somebody listens for it, it no longer ends the process.

use std::time::Duration;

use tokio::time;

/// Hears of each signal from its making on.
pub(crate) struct Hangup {
    #[cfg(unix)]
    signal: Option<tokio::signal::unix::Signal>,
}

impl Hangup {
    /// Begins to listen.
    pub(crate) fn new() -> Self {
        Self {
            #[cfg(unix)]
            signal: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).ok(),
        }
    }

    /// Waits for the signal.
    pub(crate) async fn next(&mut self) {
        #[cfg(unix)]
        if let Some(signal) = &mut self.signal
            && signal.recv().await.is_some()
        {
            return;
        }
        std::future::pending().await
    }

    /// Waits for the signal, at most so long.
    pub(crate) async fn or_after(&mut self, at_most: Duration) {
        _ = time::timeout(at_most, self.next()).await;
    }
}
