//! Which call meets which fault: a list for the first calls, then odds and a seed. Pure: the same plan gives the same
//! faults to the same numbers, whenever and by whomever it is asked.

use std::{str::FromStr, time::Duration};

use crate::fault::Fault;

/// Odds are out of so many calls.
const OUT_OF: u32 = 1000;
/// The odds of [`Plan::storm`]: about one call in three meets with something.
const STORM: &[(Fault, u32)] = &[
    (Fault::StripAnswer, 60),
    (Fault::StripRequest, 40),
    (Fault::StripCredentials, 10),
    (Fault::Respell, 30),
    (Fault::Delay, 10),
    (Fault::Swallow, 10),
    (Fault::LoseAnswer, 30),
    (Fault::ResetAfter, 20),
    (Fault::ResetWithin, 10),
    (Fault::ResetDuring, 20),
    (Fault::ResetBefore, 10),
    (Fault::Refuse, 20),
    (Fault::CutBefore, 4),
    (Fault::CutAfter, 4),
    (Fault::CutServer, 4),
    (Fault::TwiceAtOnce, 30),
    (Fault::TwiceAfter, 20),
    (Fault::TwiceLater, 20),
];
/// After how many further calls a kept one is sent again.
const LATER_AFTER: u64 = 500;
/// By how much an answer misses the deadline, and how late it is where the caller has set none.
const LATE_BY: Duration = Duration::from_millis(50);
const LATE_WITHOUT_DEADLINE: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Clone, Debug)]
pub struct Plan {
    seed: u64,
    first: Vec<Option<Draw>>,
    otherwise: Option<Draw>,
    odds: Vec<(Fault, u32)>,
    later_after: u64,
}

/// What a call meets with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    /// What.
    pub fault: Fault,
    /// A number by which the fault chooses where it has a choice: which status, which code, how far in.
    pub dice: u32,
}

impl Draw {
    /// The fault with this choice.
    pub fn new(fault: Fault, dice: u32) -> Self {
        Self { fault, dice }
    }
}

impl Plan {
    /// Nothing happens to any call.
    pub fn calm() -> Self {
        Self { seed: 0, first: Vec::new(), otherwise: None, odds: Vec::new(), later_after: LATER_AFTER }
    }

    /// Everything happens, in a measure in which calls still get through.
    pub fn storm(seed: u64) -> Self {
        Self { seed, odds: STORM.to_vec(), ..Self::calm() }
    }

    /// These happen to the first calls, in this order, and then nothing.
    pub fn first(faults: impl IntoIterator<Item = Draw>) -> Self {
        Self { first: faults.into_iter().map(Some).collect(), ..Self::calm() }
    }

    /// This happens to every call.
    pub fn always(fault: Fault) -> Self {
        Self { otherwise: Some(Draw::new(fault, 0)), ..Self::calm() }
    }

    /// With other odds for a fault, out of a thousand calls.
    ///
    /// # Panics
    /// When the odds of all faults exceed a thousand.
    #[must_use]
    pub fn with(mut self, fault: Fault, odds: u32) -> Self {
        self.odds.retain(|(other, _)| *other != fault);
        self.odds.push((fault, odds));
        assert!(self.sum() <= u64::from(OUT_OF), "the odds of all faults together are more than {OUT_OF}");
        self
    }

    /// With this seed.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// After how many further calls a kept one is sent again. Default 500.
    #[must_use]
    pub fn later_after(self, calls: u64) -> Self {
        Self { later_after: calls, ..self }
    }

    /// What happens to the call of this number, the first being 0.
    pub fn draw(&self, number: u64) -> Option<Draw> {
        if let Some(draw) = usize::try_from(number).ok().and_then(|number| self.first.get(number)) {
            return *draw;
        }
        let mut random = fastrand::Rng::with_seed(self.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let (mut mark, dice) = (random.u32(..OUT_OF), random.u32(..));
        for (fault, odds) in &self.odds {
            match mark.checked_sub(*odds) {
                Some(rest) => mark = rest,
                None => return Some(Draw::new(*fault, dice)),
            }
        }
        self.otherwise
    }

    /// Whether a call may meet with this fault by its odds.
    pub fn has(&self, fault: Fault) -> bool {
        self.odds.iter().any(|(other, odds)| *other == fault && *odds > 0)
    }

    pub(crate) fn kept_for(&self) -> u64 {
        self.later_after
    }

    /// How long an answer is held back so that the caller does not wait for it any more.
    pub(crate) fn delay(&self, timeout: Option<Duration>) -> Duration {
        timeout.map_or(LATE_WITHOUT_DEADLINE, |timeout| timeout + LATE_BY)
    }

    fn sum(&self) -> u64 {
        self.odds.iter().map(|(_, odds)| u64::from(*odds)).sum()
    }
}

impl FromStr for Plan {
    type Err = String;

    /// `calm`, `storm`, or either or nothing followed by odds out of a thousand: `storm,swallow=0,delay=50`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut plan = Self::calm();
        for (number, part) in text.split(',').map(str::trim).enumerate() {
            match (part, part.split_once('=')) {
                ("calm", _) if number == 0 => {}
                ("storm", _) if number == 0 => plan = Self::storm(0),
                (_, Some((name, odds))) => {
                    let fault = name.trim().parse()?;
                    let odds =
                        odds.trim().parse().map_err(|_| format!("{odds:?} is no number of calls in a thousand"))?;
                    plan.odds.retain(|(other, _)| *other != fault);
                    plan.odds.push((fault, odds));
                }
                _ => return Err(format!("{part:?} is neither calm nor storm, to begin with, nor FAULT=ODDS")),
            }
        }
        if plan.sum() > u64::from(OUT_OF) {
            return Err(format!("the odds of all faults together are more than {OUT_OF}"));
        }
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_faults_again_and_another_seed_others() {
        let drawn = |seed| (0..1000).map(|number| Plan::storm(seed).draw(number)).collect::<Vec<_>>();
        assert_eq!(drawn(7), drawn(7));
        assert_ne!(drawn(7), drawn(8));
    }

    #[test]
    fn a_storm_holds_every_fault_about_as_often_as_its_odds() {
        let plan = Plan::storm(1);
        let drawn: Vec<Fault> = (0..100_000).filter_map(|number| Some(plan.draw(number)?.fault)).collect();
        for (fault, odds) in STORM {
            let (count, expected) = (drawn.iter().filter(|other| *other == fault).count(), *odds as usize * 100);
            assert!(count > expected / 2 && count < expected * 2, "{fault}: {count}");
        }
        assert_eq!(STORM.len(), Fault::ALL.len());
        assert!(drawn.len() < 50_000, "calls must get through: {}", drawn.len());
    }

    #[test]
    fn the_first_calls_meet_what_is_listed() {
        let plan = Plan::first([Draw::new(Fault::Swallow, 0), Draw::new(Fault::Refuse, 2)]);
        assert_eq!(plan.draw(0), Some(Draw::new(Fault::Swallow, 0)));
        assert_eq!(plan.draw(1), Some(Draw::new(Fault::Refuse, 2)));
        assert_eq!(plan.draw(2), None);
        assert_eq!(Plan::always(Fault::Swallow).draw(99), Some(Draw::new(Fault::Swallow, 0)));
    }

    #[test]
    fn a_plan_is_read_from_text() {
        let plan: Plan = "storm,swallow=0, delay=50".parse().expect("a plan");
        assert!(!plan.has(Fault::Swallow) && plan.has(Fault::Delay) && plan.has(Fault::Refuse));
        let plan: Plan = "refuse=1000".parse().expect("a plan");
        assert!((0..100).all(|number| plan.draw(number).is_some_and(|draw| draw.fault == Fault::Refuse)));
        for wrong in ["", "fog", "delay", "delay=x", "fog=1", "delay=1,storm", "delay=600,swallow=600"] {
            assert!(wrong.parse::<Plan>().is_err(), "{wrong:?}");
        }
    }
}
