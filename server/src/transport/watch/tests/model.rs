//! The judge: what a watcher should have been told, from the log alone and by the plainest means.

use std::collections::BTreeSet;

use proptest::prelude::*;
use semel_core::{
    app::AppPattern,
    command::{Command, Report},
    event::{Event, Record},
    id::{AppName, Millis, Revision, RunId},
    job::Labels,
    policy::Principal,
};
use semel_proto::v1;

use super::world::{APPS, KEPT, Watcher, World, app, job, spec, viewer};
use crate::transport::{
    convert::event,
    watch::filter::{Apps, Filter, Kinds},
};

/// One thing that happens to the world or to a watcher.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Run { at: usize, labelled: bool, later: bool },
    Cancel(usize),
    Retry(usize),
    Report(usize, u8),
    Job(usize, u8),
    Connect(usize),
    Disconnect(usize),
    Drain(usize),
    Hear(usize),
    Wait(i64),
    Commit,
    PastTheRing,
    Forget,
    Restart,
    Open(usize, usize),
    OpenFromOldest(usize),
    Turns(usize, usize),
    Break(usize),
    Resume(usize),
}

pub(super) fn op() -> impl Strategy<Value = Op> {
    let pick = || 0..64_usize;
    prop_oneof![
        8 => (pick(), any::<bool>(), any::<bool>()).prop_map(|(at, labelled, later)| Op::Run { at, labelled, later }),
        2 => pick().prop_map(Op::Cancel),
        1 => pick().prop_map(Op::Retry),
        4 => (pick(), 0..4_u8).prop_map(|(pick, how)| Op::Report(pick, how)),
        1 => (pick(), 0..3_u8).prop_map(|(pick, how)| Op::Job(pick, how)),
        2 => pick().prop_map(Op::Connect),
        1 => pick().prop_map(Op::Disconnect),
        1 => pick().prop_map(Op::Drain),
        1 => pick().prop_map(Op::Hear),
        2 => (0..40_000_i64).prop_map(Op::Wait),
        8 => Just(Op::Commit),
        1 => Just(Op::PastTheRing),
        1 => Just(Op::Forget),
        1 => Just(Op::Restart),
        3 => (pick(), pick()).prop_map(|(filter, principal)| Op::Open(filter, principal)),
        1 => pick().prop_map(Op::OpenFromOldest),
        8 => (pick(), 1..4_usize).prop_map(|(pick, turns)| Op::Turns(pick, turns)),
        1 => pick().prop_map(Op::Break),
        2 => pick().prop_map(Op::Resume),
    ]
}

/// Random histories.
pub(super) fn ops() -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec(op(), 1..120)
}

/// Plays a history, and lets every watcher catch up at its end.
pub(super) fn play(ops: &[Op]) -> (World, Vec<Watcher>) {
    let (mut world, mut watchers) = play_on(World::new(), ops);
    world.commit();
    for watcher in &mut watchers {
        watcher.catch_up(&world);
    }
    (world, watchers)
}

/// Plays a history on a world.
pub(super) fn play_on(mut world: World, ops: &[Op]) -> (World, Vec<Watcher>) {
    let mut watchers: Vec<Watcher> = Vec::new();
    for op in ops {
        if !watch(&mut world, &mut watchers, op) {
            act(&mut world, op);
        }
    }
    (world, watchers)
}

/// What watchers do. False if it is none of theirs.
fn watch(world: &mut World, watchers: &mut Vec<Watcher>, op: &Op) -> bool {
    let count = watchers.len();
    match op {
        Op::Open(at, who) => {
            watchers.push(Watcher::open(world, filter(world, *at), principal(*who)));
        }
        Op::OpenFromOldest(at) => {
            let behind = Revision(world.oldest().0 - 1);
            watchers.push(Watcher::open_behind(world, filter(world, *at), principal(0), behind));
        }
        Op::Restart => {
            world.restart();
            watchers.iter_mut().for_each(Watcher::disconnect);
        }
        Op::Turns(..) | Op::Break(_) | Op::Resume(_) if count == 0 => {}
        Op::Turns(at, turns) => {
            for _ in 0..*turns {
                watchers[at % count].turn(world);
            }
        }
        Op::Break(at) => watchers[at % count].disconnect(),
        Op::Resume(at) => watchers[at % count].resume(world),
        _ => return false,
    }
    true
}

fn act(world: &mut World, op: &Op) {
    match op {
        Op::Run { at, labelled, later } => {
            let labels = if *labelled { labels(&"z".repeat(at % 200)) } else { Labels::new() };
            world.run_job(World::key(*at, at / 3), labels, later.then_some(Millis(5000)));
        }
        Op::Cancel(at) => {
            if let Some((app, run_id)) = picked(world, *at) {
                world.wish(Command::CancelRun { app, run_id, reason: "enough".to_owned() });
            }
        }
        Op::Retry(at) => {
            if let Some((app, run_id)) = picked(world, *at) {
                world.wish(Command::RetryRun { app, run_id });
            }
        }
        Op::Report(at, how) => {
            let report = match how {
                0 => Report::Released { reason: "busy".to_owned() },
                1 => Report::Failed { error: "no".to_owned(), permanent: false, retry_after: None },
                2 => Report::Failed { error: "never".to_owned(), permanent: true, retry_after: None },
                _ => Report::Succeeded { result: None },
            };
            world.report(*at, report);
        }
        Op::Job(at, how) => {
            let key = World::key(*at, at / 3);
            world.wish(match how {
                0 => Command::PauseJob { key, note: "why".to_owned() },
                1 => Command::ResumeJob { key },
                _ => Command::UpdateJob { key, etag: None, spec: std::sync::Arc::new(spec("echo")) },
            });
        }
        Op::Connect(at) => world.connect(*at),
        Op::Disconnect(at) => world.disconnect(*at),
        Op::Drain(at) => world.drain(*at),
        Op::Hear(at) => world.hear(*at),
        Op::Wait(span) => world.pass_time(Millis(*span)),
        Op::Commit => world.commit(),
        Op::PastTheRing => world.commit_past_the_ring(),
        Op::Forget => {
            world.pass_time(Millis(KEPT.0 * 2));
            world.commit();
            world.commit();
        }
        _ => unreachable!("watchers do that"),
    }
}

fn picked(world: &World, at: usize) -> Option<(AppName, RunId)> {
    (!world.runs.is_empty()).then(|| world.runs[at % world.runs.len()].clone())
}

pub(super) fn labels(value: &str) -> Labels {
    [("of".to_owned(), "some".to_owned()), ("long".to_owned(), value.to_owned())].into()
}

fn principal(at: usize) -> Principal {
    match at % 3 {
        0 => viewer(&["*"]),
        1 => viewer(&["a", "pay/*"]),
        _ => viewer(&["pay"]),
    }
}

/// A filter of the many that can be.
pub(super) fn filter(world: &World, at: usize) -> Filter {
    let pattern = |text: &str| AppPattern::parse(text).expect("a pattern");
    let apps = match at % 5 {
        0 => Apps::Any(vec![pattern("*")]),
        1 => Apps::Any(vec![pattern("pay"), pattern("pay/*")]),
        2 => Apps::Any(vec![pattern("pay/*")]),
        n => Apps::One(app(APPS[n - 3])),
    };
    let mut filter =
        Filter { apps, jobs: BTreeSet::new(), runs: BTreeSet::new(), labels: Labels::new(), kinds: Kinds::ALL };
    match at / 5 % 6 {
        1 => drop(filter.jobs.insert(job("x"))),
        2 => drop(filter.labels.insert("of".to_owned(), "some".to_owned())),
        3 => filter.kinds = Kinds::of(&Kinds::TERMINAL),
        4 => {
            filter.kinds = Kinds::of(&[v1::EventKind::RunStarted, v1::EventKind::JobPaused, v1::EventKind::WorkerLost])
        }
        5 => filter.runs = world.runs.iter().rev().step_by(2).take(3).map(|(_, run_id)| *run_id).collect(),
        _ => {}
    }
    filter
}

/// The run that an event makes.
pub(super) fn made(event: &Event) -> Option<(AppName, RunId)> {
    match event {
        Event::RunCreated { run, .. } => Some((run.job.app.clone(), run.id)),
        _ => None,
    }
}

/// What of the log behind a position is let through, each revision by itself.
pub(super) fn expected(log: &[Record], behind: Revision, filter: &Filter, principal: &Principal) -> Vec<v1::Event> {
    let records = log.iter().filter(|record| record.revision > behind);
    let told = records.flat_map(|record| event::told(record, |_| None));
    told.filter(|told| filter.lets_through(told, principal)).map(|told| told.event).collect()
}
