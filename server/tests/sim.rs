//! The seeded simulation: the real engine over the memory store, in a world where callers retry, duplicate, reorder,
//! reuse, cancel and give up, workers die and come back, clocks are wrong, and the server crashes at any commit. A
//! checker that knows only what callers saw says whether every promise was kept.
//!
//! ```text
//! cargo sim                         some hundreds of seeds
//! SEMEL_SIM_SEEDS=10000 cargo sim   any number of them
//! SEMEL_SIM_SEED=17 cargo sim       just that one
//! ```
//!
//! What a seed does is a function of the seed alone: nothing in here reads a clock or starts a thread inside a world.

#[path = "sim/archive.rs"]
mod archive;
#[path = "sim/callers.rs"]
mod callers;
#[path = "sim/checker.rs"]
mod checker;
#[path = "sim/disk.rs"]
mod disk;
#[path = "sim/effects.rs"]
mod effects;
#[path = "sim/history.rs"]
mod history;
#[path = "sim/mutants.rs"]
mod mutants;
#[path = "sim/plan.rs"]
mod plan;
#[path = "sim/regressions.rs"]
mod regressions;
#[path = "sim/runner.rs"]
mod runner;
#[path = "sim/server.rs"]
mod server;
#[path = "sim/stats.rs"]
mod stats;
#[path = "sim/triggers.rs"]
mod triggers;
#[path = "sim/unsynced.rs"]
mod unsynced;
#[path = "sim/workers.rs"]
mod workers;
#[path = "sim/world.rs"]
mod world;

use disk::Breakage;
use runner::{Lived, number_from};

/// How many seeds there are unless somebody says so.
const SEEDS: u64 = 300;

#[test]
fn every_promise_is_kept_in_every_world() {
    if let Some(seed) = number_from("SEMEL_SIM_SEED") {
        let lived = runner::live(seed, Breakage::None);
        lived.assert_kept();
        eprintln!("seed {seed}: {:?}", lived.stats);
        return;
    }
    let seeds = number_from("SEMEL_SIM_SEEDS").unwrap_or(SEEDS);
    let stats = runner::live_all(0..seeds);
    eprintln!("{seeds} seeds: {stats:?}");
    // Too few seeds prove nothing about the simulation itself.
    if seeds >= SEEDS {
        for (name, figure) in stats.figures() {
            assert!(figure > 0, "the simulation has lost its bite: no {name} in {seeds} seeds");
        }
    }
}

#[test]
fn one_seed_is_one_history() {
    for seed in [3, 14, 15] {
        let [first, second] = [runner::live(seed, Breakage::None), runner::live(seed, Breakage::None)];
        let lines = |lived: &Lived| lived.history.as_ref().map(|history| history.render(0)).unwrap_or_default();
        let (first, second) = (lines(&first), lines(&second));
        assert!(first.len() > 100, "something happens in seed {seed}");
        for (nr, (first, second)) in first.iter().zip(&second).enumerate() {
            assert_eq!(first, second, "seed {seed}, line {nr}");
        }
        assert_eq!(first.len(), second.len(), "seed {seed}");
    }
}
