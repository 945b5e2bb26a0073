//! From times as a clock on the wall shows them to moments: which moment a time means when the clock leaves it out, or
//! shows it twice.
//!
//! Context: "at 02:30" is a time by the clock, and on two days of the year that is no moment or two. Choice: walk along the
//! stretches of time in which the offset stays the same. Within one, clock and time go alike; what a change left out or
//! shows again can be told from the offsets at its ends. Fires so come in order by themselves, also with [`Fold::Both`].
//! Rejected: to resolve one time by the clock after another, because they are not in the order of their moments, and because
//! 3,600 of them can lie in a gap. Consequence: rules about gaps and folds stand in this file alone.

use super::{
    Fold, Gap,
    zone::{Stretch, Zone},
};

/// No two clocks of the world differ from UTC by more. (They did by 15:56 at most.)
const OFFSET_SECS_MAX: i64 = 86_400;

/// How times by the clock become moments.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// For what the clock leaves out.
    pub(super) gap: Gap,
    /// For what the clock shows twice.
    pub(super) fold: Fold,
}

impl Rules {
    /// By time that passes: nothing is left out, and both of two count.
    pub(super) const ELAPSED: Self = Self { gap: Gap::Skip, fold: Fold::Both };
}

/// The first moment, this one or later, at which it is such a time by the clock.
///
/// `next_local` gives the first such time at a time or later, both as seconds since 1970 by the clock.
pub(super) fn next(zone: &Zone, rules: Rules, from: i64, next_local: impl Fn(i64) -> Option<i64>) -> Option<i64> {
    let mut stretch = zone.stretch(from);
    let mut at = from;
    loop {
        if at == stretch.start && rules.gap == Gap::After && makes_up(&stretch, &next_local) {
            return Some(at);
        }
        let local = next_local(at.saturating_add(stretch.offset));
        match local.map(|local| local - stretch.offset).filter(|&moment| moment < stretch.end) {
            Some(moment) => match refused_until(&stretch, rules.fold, moment) {
                None => return Some(moment),
                Some(until) if until < stretch.end => at = until,
                Some(_) => (stretch, at) = enter(zone.following(&stretch)?),
            },
            None => (stretch, at) = enter(skip(zone, &stretch, at, local)?),
        }
    }
}

fn enter(stretch: Stretch) -> (Stretch, i64) {
    (stretch, stretch.start)
}

/// Whether the clock left out such a time when this stretch began.
fn makes_up(stretch: &Stretch, next_local: impl Fn(i64) -> Option<i64>) -> bool {
    stretch.before < stretch.offset
        && next_local(stretch.start + stretch.before).is_some_and(|local| local < stretch.start + stretch.offset)
}

/// Until when no time of a fold is taken, if this moment is one that is not.
fn refused_until(stretch: &Stretch, fold: Fold, moment: i64) -> Option<i64> {
    // Until then the clock shows again what it has shown before; from then on what it will show again.
    let again_until =
        if stretch.before > stretch.offset { stretch.start + stretch.before - stretch.offset } else { i64::MIN };
    let twice_from =
        if stretch.after < stretch.offset { stretch.end + stretch.after - stretch.offset } else { i64::MAX };
    let (first, second) = match fold {
        Fold::First => (true, false),
        Fold::Second => (false, true),
        Fold::Both => (true, true),
        Fold::Skip => (false, false),
    };
    if !second && moment < again_until {
        Some(again_until)
    } else if !first && moment >= twice_from {
        Some(stretch.end)
    } else {
        None
    }
}

/// The next stretch that may hold such a time, when this one holds none from `at` on, and `local` is the first one after.
fn skip(zone: &Zone, stretch: &Stretch, at: i64, local: Option<i64>) -> Option<Stretch> {
    let next = zone.following(stretch)?;
    // What begins soon may show times before the one that was searched from; what begins later does not, and what ends
    // long before `local` does not reach it. In between there is nothing, left out or not.
    if next.start < at + 2 * OFFSET_SECS_MAX {
        return Some(next);
    }
    let far = zone.stretch(local? - OFFSET_SECS_MAX);
    Some(if far.start > next.start { far } else { next })
}

/// The moments at which the clock shows a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moments {
    /// As most times: one.
    One(i64),
    /// None. This is the first moment after what the clock leaves out.
    LeftOut(i64),
    /// Two; of more, the first and the last.
    Twice(i64, i64),
}

/// The moments at which the clock shows a time, given as seconds since 1970 by the clock.
pub(super) fn moments(zone: &Zone, local: i64) -> Moments {
    let mut stretch = zone.stretch(local - OFFSET_SECS_MAX);
    let mut found: Option<(i64, i64)> = None;
    let mut left_out = local;
    loop {
        let moment = local - stretch.offset;
        if (stretch.start..stretch.end).contains(&moment) {
            found = Some((found.map_or(moment, |(first, _)| first), moment));
        }
        if (stretch.start.saturating_add(stretch.before)..stretch.start.saturating_add(stretch.offset)).contains(&local)
        {
            left_out = stretch.start;
        }
        match zone.following(&stretch) {
            Some(next) if next.start <= local + OFFSET_SECS_MAX => stretch = next,
            _ => break,
        }
    }
    match found {
        None => Moments::LeftOut(left_out),
        Some((first, last)) if first == last => Moments::One(first),
        Some((first, last)) => Moments::Twice(first, last),
    }
}
