//! Who may wait for the engine while it has more to do than it gets done. What comes from callers passes through here on its
//! way in: a few atomics, no lock, no clock. What workers say does not: it has a lane of its own ([`super::lane`]), waits for
//! room there, and is never refused.
//!
//! Context: a queue that is only bounded refuses whatever comes when it is full, and what lies in a long one is waited for
//! longer than its callers wait. Choice: a class for each thing that waits, so that looks at the state go first and wishes
//! stay; a bound in bytes beside the one in number, because one wish may carry a megabyte; and room for as much as the engine
//! gets done in [`Bounds::wait_max`] at the pace that it has just now, which its thread measures turn by turn ([`Pace`]). So
//! nobody has to look at a clock on the way in. Rejected: stamps on each wish with the oldest being judged (two clock reads for
//! each call), and dropping what was taken (its caller would have waited for nothing).

use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

use semel_core::{
    command::{Command, Report},
    id::Millis,
};

use super::{answer::Refused, envelope::Envelope};

/// How much may wait for the engine. An operator may set these.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Wishes that wait, from 1 on. Default 8192.
    pub queue_max: usize,
    /// Bytes of what they carry, while they wait and until they are committed. One message may come in over it. Default 256 MiB.
    pub queue_bytes_max: u64,
    /// How long a wish should have to wait at most; what would wait longer is refused at once. Default 1 s.
    pub wait_max: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { queue_max: 8192, queue_bytes_max: 256 << 20, wait_max: Duration::from_secs(1) }
    }
}

/// The largest [`Bounds::queue_max`].
pub const QUEUE_LIMIT: usize = 1 << 16;
/// Looks at the state that wait at a time: they are done between two commits, which wait meanwhile.
pub(super) const LOOKS_MAX: usize = 1024;
/// Whatever the pace, so much may wait: the whole of one commit. A slow disk takes as long for one wish as for all of these,
/// so the pace with few of them says nothing of the pace with many.
const ROOM_MIN: usize = super::thread::BATCH_MAX;
/// What callers are told to wait: no less, and no more.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(10);
/// How an amount is packed: its number above this bit, its bytes below.
const COUNT_SHIFT: u32 = 40;
/// Nanoseconds for one wish before anything was measured.
const NANOS_FIRST: u64 = 20_000;
/// How much a turn counts for the pace: one in so many.
const SMOOTHING: u64 = 8;

/// What is refused here, lowest first. What workers say stands above, and is not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Looks at the state, and lists.
    Look,
    /// Whatever changes something.
    Wish,
}

/// So many wishes with so many bytes, in one number.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Amount(u64);

impl Amount {
    fn new(count: usize, bytes: u64) -> Self {
        Self(((count as u64) << COUNT_SHIFT) | bytes)
    }

    /// What these wishes come to.
    pub(super) fn of(envelopes: &[Envelope]) -> Self {
        Self::new(envelopes.len(), envelopes.iter().map(|envelope| bytes(&envelope.command)).sum())
    }

    pub(super) fn count(self) -> usize {
        usize::try_from(self.0 >> COUNT_SHIFT).unwrap_or(usize::MAX)
    }

    pub(super) fn bytes(self) -> u64 {
        self.0 & ((1 << COUNT_SHIFT) - 1)
    }

    pub(super) fn add(&mut self, other: Self) {
        self.0 += other.0;
    }
}

/// The bytes that a command carries for its caller; all else of it is small, and counted as one.
pub(super) fn bytes(command: &Command) -> u64 {
    let length = match command {
        Command::RunJob(wish) => wish.payload.as_ref().map_or(0, |payload| payload.data.len()),
        Command::CreateJob { spec, .. } | Command::UpdateJob { spec, .. } => {
            spec.payload.as_ref().map_or(0, |payload| payload.data.len())
        }
        Command::ReportAttempt { report: Report::Succeeded { result }, .. } => {
            result.as_ref().map_or(0, |result| result.data.len())
        }
        Command::AppendLog { data, .. } => data.len(),
        _ => 0,
    };
    length as u64
}

/// How things stand, for those who show it. All of it is read without asking the engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Wishes that wait.
    pub waiting: usize,
    /// The bytes that they carry, and those that are being committed.
    pub waiting_bytes: u64,
    /// So many wishes may wait at the present pace.
    pub room: usize,
    /// Looks that wait.
    pub looks: usize,
    /// Of what workers say, what waits, in places of 4 KiB.
    pub worker_places: usize,
    /// Wishes that were refused since the start.
    pub refused_wishes: u64,
    /// Looks and lists that were refused since the start.
    pub refused_looks: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Admission {
    bounds: Bounds,
    /// An [`Amount`].
    waiting: AtomicU64,
    looks: AtomicUsize,
    room: AtomicUsize,
    nanos_per_wish: AtomicU64,
    /// Of those who were refused, so many may come again before there is room for anybody else.
    expected: AtomicU64,
    refused_wishes: AtomicU64,
    refused_looks: AtomicU64,
}

impl Admission {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            waiting: AtomicU64::new(0),
            looks: AtomicUsize::new(0),
            room: AtomicUsize::new(bounds.queue_max),
            nanos_per_wish: AtomicU64::new(NANOS_FIRST),
            expected: AtomicU64::new(0),
            refused_wishes: AtomicU64::new(0),
            refused_looks: AtomicU64::new(0),
        }
    }

    /// Takes wishes in. Their number counts until [`Admission::taken`], their bytes until [`Admission::done`]. They are taken
    /// or refused together: as long as there is room for one there is room for all of a message.
    ///
    /// # Errors
    /// [`Refused::Overloaded`].
    pub(super) fn wish(&self, amount: Amount) -> Result<(), Refused> {
        let before = Amount(self.waiting.fetch_add(amount.0, Ordering::Relaxed));
        if before.count() < self.room.load(Ordering::Relaxed) && before.bytes() < self.bounds.queue_bytes_max {
            return Ok(());
        }
        self.waiting.fetch_sub(amount.0, Ordering::Relaxed);
        Err(self.refuse(Class::Wish))
    }

    /// So many have come out of the queue.
    pub(super) fn taken(&self, amount: Amount) {
        self.waiting.fetch_sub(amount.0 - amount.bytes(), Ordering::Relaxed);
    }

    /// They are committed, or were refused.
    pub(super) fn done(&self, amount: Amount) {
        self.waiting.fetch_sub(amount.bytes(), Ordering::Relaxed);
    }

    /// Takes a look in, which then counts until [`Admission::looked`].
    ///
    /// # Errors
    /// [`Refused::Overloaded`].
    pub(super) fn look(&self) -> Result<(), Refused> {
        self.list()?;
        if self.looks.fetch_add(1, Ordering::Relaxed) < LOOKS_MAX {
            return Ok(());
        }
        self.looks.fetch_sub(1, Ordering::Relaxed);
        Err(self.refuse(Class::Look))
    }

    /// So many looks are done.
    pub(super) fn looked(&self, count: usize) {
        self.looks.fetch_sub(count, Ordering::Relaxed);
    }

    /// Whether there is room for what only looks, here or in the store: as long as half of the room for wishes is free.
    ///
    /// # Errors
    /// [`Refused::Overloaded`].
    pub(super) fn list(&self) -> Result<(), Refused> {
        let waiting = Amount(self.waiting.load(Ordering::Relaxed));
        let is_free = waiting.count() < self.room.load(Ordering::Relaxed).div_ceil(2)
            && waiting.bytes() < self.bounds.queue_bytes_max / 2;
        if is_free { Ok(()) } else { Err(self.refuse(Class::Look)) }
    }

    /// Refuses one, counts it, and says when to come again: once all that waits is done, and those who were refused before
    /// and come again. Later by up to a half, by chance: who was refused together does not come back together.
    pub(super) fn refuse(&self, class: Class) -> Refused {
        let refused = match class {
            Class::Look => &self.refused_looks,
            Class::Wish => &self.refused_wishes,
        };
        let number = refused.fetch_add(1, Ordering::Relaxed);
        let expected = self.expected.fetch_add(1, Ordering::Relaxed);
        let ahead = expected + Amount(self.waiting.load(Ordering::Relaxed)).count() as u64;
        let nanos = ahead.saturating_mul(self.nanos_per_wish.load(Ordering::Relaxed));
        let wait = Duration::from_nanos(nanos).clamp(RETRY_MIN, RETRY_MAX);
        Refused::Overloaded { retry_after: spread(wait, number) }
    }

    /// How things stand.
    pub(super) fn load(&self) -> Load {
        let waiting = Amount(self.waiting.load(Ordering::Relaxed));
        Load {
            waiting: waiting.count(),
            waiting_bytes: waiting.bytes(),
            room: self.room.load(Ordering::Relaxed),
            looks: self.looks.load(Ordering::Relaxed),
            worker_places: 0,
            refused_wishes: self.refused_wishes.load(Ordering::Relaxed),
            refused_looks: self.refused_looks.load(Ordering::Relaxed),
        }
    }
}

/// A wait and up to half of it more. `number` makes the difference: one after another they lie apart (SplitMix64).
pub(crate) fn spread(wait: Duration, number: u64) -> Millis {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let share = u32::try_from(mixed >> 48).unwrap_or(0);
    let more = wait / 2 * share / u32::from(u16::MAX);
    Millis(i64::try_from((wait + more).as_millis()).unwrap_or(i64::MAX))
}

/// How fast the engine works, as its thread measures it.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Of one turn, smoothed.
    nanos: u64,
    /// Wishes of one turn, smoothed, in 1024ths.
    wishes: u64,
}

impl Pace {
    /// A turn with so many wishes took so long; `since` the turn before it so long has passed, idle or not.
    pub(super) fn turned(&mut self, admission: &Admission, wishes: usize, took: Duration, since: Duration) {
        if wishes > 0 {
            let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
            self.nanos = smoothed(self.nanos, took);
            self.wishes = smoothed(self.wishes, (wishes as u64) << 10);
            let per_wish = (self.nanos / (self.wishes >> 10).max(1)).max(1);
            admission.nanos_per_wish.store(per_wish, Ordering::Relaxed);
            admission.room.store(room(&admission.bounds, self.nanos), Ordering::Relaxed);
        }
        let per_wish = admission.nanos_per_wish.load(Ordering::Relaxed);
        let came = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX) / per_wish;
        let most = u64::try_from(RETRY_MAX.as_nanos()).unwrap_or(u64::MAX) / per_wish;
        let decay = |expected: u64| (expected > 0).then(|| expected.min(most).saturating_sub(came));
        let _ = admission.expected.fetch_update(Ordering::Relaxed, Ordering::Relaxed, decay);
    }
}

fn smoothed(former: u64, now: u64) -> u64 {
    if former == 0 { now } else { former - former / SMOOTHING + now / SMOOTHING }
}

/// How much may wait when a turn, which may take as much as [`ROOM_MIN`], takes so long.
fn room(bounds: &Bounds, turn_nanos: u64) -> usize {
    let wait = u64::try_from(bounds.wait_max.as_nanos()).unwrap_or(u64::MAX);
    let fits = (ROOM_MIN as u64).saturating_mul(wait) / turn_nanos.max(1);
    usize::try_from(fits).unwrap_or(usize::MAX).max(ROOM_MIN).min(bounds.queue_max)
}

#[cfg(test)]
mod tests;
