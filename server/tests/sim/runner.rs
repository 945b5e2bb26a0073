//! Lives seeds, many at a time, and says what to do about one that fails.

use std::{
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use crate::{
    checker::{Rule, Violation, violation},
    disk::Breakage,
    history::History,
    stats::Stats,
    world,
};

/// How much of a history is shown.
const LINES_SHOWN: usize = 50;

/// A seed that was lived through.
pub(crate) struct Lived {
    pub(crate) seed: u64,
    pub(crate) violations: Vec<Violation>,
    pub(crate) stats: Stats,
    /// None if the code panicked.
    pub(crate) history: Option<History>,
}

/// Lives one seed.
pub(crate) fn live(seed: u64, breakage: Breakage) -> Lived {
    match catch_unwind(AssertUnwindSafe(|| world::live(seed, breakage))) {
        Ok(outcomes) => {
            let world::Outcomes { history, violations, stats } = outcomes;
            Lived { seed, violations, stats, history: Some(history) }
        }
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default();
            Lived { seed, violations: vec![violation(Rule::Panic, text)], stats: Stats::default(), history: None }
        }
    }
}

/// Lives many seeds, on as many threads as there are processors; the first that fails fails the test.
pub(crate) fn live_all(seeds: Range<u64>) -> Stats {
    let next = AtomicU64::new(seeds.start);
    let has_failed = AtomicBool::new(false);
    let all = Mutex::new((Stats::default(), None::<Lived>));
    let threads = thread::available_parallelism().map_or(2, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !has_failed.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let lived = live(seed, Breakage::None);
                    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
                    all.0.add(&lived.stats);
                    if !lived.violations.is_empty() {
                        has_failed.store(true, Ordering::Relaxed);
                        all.1 = Some(lived);
                    }
                }
            });
        }
    });
    let (stats, failed) = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(failed) = failed {
        failed.assert_kept();
    }
    stats
}

impl Lived {
    /// # Panics
    /// If a promise was broken: with the seed, what was broken, the last lines of the history, and how to see it again.
    pub(crate) fn assert_kept(&self) {
        if self.violations.is_empty() {
            return;
        }
        let lines = self.history.as_ref().map_or_else(
            || vec!["(the code panicked, see above)".to_owned()],
            |history| history.render(history.lines.len().saturating_sub(LINES_SHOWN)),
        );
        let broken =
            self.violations.iter().take(20).map(|violation| format!("{:?}: {}", violation.rule, violation.what));
        panic!(
            "seed {seed} breaks {count} promises\n{broken}\n\nthe last lines of its history:\n{lines}\n\n\
             to run just this seed: SEMEL_SIM_SEED={seed} cargo sim every_promise\n\
             to see all lines of its history that hold a word: add SEMEL_SIM_GREP=word",
            seed = self.seed,
            count = self.violations.len(),
            broken = broken.collect::<Vec<_>>().join("\n"),
            lines = self.grep().unwrap_or(lines).join("\n"),
        );
    }

    /// The lines with the word that somebody asked for.
    fn grep(&self) -> Option<Vec<String>> {
        let word = std::env::var("SEMEL_SIM_GREP").ok()?;
        let lines = self.history.as_ref()?.render(0);
        Some(lines.into_iter().filter(|line| line.contains(&word)).collect())
    }
}

/// A number from the environment.
///
/// # Panics
/// If it is there and is no number.
pub(crate) fn number_from(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a number, and is {text:?}")))
}
