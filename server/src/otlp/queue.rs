//! The queue of spans on their way out: bounded, and nobody waits at it. Counts what it had no room for.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::mpsc;

use super::span::Span;

/// Spans that wait for the exporter: some megabytes at the most.
const WAITING_MAX: usize = 8192;

/// Where spans are put.
#[derive(Debug)]
pub(super) struct SpanSender {
    spans: mpsc::Sender<Span>,
    lost: Arc<AtomicU64>,
}

/// Where they are taken.
pub(super) struct Spans {
    spans: mpsc::Receiver<Span>,
    lost: Arc<AtomicU64>,
}

/// Both ends.
pub(super) fn channel() -> (SpanSender, Spans) {
    let (sender, spans) = mpsc::channel(WAITING_MAX);
    let lost = Arc::new(AtomicU64::new(0));
    (SpanSender { spans: sender, lost: lost.clone() }, Spans { spans, lost })
}

impl SpanSender {
    /// Puts one in, if there is room.
    pub(super) fn send(&self, span: Span) {
        if self.spans.try_send(span).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Spans {
    /// The next ones; none once nobody can put any in.
    pub(super) async fn take(&mut self, into: &mut Vec<Span>, most: usize) -> Option<()> {
        (self.spans.recv_many(into, most).await > 0).then_some(())
    }

    /// The next ones that are there already.
    pub(super) fn take_at_hand(&mut self, into: &mut Vec<Span>, most: usize) {
        while into.len() < most
            && let Ok(span) = self.spans.try_recv()
        {
            into.push(span);
        }
    }

    /// How many were lost since this was asked last.
    pub(super) fn take_lost(&self) -> u64 {
        self.lost.swap(0, Ordering::Relaxed)
    }
}
