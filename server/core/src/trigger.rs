//! How a trigger stands: up to where its times are settled, what waits, what became of its fires. What it says is in
//! [`crate::schedule`]; what is done with both is in `decide::trigger` and `state::triggers`.
//!
//! The one promise behind all of it: each time that the schedule names is settled once, by an event that moves the cursor
//! and, in the same record, makes the run or says why there is none. So a fire is neither lost nor doubled by a crash, and
//! none is silent.

use minicbor::{Decode, Encode};

use crate::{
    id::{Millis, Revision, RunId, Timestamp, TriggerKey},
    job::Pause,
    limits,
    schedule::Overlap,
};

/// The row of a trigger.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Standing {
    /// Which.
    #[n(0)]
    pub key: TriggerKey,
    /// When it was made, or its times were last changed. A rate without a start is counted from here.
    #[n(1)]
    pub made_at: Timestamp,
    /// Up to here the times of the schedule are settled.
    #[n(2)]
    pub cursor: Timestamp,
    /// Times that something that happened has set: the end of a run that it follows, or its own last run and the delay.
    #[n(3)]
    pub due: Vec<Due>,
    /// What became of its times so far.
    #[n(4)]
    pub counters: Counters,
    /// Runs of it that failed in a row.
    #[n(5)]
    pub failures: u32,
    /// Why it does not fire; none if it does.
    #[n(6)]
    pub pause: Option<Pause>,
    /// Times up to here passed while it was paused.
    #[n(7)]
    pub paused_until: Option<Timestamp>,
    /// Fires that wait for the runs of earlier ones to end, in order.
    #[n(8)]
    pub waiting: Vec<Waiting>,
    /// The backfill that is under way.
    #[n(9)]
    pub backfill: Option<Box<Backfill>>,
    /// What became of its last fires, the oldest first; at most [`limits::FIRES_KEPT_MAX`].
    #[n(10)]
    pub last_fires: Vec<PastFire>,
    /// The log position of its last change.
    #[n(11)]
    pub revision: Revision,
}

impl Standing {
    /// That of a trigger that is made now.
    pub fn new(key: TriggerKey, now: Timestamp) -> Self {
        Self {
            key,
            made_at: now,
            cursor: now,
            due: Vec::new(),
            counters: Counters::default(),
            failures: 0,
            pause: None,
            paused_until: None,
            waiting: Vec::new(),
            backfill: None,
            last_fires: Vec::new(),
            revision: Revision(0),
        }
    }

    /// One more time has come.
    pub(crate) fn push_due(&mut self, time: Timestamp) {
        let is_full = self.due.len() >= limits::DUE_KEPT_MAX;
        match self.due.last_mut() {
            Some(last) if is_full || last.time == time => {
                last.time = last.time.max(time);
                last.count += 1;
            }
            _ => self.due.push(Due { time, count: 1 }),
        }
    }

    /// So many of the first times are settled.
    pub(crate) fn take_due(&mut self, mut count: u64) {
        while count > 0 && !self.due.is_empty() {
            let first = &mut self.due[0];
            let taken = first.count.min(count);
            (first.count, count) = (first.count - taken, count - taken);
            if first.count == 0 {
                self.due.remove(0);
            }
        }
    }

    /// Keeps the story of a fire. A fire that had waited has one entry: what became of it.
    pub(crate) fn remember(&mut self, fire: PastFire, waited: bool) {
        if waited {
            let same = |past: &PastFire| past.effect == Effect::Waits && past.scheduled_time == fire.scheduled_time;
            if let Some(index) = self.last_fires.iter().position(same) {
                self.last_fires.remove(index);
            }
        }
        if self.last_fires.len() >= limits::FIRES_KEPT_MAX {
            self.last_fires.remove(0);
        }
        self.last_fires.push(fire);
    }
}

/// A time that something that happened has set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Due {
    /// The time.
    #[n(0)]
    pub time: Timestamp,
    /// How often it was set.
    #[n(1)]
    pub count: u64,
}

/// What became of the times of a trigger. They only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Counters {
    /// Runs that its schedule made.
    #[n(0)]
    pub fired: u64,
    /// Runs that were asked for by hand.
    #[n(1)]
    pub by_hand: u64,
    /// Runs that backfills made.
    #[n(2)]
    pub backfilled: u64,
    /// See [`SkipReason::Overlap`].
    #[n(3)]
    pub overlap: u64,
    /// See [`SkipReason::Buffer`].
    #[n(4)]
    pub buffer: u64,
    /// See [`SkipReason::Misfire`].
    #[n(5)]
    pub misfire: u64,
    /// See [`SkipReason::Paused`].
    #[n(6)]
    pub paused: u64,
    /// See [`SkipReason::Quota`].
    #[n(7)]
    pub quota: u64,
    /// See [`SkipReason::Replaced`].
    #[n(8)]
    pub replaced: u64,
    /// By how much the fires of the schedule came later than they should have, in all.
    #[n(9)]
    pub late_total: Millis,
    /// By how much the latest did.
    #[n(10)]
    pub late_max: Millis,
    /// By how much the last did.
    #[n(11)]
    pub late_last: Millis,
}

impl Counters {
    pub(crate) fn fired(&mut self, source: FireSource, late: Millis) {
        match source {
            FireSource::Schedule => {
                self.fired += 1;
                self.late_total = Millis(self.late_total.0.saturating_add(late.0));
                self.late_max = self.late_max.max(late);
                self.late_last = late;
            }
            FireSource::Hand => self.by_hand += 1,
            FireSource::Backfill => self.backfilled += 1,
        }
    }

    pub(crate) fn skipped(&mut self, reason: SkipReason, count: u64) {
        let counter = match reason {
            SkipReason::Overlap => &mut self.overlap,
            SkipReason::Buffer => &mut self.buffer,
            SkipReason::Misfire => &mut self.misfire,
            SkipReason::Paused => &mut self.paused,
            SkipReason::Quota => &mut self.quota,
            SkipReason::Replaced => &mut self.replaced,
        };
        *counter = counter.saturating_add(count);
    }
}

/// By what a fire came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum FireSource {
    /// By the trigger's own times.
    #[n(1)]
    Schedule,
    /// Somebody wished so.
    #[n(2)]
    Hand,
    /// By a backfill.
    #[n(3)]
    Backfill,
}

/// Why a fire made no run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum SkipReason {
    /// A run of an earlier fire was not finished.
    #[n(1)]
    Overlap,
    /// It was dropped from the buffer: that was full, or a later fire took the place.
    #[n(2)]
    Buffer,
    /// Its time passed while nobody could fire it.
    #[n(3)]
    Misfire,
    /// Its time passed while the trigger was paused.
    #[n(4)]
    Paused,
    /// The app had as many unfinished runs as it may.
    #[n(5)]
    Quota,
    /// The definition was replaced before it could fire.
    #[n(6)]
    Replaced,
}

/// A fire that waits for the runs of earlier ones to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Waiting {
    /// For which time.
    #[n(0)]
    pub scheduled_time: Timestamp,
    /// By what.
    #[n(1)]
    pub source: FireSource,
}

/// What became of a fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Effect {
    /// It made a run.
    #[n(1)]
    Run(#[n(0)] RunId),
    /// It waits for the runs of earlier ones to end.
    #[n(2)]
    Waits,
    /// It made none.
    #[n(3)]
    Skipped(#[n(0)] SkipReason),
}

/// A fire that was, or several in a row that came to nothing for one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PastFire {
    /// For which time, or the last of several.
    #[n(0)]
    pub scheduled_time: Timestamp,
    /// When that became of it.
    #[n(1)]
    pub time: Timestamp,
    /// What became of it.
    #[n(2)]
    pub effect: Effect,
    /// How many.
    #[n(3)]
    pub count: u64,
    /// By what.
    #[n(4)]
    pub source: FireSource,
}

/// Making up for times that passed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Backfill {
    /// The first moment of the range.
    #[n(0)]
    pub from: Timestamp,
    /// The first moment after it.
    #[n(1)]
    pub to: Timestamp,
    /// How its runs go beside others: skip, one after the other, or so many at a time.
    #[n(2)]
    pub overlap: Overlap,
    /// Up to here its times are settled.
    #[n(3)]
    pub cursor: Timestamp,
    /// How many times the range has.
    #[n(4)]
    pub count: u64,
    /// How many made a run.
    #[n(5)]
    pub fired: u64,
    /// How many made none.
    #[n(6)]
    pub skipped: u64,
    /// When it was asked for.
    #[n(7)]
    pub create_time: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::*;

    fn standing() -> Standing {
        Standing::new(trigger_key("nightly"), T0)
    }

    #[test]
    fn what_is_due_beyond_the_bound_is_counted_under_the_last() {
        let mut standing = standing();
        let many = limits::DUE_KEPT_MAX + 7;
        (0..many).for_each(|n| standing.push_due(T0.plus(Millis(i64::try_from(n).expect("small")))));
        assert_eq!(standing.due.len(), limits::DUE_KEPT_MAX);
        assert_eq!(standing.due.iter().map(|due| due.count).sum::<u64>(), many as u64);
        standing.take_due(many as u64 - 1);
        assert_eq!(standing.due.iter().map(|due| due.count).sum::<u64>(), 1);
        standing.take_due(5);
        assert!(standing.due.is_empty());
    }

    #[test]
    fn a_fire_that_had_waited_has_one_entry() {
        let mut standing = standing();
        let fire = |effect| PastFire { scheduled_time: T0, time: T0, effect, count: 1, source: FireSource::Schedule };
        standing.remember(fire(Effect::Waits), false);
        standing.remember(fire(Effect::Run(id(1))), true);
        assert_eq!(standing.last_fires, [fire(Effect::Run(id(1)))]);
        (0..20).for_each(|_| standing.remember(fire(Effect::Waits), false));
        assert_eq!(standing.last_fires.len(), limits::FIRES_KEPT_MAX);
    }
}
