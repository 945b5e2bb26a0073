//! What happened how often, so that a simulation that no longer simulates is found out.

use semel_core::rejection::Rejection;
use semel_server::engine::{Disposition, Refused};

use crate::history::Outcome;

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stats {
    pub(crate) sent: u64,
    pub(crate) crashes: u64,
    pub(crate) sessions: u64,
    pub(crate) fenced: u64,
    pub(crate) zombie_answers: u64,
    pub(crate) executed: u64,
    pub(crate) replayed: u64,
    pub(crate) reused: u64,
    pub(crate) expired: u64,
    pub(crate) in_future: u64,
    pub(crate) forbidden: u64,
    pub(crate) quota: u64,
    pub(crate) lease_stale: u64,
    pub(crate) other_refusals: u64,
    pub(crate) unauthenticated: u64,
    pub(crate) forgotten_runs: u64,
    /// Times of triggers that made a run.
    pub(crate) fired: u64,
    /// Times of triggers that came to nothing.
    pub(crate) skipped: u64,
}

impl Stats {
    pub(crate) fn count(&mut self, outcome: &Outcome) {
        let counter = match outcome {
            Outcome::Ok(answer) if answer.disposition == Disposition::Executed => &mut self.executed,
            Outcome::Ok(_) => &mut self.replayed,
            Outcome::Unauthenticated => &mut self.unauthenticated,
            Outcome::Refused(Refused::Rejected(rejection)) => match rejection {
                Rejection::RequestIdReused { .. } => &mut self.reused,
                Rejection::RequestIdExpired { .. } => &mut self.expired,
                Rejection::RequestIdInFuture { .. } => &mut self.in_future,
                Rejection::Forbidden { .. } => &mut self.forbidden,
                Rejection::QuotaExceeded { .. } => &mut self.quota,
                Rejection::LeaseStale { .. } => &mut self.lease_stale,
                _ => &mut self.other_refusals,
            },
            Outcome::Refused(_) => &mut self.other_refusals,
        };
        *counter += 1;
    }

    /// Each figure with its name.
    pub(crate) fn figures(&self) -> [(&'static str, u64); 18] {
        [
            ("sent", self.sent),
            ("crashes", self.crashes),
            ("sessions", self.sessions),
            ("fenced", self.fenced),
            ("zombie answers", self.zombie_answers),
            ("executed", self.executed),
            ("replayed", self.replayed),
            ("reused", self.reused),
            ("expired", self.expired),
            ("in future", self.in_future),
            ("forbidden", self.forbidden),
            ("quota", self.quota),
            ("lease stale", self.lease_stale),
            ("other refusals", self.other_refusals),
            ("unauthenticated", self.unauthenticated),
            ("forgotten runs", self.forgotten_runs),
            ("fired", self.fired),
            ("skipped", self.skipped),
        ]
    }

    pub(crate) fn add(&mut self, other: &Self) {
        let sums = [
            &mut self.sent,
            &mut self.crashes,
            &mut self.sessions,
            &mut self.fenced,
            &mut self.zombie_answers,
            &mut self.executed,
            &mut self.replayed,
            &mut self.reused,
            &mut self.expired,
            &mut self.in_future,
            &mut self.forbidden,
            &mut self.quota,
            &mut self.lease_stale,
            &mut self.other_refusals,
            &mut self.unauthenticated,
            &mut self.forgotten_runs,
            &mut self.fired,
            &mut self.skipped,
        ];
        for (sum, (_, figure)) in sums.into_iter().zip(other.figures()) {
            *sum += figure;
        }
    }
}
