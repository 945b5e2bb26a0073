//! The wish to stop, as the system brings it.

/// Waits for it, and names it.
pub(super) async fn stop() -> &'static str {
    let interrupt = tokio::signal::ctrl_c();
    #[cfg(unix)]
    if let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        return tokio::select! {
            _ = interrupt => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
        };
    }
    _ = interrupt.await;
    "SIGINT"
}
