//! The faults, and that the disk outlives them.

use semel_core::id::Revision;

use super::{Fault, Memory};
use crate::store::{Batch, Error, Store, Wanted, suite::Session, suite::fixtures::*};

#[test]
fn a_commit_that_fails_is_there_or_not_as_was_asked_for() {
    let disk = Memory::new();
    for (applied, last) in [(false, 0), (true, 1)] {
        let mut session = Session::with(Box::new(disk.reopen()));
        disk.inject(Fault::FailNextCommit { applied });
        let failed = session.try_commit(&Batch { records: vec![record(1)], ..batch(1) });
        assert!(matches!(failed, Err(Error::Injected(_))));
        let after = Session::with(Box::new(disk.reopen()));
        assert_eq!(after.loaded.revision, Revision(last));
        assert_eq!(after.reader.records(Revision(0), 9).expect("a read").len() as u64, last);
    }
}

#[test]
fn a_fault_comes_once_and_in_its_turn() {
    let disk = Memory::new();
    let mut session = Session::with(Box::new(disk.reopen()));
    disk.inject(Fault::FailNextPrefetch);
    disk.inject(Fault::FailNextCommit { applied: false });
    disk.inject(Fault::FailNextCommit { applied: true });
    assert!(session.try_commit(&batch(1)).is_err());
    assert!(session.store.prefetch(&Wanted::default()).is_err());
    assert!(session.store.prefetch(&Wanted::default()).is_ok());
    assert!(session.try_commit(&batch(2)).is_err());
    session.commit(&batch(3));
    disk.inject(Fault::FailNextCommit { applied: false });
    disk.clear_faults();
    session.commit(&batch(4));
}

#[test]
fn a_load_that_fails_takes_nothing_over() {
    let disk = Memory::new();
    let mut session = Session::with(Box::new(disk.reopen()));
    disk.inject(Fault::FailNextLoad);
    assert!(disk.reopen().load().is_err());
    session.commit(&batch(1));
    assert!(disk.reopen().load().is_ok());
    assert!(matches!(session.try_commit(&batch(2)), Err(Error::Fenced { .. })), "the next engine owns the disk");
}
