//! Calls that are sent once more much later. It owns them until then.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use crate::call::Call;

/// What is kept at most; beyond that the oldest goes early.
const KEPT_MAX: usize = 4096;

/// See the module. In the order in which they are due.
#[derive(Debug, Default)]
pub(crate) struct Later(Mutex<VecDeque<(u64, Call)>>);

impl Later {
    /// Keeps a call until the call of this number comes. Gives what has to go now for lack of room.
    pub(crate) fn keep(&self, due: u64, call: Call) -> Option<Call> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_back((due, call));
        if kept.len() > KEPT_MAX { kept.pop_front().map(|(_, call)| call) } else { None }
    }

    /// Takes what is due when the call of this number comes.
    pub(crate) fn due(&self, number: u64) -> Vec<Call> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = kept.iter().take_while(|(at, _)| *at <= number).count();
        kept.drain(..count).map(|(_, call)| call).collect()
    }
}
