//! Which call meets which fault, and which message of a stream: a list for the first calls, then odds and a seed. Pure: the
//! same plan gives the same faults to the same numbers, whenever and by whomever it is asked.

use std::{str::FromStr, time::Duration};

use crate::fault::{Fault, Way};

/// Odds are out of so many calls, or messages of streams in one direction.
const OUT_OF: u32 = 1000;
/// The odds of [`Plan::storm`]: about one call in three meets with something, and one message of a stream in twenty, for
/// few streams outlive what they meet with.
const STORM: &[(Fault, u32)] = &[
    (Fault::StripAnswer, 60),
    (Fault::StripTrailers, 20),
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
    (Fault::DropMessage, 10),
    (Fault::RepeatMessage, 20),
    (Fault::HoldMessage, 10),
    (Fault::CutServerWithin, 4),
    (Fault::DropAnswer, 10),
    (Fault::RepeatAnswer, 10),
    (Fault::HoldAnswer, 10),
    (Fault::Stall, 10),
    (Fault::ResetStream, 10),
    (Fault::CutWithin, 4),
];
/// After how many further calls a kept one is sent again.
const LATER_AFTER: u64 = 500;
/// By how much an answer misses the deadline, and how late it is where the caller has set none.
const LATE_BY: Duration = Duration::from_millis(50);
const LATE_WITHOUT_DEADLINE: Duration = Duration::from_secs(1);
/// For how long a message of a stream is held back: longer than the Rust client waits by default.
const HELD_FOR: Duration = Duration::from_secs(6);

/// See the module.
#[derive(Clone, Debug)]
pub struct Plan {
    seed: u64,
    first: Vec<Option<Draw>>,
    otherwise: Option<Draw>,
    odds: Vec<(Fault, u32)>,
    later_after: u64,
    in_stream: Option<(Draw, u64)>,
    held_for: Duration,
}

/// What a call or a message meets with.
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
        Self {
            seed: 0,
            first: Vec::new(),
            otherwise: None,
            odds: Vec::new(),
            later_after: LATER_AFTER,
            in_stream: None,
            held_for: HELD_FOR,
        }
    }

    /// Everything happens, in a measure in which calls still get through.
    pub fn storm(seed: u64) -> Self {
        Self { seed, odds: STORM.to_vec(), ..Self::calm() }
    }

    /// These happen to the first calls, in this order, and then nothing.
    pub fn first(faults: impl IntoIterator<Item = Draw>) -> Self {
        Self { first: faults.into_iter().map(Some).collect(), ..Self::calm() }
    }

    /// This happens once: to the message of this number (the first being 0) in its direction of the first stream.
    pub fn in_stream(draw: Draw, message: u64) -> Self {
        Self { in_stream: Some((draw, message)), ..Self::calm() }
    }

    /// This happens to every call, or to every message of every stream.
    pub fn always(fault: Fault) -> Self {
        Self { otherwise: Some(Draw::new(fault, 0)), ..Self::calm() }
    }

    /// With other odds for a fault, out of a thousand calls, or messages of streams in its direction.
    ///
    /// # Panics
    /// When the odds of all faults that may meet one call or message exceed a thousand.
    #[must_use]
    pub fn with(mut self, fault: Fault, odds: u32) -> Self {
        self.set(fault, odds);
        assert!(self.is_possible(), "the odds of all faults together are more than {OUT_OF}");
        self
    }

    /// The same for several.
    ///
    /// # Panics
    /// As [`Plan::with`].
    #[must_use]
    pub fn with_each(self, faults: impl IntoIterator<Item = Fault>, odds: u32) -> Self {
        faults.into_iter().fold(self, |plan, fault| plan.with(fault, odds))
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

    /// For how long a message of a stream is held back. Default 6 s.
    #[must_use]
    pub fn hold_for(self, span: Duration) -> Self {
        Self { held_for: span, ..self }
    }

    /// What happens to the call of this number, the first being 0; and to a stream of this number while it opens.
    pub fn draw(&self, number: u64) -> Option<Draw> {
        if let Some(draw) = usize::try_from(number).ok().and_then(|number| self.first.get(number)) {
            return *draw;
        }
        self.by_odds(None, number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// What happens to the message of this number, in this direction, of the stream of this number; each from 0 on.
    pub fn draw_message(&self, way: Way, stream: u64, message: u64) -> Option<Draw> {
        if let Some((draw, at)) = self.in_stream {
            return (stream == 0 && message == at && draw.fault.way() == Some(way)).then_some(draw);
        }
        let up = u64::from(way == Way::Up);
        let stream = stream.wrapping_mul(0xd6e8_feb8_6659_fd93);
        self.by_odds(Some(way), stream ^ ((message << 1) | up).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn by_odds(&self, way: Option<Way>, salt: u64) -> Option<Draw> {
        let mut random = fastrand::Rng::with_seed(self.seed ^ salt);
        let (mut mark, dice) = (random.u32(..OUT_OF), random.u32(..));
        for (fault, odds) in self.odds.iter().filter(|(fault, _)| fault.way() == way) {
            match mark.checked_sub(*odds) {
                Some(rest) => mark = rest,
                None => return Some(Draw::new(*fault, dice)),
            }
        }
        self.otherwise.filter(|draw| draw.fault.way() == way)
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

    pub(crate) fn held_for(&self) -> Duration {
        self.held_for
    }

    fn set(&mut self, fault: Fault, odds: u32) {
        self.odds.retain(|(other, _)| *other != fault);
        self.odds.push((fault, odds));
    }

    /// Whether the odds of what may meet one call, or one message, are those of at most all of them.
    fn is_possible(&self) -> bool {
        [None, Some(Way::Up), Some(Way::Down)].into_iter().all(|way| {
            let odds = self.odds.iter().filter(|(fault, _)| fault.way() == way).map(|(_, odds)| u64::from(*odds));
            odds.sum::<u64>() <= u64::from(OUT_OF)
        })
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
                    plan.set(fault, odds);
                }
                _ => return Err(format!("{part:?} is neither calm nor storm, to begin with, nor FAULT=ODDS")),
            }
        }
        if !plan.is_possible() {
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
        let calls = (0..100_000).filter_map(|number| plan.draw(number));
        let calls: Vec<Fault> = calls.map(|draw| draw.fault).collect();
        let message = |way, number: u64| plan.draw_message(way, number / 100, number % 100);
        let up = (0..100_000).filter_map(|number| message(Way::Up, number));
        let down = (0..100_000).filter_map(|number| message(Way::Down, number));
        let messages: Vec<Fault> = up.chain(down).map(|draw| draw.fault).collect();
        for (fault, odds) in STORM {
            let drawn = if fault.way().is_some() { &messages } else { &calls };
            let (count, expected) = (drawn.iter().filter(|other| *other == fault).count(), *odds as usize * 100);
            assert!(count > expected / 2 && count < expected * 2, "{fault}: {count}");
        }
        assert_eq!(STORM.len(), Fault::ALL.len());
        assert!(calls.len() < 50_000, "calls must get through: {}", calls.len());
        assert!(messages.len() < 20_000, "streams must get somewhere: {}", messages.len());
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
    fn a_message_meets_what_is_planned_for_its_direction() {
        let lost = Draw::new(Fault::DropAnswer, 0);
        let plan = Plan::in_stream(lost, 2);
        assert_eq!(plan.draw_message(Way::Down, 0, 2), Some(lost));
        for (way, stream, message) in [(Way::Up, 0, 2), (Way::Down, 1, 2), (Way::Down, 0, 1)] {
            assert_eq!(plan.draw_message(way, stream, message), None);
        }
        let always = Plan::always(Fault::DropMessage);
        assert_eq!(always.draw_message(Way::Up, 7, 7).map(|draw| draw.fault), Some(Fault::DropMessage));
        assert_eq!((always.draw_message(Way::Down, 7, 7), always.draw(7)), (None, None));
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
