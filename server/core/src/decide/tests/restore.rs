//! A state that is built anew from rows is the state that wrote them.

use super::{World, given};
use crate::{
    id::Timestamp,
    run::Phase,
    samples::*,
    state::{State, Timer},
    trigger::Standing,
};

const EVER: Timestamp = Timestamp(i64::MAX);

impl World {
    /// The server stopped and began again; nothing may be lost or changed by that.
    pub(super) fn restart(&mut self) {
        self.commit();
        let restored = State::restore(*self.state.limits(), self.disk.rows());
        restored.check_invariants();
        assert_same(&self.state, &restored);
        self.state = restored;
    }

    pub(super) fn restarted(mut self) -> Self {
        self.restart();
        self
    }
}

/// Every question that can be asked has the same answer.
fn assert_same(a: &State, b: &State) {
    assert!(a.apps().eq(b.apps()));
    assert_eq!(a.revoked_tokens(), b.revoked_tokens());
    assert_eq!(a.live_run_count(), b.live_run_count());
    for app in a.apps() {
        assert!(a.jobs_of(&app.name).eq(b.jobs_of(&app.name)));
        assert_eq!(a.live_runs_of(&app.name), b.live_runs_of(&app.name));
        for job in a.jobs_of(&app.name) {
            assert_eq!(a.counts(&job.key), b.counts(&job.key));
            assert_eq!(a.may_start(&job.key), b.may_start(&job.key));
            let standings = |state: &State| -> Vec<Standing> {
                state.triggers_of_job(job.key.clone()).map(|trigger| trigger.standing().clone()).collect()
            };
            assert_eq!(standings(a), standings(b));
            for name in ["exec", "http"] {
                assert_eq!(a.queued_for(&app.name, &processor(name)), b.queued_for(&app.name, &processor(name)));
            }
        }
    }
    assert_eq!(a.ready(), b.ready());
    assert!(a.holders().eq(b.holders()));
    assert!(a.holders().all(|worker| a.held_by(worker).eq(b.held_by(worker))));
    assert_eq!(a.next_deadline(), b.next_deadline());
    let due = a.due(EVER, usize::MAX);
    assert_eq!(due, b.due(EVER, usize::MAX));
    for timer in due {
        if let Timer::ReleaseKey(key, unique_key) = timer {
            assert_eq!(a.unique_hold(&key, &unique_key), b.unique_hold(&key, &unique_key));
        }
    }
}

#[test]
fn an_empty_state_is_restored_empty() {
    World::new(T0).restart();
}

#[test]
fn every_phase_is_restored() {
    for phase in Phase::ALL {
        let mut world = given(base()).and(run(1).unique("k", Some(T0.plus(BACKOFF))).at(phase));
        let before = world.run(id(1));
        world.restart();
        assert_eq!(world.run(id(1)), before);
        assert_eq!(world.state.run(id(1)).is_none(), phase.is_terminal());
    }
}

#[test]
fn the_order_of_those_who_wait_is_restored() {
    let world = given(base())
        .and(run(1).at(Phase::Queued))
        .and(run(2).with(|run| run.priority = 5).at(Phase::Queued))
        .and(run(3).at(Phase::Queued))
        .restarted();
    let places: Vec<u64> =
        [1, 2, 3].map(|n| world.state.ahead_in_queue(world.state.run(id(n)).expect("it is live"))).to_vec();
    assert_eq!(places, [1, 0, 2]);
}
