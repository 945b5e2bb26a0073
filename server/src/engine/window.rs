//! The dedup window at work: what a batch has seen, and what is remembered from before.

use std::collections::BTreeMap;

use foldhash::HashMap;

use semel_core::{
    command::Command,
    id::{AppName, Timestamp},
    rejection::Rejection,
    window::{Arrivals, DedupRecord, Window},
};

use super::{
    answer::{Answer, Disposition},
    envelope::Envelope,
};
use crate::store::DedupKey;

/// Counts of arrivals are written with the next commit that happens anyway; more than this many make one happen.
const ARRIVALS_PENDING_MAX: usize = 4096;

/// The window of one shard. The records themselves lie in the store.
#[derive(Debug)]
pub(super) struct Dedup {
    pub(super) window: Window,
    /// When the store was restored from a backup.
    floor: Timestamp,
    /// Records of each app, those of the present batch included.
    counts: BTreeMap<AppName, u64>,
    /// Arrivals of remembered requests that are not written yet. Losing them in a crash loses a count, nothing else.
    arrivals: HashMap<DedupKey, Arrivals>,
}

/// What is known of the requests of one batch.
#[derive(Debug, Default)]
pub(super) struct BatchWindow {
    /// From the store.
    pub(super) fetched: HashMap<DedupKey, DedupRecord>,
    /// Made by this batch, in order.
    pub(super) made: Vec<(DedupKey, DedupRecord)>,
    made_at: HashMap<DedupKey, usize>,
}

impl BatchWindow {
    /// Makes room for so many requests.
    pub(super) fn reserve(&mut self, requests: usize) {
        self.made.reserve(requests);
        self.made_at.reserve(requests);
    }
}

impl Dedup {
    pub(super) fn new(window: Window, floor: Timestamp, counts: BTreeMap<AppName, u64>) -> Self {
        Self { window, floor, counts, arrivals: HashMap::default() }
    }

    /// The answer that was given, if this envelope was executed before, in this batch or earlier.
    ///
    /// # Errors
    /// [`Rejection::RequestIdReused`] if its id was used for another request (promise D5).
    pub(super) fn replay(
        &mut self,
        batch: &mut BatchWindow,
        key: &DedupKey,
        envelope: &Envelope,
    ) -> Result<Option<Answer>, Rejection> {
        let made = batch.made_at.get(key).copied();
        let Some(record) = made.map(|at| &batch.made[at].1).or_else(|| batch.fetched.get(key)) else {
            return Ok(None);
        };
        let method = envelope.command.method();
        if let Some(difference) = record.difference(method, &envelope.principal.name, &envelope.fingerprint) {
            return Err(Rejection::RequestIdReused { difference });
        }
        let mut answer = Answer::of(record, Disposition::Replayed);
        answer.arrivals = match made {
            Some(at) => {
                let record = &mut batch.made[at].1;
                let mut seen = record.seen();
                seen.add(envelope.told);
                (record.arrivals, record.told) = (seen.count, seen.told);
                seen.count
            }
            None => {
                let seen = self.arrivals.entry(key.clone()).or_insert(record.seen());
                seen.add(envelope.told);
                seen.count
            }
        };
        Ok(Some(answer))
    }

    /// Whether a request that is not remembered may be executed. After a restore from a backup, one whose id was minted
    /// before may not: it may have been executed between the two. And the app must have room for one more record
    /// (promise D11). Reports of workers may go to twice the bound: they end runs, and holding them back would keep the
    /// app at its bound for ever.
    ///
    /// # Errors
    /// [`Rejection::RequestIdBeforeRestore`] and [`Rejection::QuotaExceeded`].
    pub(super) fn admit_new(&self, key: &DedupKey, command: &Command) -> Result<(), Rejection> {
        let minted_at = key.request_id.minted_at();
        if minted_at < self.floor {
            return Err(Rejection::RequestIdBeforeRestore { restored_at: self.floor, minted_at });
        }
        let app = &key.app;
        let is_report = matches!(command, Command::ReportAttempt { .. } | Command::AppendLog { .. });
        let limit = self.window.records_per_app_max;
        let bound = if is_report { limit.saturating_mul(2) } else { limit };
        if self.counts.get(app).copied().unwrap_or(0) < bound {
            return Ok(());
        }
        Err(Rejection::QuotaExceeded { app: app.clone(), what: "requests in the dedup window", limit })
    }

    /// Remembers a request that takes effect in this batch.
    pub(super) fn remember(&mut self, batch: &mut BatchWindow, key: DedupKey, record: DedupRecord) {
        *self.counts.entry(key.app.clone()).or_default() += 1;
        batch.made_at.insert(key.clone(), batch.made.len());
        batch.made.push((key, record));
    }

    /// Takes note of what a commit forgot.
    pub(super) fn expired(&mut self, expired: &BTreeMap<AppName, u64>) {
        for (app, forgotten) in expired {
            if let Some(count) = self.counts.get_mut(app) {
                *count = count.saturating_sub(*forgotten);
            }
        }
    }

    /// The counts of arrivals that are to be written.
    pub(super) fn take_arrivals(&mut self) -> Vec<(DedupKey, Arrivals)> {
        let mut arrivals: Vec<_> = self.arrivals.drain().collect();
        arrivals.sort();
        arrivals
    }

    pub(super) fn arrivals_are_many(&self) -> bool {
        self.arrivals.len() >= ARRIVALS_PENDING_MAX
    }

    pub(super) fn floor(&self) -> Timestamp {
        self.floor
    }

    /// How many requests are remembered in all.
    pub(super) fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Ids minted before this may be forgotten.
    pub(super) fn oldest(&self, now: Timestamp) -> Timestamp {
        self.window.oldest(now)
    }
}
