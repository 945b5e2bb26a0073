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
    pub(crate) messages: AtomicU64,
    pub(crate) sent: AtomicU64,
    pub(crate) unreachable: AtomicU64,
    faults: Vec<AtomicU64>,
    openings: Vec<AtomicU64>,
}

/// What a proxy has done so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Calls that came in, streams not included.
    pub calls: u64,
    /// Streams that came in.
    pub streams: u64,
    /// Messages of streams that came in, from either side.
    pub messages: u64,
    /// Calls and streams that were sent to the server, repetitions included.
    pub sent: u64,
    /// Of these, how often no answer could be had: the server was not there, or its connection broke.
    pub unreachable: u64,
    /// How often each fault was done to a call or a message, all faults included.
    pub faults: BTreeMap<Fault, u64>,
    /// How often each was done to a stream that opened, for those faults that can be.
    pub openings: BTreeMap<Fault, u64>,
}

impl Counters {
    pub(crate) fn new() -> Self {
        let zero = AtomicU64::default;
        let zeros = || Fault::ALL.iter().map(|_| zero()).collect();
        Self {
            calls: zero(),
            streams: zero(),
            messages: zero(),
            sent: zero(),
            unreachable: zero(),
            faults: zeros(),
            openings: zeros(),
        }
    }

    /// To be called when the fault is done, not when it is planned.
    pub(crate) fn did(&self, fault: Fault) {
        self.faults[fault as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// The same for a stream that opens.
    pub(crate) fn did_to_opening(&self, fault: Fault) {
        self.openings[fault as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            calls: read(&self.calls),
            streams: read(&self.streams),
            messages: read(&self.messages),
            sent: read(&self.sent),
            unreachable: read(&self.unreachable),
            faults: Fault::ALL.iter().map(|fault| (*fault, read(&self.faults[*fault as usize]))).collect(),
            openings: Fault::of_openings().map(|fault| (fault, read(&self.openings[fault as usize]))).collect(),
        }
    }
}

impl Counts {
    /// How often a fault was done to a call or a message.
    pub fn of(&self, fault: Fault) -> u64 {
        self.faults.get(&fault).copied().unwrap_or_default()
    }

    /// How often it was done to a stream that opened.
    pub fn of_opening(&self, fault: Fault) -> u64 {
        self.openings.get(&fault).copied().unwrap_or_default()
    }

    /// For programs.
    pub fn to_json(&self) -> serde_json::Value {
        let named = |counts: &BTreeMap<Fault, u64>| -> serde_json::Map<_, _> {
            counts.iter().map(|(fault, count)| (fault.name().to_owned(), (*count).into())).collect()
        };
        serde_json::json!({
            "calls": self.calls, "streams": self.streams, "messages": self.messages,
            "sent": self.sent, "unreachable": self.unreachable,
            "faults": named(&self.faults), "openings": named(&self.openings),
        })
    }
}
