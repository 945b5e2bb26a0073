//! What a proxy did, in numbers. It owns the counters and knows no call.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::fault::Fault;

/// The counters of a proxy, while it runs.
#[derive(Debug)]
pub(crate) struct Counters {
    pub(crate) calls: AtomicU64,
    pub(crate) streams: AtomicU64,
    pub(crate) sent: AtomicU64,
    pub(crate) unreachable: AtomicU64,
    faults: Vec<AtomicU64>,
}

/// What a proxy has done so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Calls that came in, streams not included.
    pub calls: u64,
    /// Streams that came in.
    pub streams: u64,
    /// Calls and streams that were sent to the server, repetitions included.
    pub sent: u64,
    /// Of these, how often no answer could be had: the server was not there, or its connection broke.
    pub unreachable: u64,
    /// How often each fault was done, all faults included.
    pub faults: BTreeMap<Fault, u64>,
}

impl Counters {
    pub(crate) fn new() -> Self {
        let zero = AtomicU64::default;
        Self {
            calls: zero(),
            streams: zero(),
            sent: zero(),
            unreachable: zero(),
            faults: Fault::ALL.iter().map(|_| zero()).collect(),
        }
    }

    /// To be called when the fault is done, not when it is planned.
    pub(crate) fn did(&self, fault: Fault) {
        self.faults[fault as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            calls: read(&self.calls),
            streams: read(&self.streams),
            sent: read(&self.sent),
            unreachable: read(&self.unreachable),
            faults: Fault::ALL.iter().map(|fault| (*fault, read(&self.faults[*fault as usize]))).collect(),
        }
    }
}

impl Counts {
    /// How often a fault was done.
    pub fn of(&self, fault: Fault) -> u64 {
        self.faults.get(&fault).copied().unwrap_or_default()
    }

    /// For programs.
    pub fn to_json(&self) -> serde_json::Value {
        let faults: serde_json::Map<_, _> =
            self.faults.iter().map(|(fault, count)| (fault.name().to_owned(), (*count).into())).collect();
        serde_json::json!({
            "calls": self.calls, "streams": self.streams, "sent": self.sent, "unreachable": self.unreachable,
            "faults": faults,
        })
    }
}
