//! What may have happened on the server by what was asked for, and what the client says has: by it every column is judged,
//! whatever else a case expects.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use semel_proto::v1;

use crate::answer::{Verdict, claim};

/// See the module. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Arc<Mutex<Noted>>);

#[derive(Debug, Default)]
struct Noted {
    /// The ids of calls that may have made a run, and how many calls had none.
    ids: BTreeSet<String>,
    without_id: u64,
    /// Nothing may have happened, whatever was asked.
    is_void: bool,
    /// The runs that the client was told of.
    told: Vec<String>,
}

impl Ledger {
    /// Nothing may happen, whatever is asked.
    pub fn nothing_may_happen(&self) {
        self.noted().is_void = true;
    }

    /// So many runs may be made.
    pub fn may_happen(&self, runs: u64) {
        self.noted().without_id += runs;
    }

    /// A run was asked for under this id, or a fresh one.
    pub fn asked(&self, request_id: Option<&str>) {
        match request_id {
            Some(id) => drop(self.noted().ids.insert(id.to_owned())),
            None => self.may_happen(1),
        }
    }

    /// The client was told of these runs.
    pub fn told(&self, runs: impl IntoIterator<Item = String>) {
        self.noted().told.extend(runs);
    }

    /// No more runs were made than may have been, and every one that was told is there.
    ///
    /// # Errors
    /// When that is not so.
    pub fn judge(&self, runs: &[v1::Run]) -> Verdict {
        let noted = self.noted();
        let allowed = if noted.is_void { 0 } else { noted.ids.len() as u64 + noted.without_id };
        claim(runs.len() as u64 <= allowed, || {
            format!("the server has {} runs, and at most {allowed} were asked for", runs.len())
        })?;
        let is_there = |run_id: &String| runs.iter().any(|run| run.run_id == *run_id);
        match noted.told.iter().find(|run_id| !is_there(run_id)) {
            None => Ok(()),
            Some(run_id) => {
                claim(false, || format!("success was told with the run {run_id:?}, which the server does not have"))
            }
        }
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(ids: &[&str]) -> Vec<v1::Run> {
        ids.iter().map(|id| v1::Run { run_id: (*id).to_owned(), ..Default::default() }).collect()
    }

    #[test]
    fn the_same_id_makes_one_run_however_often_it_is_asked() {
        let ledger = Ledger::default();
        ledger.asked(Some("id"));
        ledger.asked(Some("id"));
        assert_eq!(ledger.judge(&runs(&["a"])), Ok(()));
        assert!(ledger.judge(&runs(&["a", "b"])).is_err());
        ledger.asked(None);
        assert_eq!(ledger.judge(&runs(&["a", "b"])), Ok(()));
        ledger.nothing_may_happen();
        assert!(ledger.judge(&runs(&["a"])).is_err());
    }

    #[test]
    fn what_was_told_must_be_there() {
        let ledger = Ledger::default();
        ledger.asked(None);
        ledger.told(["a".to_owned()]);
        assert_eq!(ledger.judge(&runs(&["a"])), Ok(()));
        assert!(ledger.judge(&runs(&["b"])).is_err());
    }
}
