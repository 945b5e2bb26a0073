//! What is left of the fires of a server that is killed without a word, again and again, while thousands of triggers fire
//! each second: of each time one fire, and of each fire what the model says. Judged by the log of events, and then by the
//! runs and the counters.

use std::{collections::BTreeMap, time::Duration};

use semel_client::{
    Client,
    v1::{
        EventKind, FireReason, MisfireRule, OverlapRule, RunState, event::Subject, watch_request::Start, watch_response,
    },
};
use tokio::task::JoinSet;

use super::*;
use crate::e2e::{
    binary::{ServerProcess, some_moment},
    fire::{number_from, whole_machine},
    harness::in_time,
    raw_watcher::{RawWatcher, of},
    wire::Wire,
};

/// As many as a job may have.
const PER_JOB: usize = 100;
const PERIOD_MILLIS: i64 = 1000;
/// Runs of one trigger beside each other, where there may be some.
const BESIDE: usize = 5;
/// The server is killed within so long after it serves: while it makes up for what it missed, or when it has.
const KILLED_WITHIN: Duration = Duration::from_millis(1500);
/// Once it stays away for so long that times fall under the misfire rule.
const OUTAGE: Duration = Duration::from_millis(5500);
/// How long it may take to make up for all that was missed. Only a bound.
const PATIENCE: Duration = Duration::from_secs(180);
/// In one round out of so many it is killed while it starts as well.
const STARTING_ONE_IN: u32 = 3;
/// Calls at a time.
const CALLS: usize = 64;

/// Of which trigger: its job and its name.
type Name = (String, String);

/// How runs go beside others. Nobody works, so what becomes of each fire is known before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// The first makes a run, which never ends.
    Skip,
    /// So do the first few.
    Parallel,
    /// Each makes a run, and ends the one before.
    CancelOther,
}

impl Rule {
    fn of(number: usize) -> Self {
        [Self::Skip, Self::Parallel, Self::CancelOther][number % 3]
    }

    /// How many runs there are after so many times.
    fn runs(self, times: usize) -> usize {
        match self {
            Self::Skip => times.min(1),
            Self::Parallel => times.min(BESIDE),
            Self::CancelOther => times,
        }
    }

    fn spec(self) -> v1::TriggerSpec {
        let rule = match self {
            Self::Skip => OverlapRule::Skip,
            Self::Parallel => OverlapRule::Parallel,
            Self::CancelOther => OverlapRule::CancelOther,
        };
        let overlap = overlap(rule, i32::try_from(BESIDE).expect("small"));
        v1::TriggerSpec { overlap, misfire: MisfireRule::FireAll.into(), ..every(PERIOD_MILLIS / 1000) }
    }
}

/// What the log says of one trigger, in order.
#[derive(Clone, Debug, Default)]
struct Story {
    /// Scheduled times in milliseconds, and the run of each if it made one.
    times: Vec<(i64, Option<String>)>,
}

/// What the log says must be what the model says: from the making on each time of the grid once and in order, and of each
/// a run or none by the rule. Says what it has broken.
fn judge(story: &Story, rule: Rule, made: i64) -> Result<(), String> {
    for (index, (time, run)) in story.times.iter().enumerate() {
        let due = made + PERIOD_MILLIS * i64::try_from(index + 1).expect("small");
        match time.cmp(&due) {
            std::cmp::Ordering::Less => return Err(format!("the time {time} came twice")),
            std::cmp::Ordering::Greater => return Err(format!("the time {due} is lost")),
            std::cmp::Ordering::Equal => {}
        }
        let is_run = rule.runs(index + 1) > rule.runs(index);
        if run.is_some() != is_run {
            return Err(format!(
                "the time {time} should make {}, and made {run:?}",
                if is_run { "a run" } else { "none" }
            ));
        }
    }
    Ok(())
}

/// What the log tells.
#[derive(Default)]
struct Log {
    stories: BTreeMap<Name, Story>,
    /// Of each run that was made, by whom and for which time.
    created: BTreeMap<String, (Name, i64)>,
    paused: usize,
}

impl Log {
    fn take(&mut self, event: &v1::Event) {
        match (event.kind(), &event.subject) {
            (EventKind::RunCreated, Some(Subject::Run(run))) => {
                let by = ((run.job.clone(), run.trigger.clone()), millis(run.scheduled_time.as_ref()));
                assert!(self.created.insert(run.run_id.clone(), by).is_none(), "a run is made once");
            }
            (EventKind::TriggerPaused, Some(Subject::Trigger(_))) => self.paused += 1,
            (kind, Some(Subject::Trigger(fire))) => {
                assert_eq!((fire.source(), fire.count.max(1)), (v1::FireSource::Schedule, 1), "{fire:?}");
                let skipped = kind == EventKind::TriggerSkipped;
                assert_eq!(fire.reason() == FireReason::Overlap, skipped, "{fire:?}");
                assert_eq!(fire.run_id.is_empty(), skipped, "{fire:?}");
                let run = (!skipped).then(|| fire.run_id.clone());
                let story = self.stories.entry((fire.job.clone(), fire.trigger.clone())).or_default();
                story.times.push((millis(fire.scheduled_time.as_ref()), run));
            }
            other => panic!("not asked for: {other:?}"),
        }
    }

    /// Reads it from the first revision until all of so many triggers are paused.
    async fn read(wire: &Wire, triggers: usize) -> Self {
        let kinds =
            [EventKind::RunCreated, EventKind::TriggerFired, EventKind::TriggerSkipped, EventKind::TriggerPaused];
        let kinds = kinds.into_iter().map(i32::from).collect();
        let request = v1::WatchRequest { kinds, start: Some(Start::FromRevision(1)), ..of("pay") };
        let mut watcher = RawWatcher::watch(wire, request).await;
        let mut log = Self::default();
        while log.paused < triggers {
            match watcher.message().await.expect("the stream goes on").expect("the stream goes on") {
                watch_response::Kind::Events(events) => events.events.iter().for_each(|event| log.take(event)),
                watch_response::Kind::Progress(_) => {}
                other => panic!("not an event: {other:?}"),
            }
        }
        log
    }

    /// The runs that triggers say they made are those that were made.
    fn runs_match(&self) {
        let fired = self.stories.iter().flat_map(|(name, story)| {
            story.times.iter().filter_map(move |(time, run)| Some((run.clone()?, (name.clone(), *time))))
        });
        let mut count = 0;
        for (run, by) in fired {
            assert_eq!(self.created.get(&run), Some(&by), "{run}");
            count += 1;
        }
        assert_eq!(count, self.created.len(), "one run for each fire, and no other");
    }
}

fn millis(time: Option<&prost_types::Timestamp>) -> i64 {
    let time = time.expect("a time");
    time.seconds * 1000 + i64::from(time.nanos) / 1_000_000
}

/// Calls for each of these, so many at a time.
async fn for_each<T, F>(items: impl IntoIterator<Item = T>, mut call: impl FnMut(T) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut calls = JoinSet::new();
    for item in items {
        if calls.len() >= CALLS {
            in_time(calls.join_next()).await.expect("one is under way").expect("it is answered");
        }
        calls.spawn(call(item));
    }
    in_time(calls.join_all()).await;
}

/// Makes so many, by their numbers.
async fn make(client: &Client, triggers: usize) {
    for_each((0..triggers).step_by(PER_JOB), |first| {
        let numbers = first..triggers.min(first + PER_JOB);
        let triggers = numbers.map(|number| (format!("t{number}"), Rule::of(number).spec())).collect();
        let (client, definition) = (client.clone(), v1::JobSpec { triggers, ..spec("p") });
        async move { drop(job(&client, &format!("j{first}"), definition).await) }
    })
    .await;
}

/// All triggers, as they stand.
async fn all(client: &Client) -> Vec<v1::Trigger> {
    let (mut triggers, mut page_token) = (Vec::new(), String::new());
    loop {
        let page = Some(v1::PageRequest { page_size: 1000, page_token });
        let request = v1::ListTriggersRequest { page, ..Default::default() };
        let listed = in_time(client.list_triggers(request)).await.expect("a list");
        triggers.extend(listed.triggers);
        page_token = listed.page.unwrap_or_default().next_page_token;
        if page_token.is_empty() {
            return triggers;
        }
    }
}

/// The runs that are not finished.
async fn unfinished(client: &Client) -> Vec<String> {
    let (mut runs, mut page_token) = (Vec::new(), String::new());
    loop {
        let page = Some(v1::PageRequest { page_size: 1000, page_token });
        let states = vec![RunState::Queued.into()];
        let request = v1::ListRunsRequest { page, states, ..Default::default() };
        let listed = in_time(client.list_runs(request)).await.expect("a list");
        runs.extend(listed.runs.into_iter().map(|run| run.run_id));
        page_token = listed.page.unwrap_or_default().next_page_token;
        if page_token.is_empty() {
            return runs;
        }
    }
}

/// Waits until each has come so far, then holds all of them where they are.
async fn stop(client: &Client, until: i64) -> Vec<v1::Trigger> {
    let is_behind = |trigger: &v1::Trigger| millis(trigger.settled_time.as_ref()) + PERIOD_MILLIS < until;
    let settled = async {
        loop {
            let triggers = all(client).await;
            if !triggers.iter().any(is_behind) {
                return triggers;
            }
        }
    };
    let triggers = tokio::time::timeout(PATIENCE, settled).await.expect("it catches up");
    for_each(triggers, |trigger| {
        let request = v1::PauseTriggerRequest { job: trigger.job, trigger: trigger.name, ..Default::default() };
        let client = client.clone();
        async move { drop(client.pause_trigger(request).await.expect("it is paused")) }
    })
    .await;
    all(client).await
}

/// Kills the server at moments that the dice say, and starts it again.
async fn kill_again_and_again(server: &mut ServerProcess, rounds: usize, random: &mut fastrand::Rng) {
    let mut start = KILLED_WITHIN;
    for round in 0..rounds {
        some_moment(KILLED_WITHIN.mul_f64(random.f64())).await;
        server.kill().await;
        if random.u32(..STARTING_ONE_IN) == 0 {
            server.spawn();
            some_moment(start.mul_f64(random.f64())).await;
            server.kill().await;
        }
        if round == rounds / 2 {
            some_moment(OUTAGE).await;
        }
        let begun = tokio::time::Instant::now();
        server.start_again().await;
        start = begun.elapsed();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_at_any_moment_has_settled_each_time_once() {
    let _machine = whole_machine().await;
    let rounds = number_from("SEMEL_TRIGGER_CRASH_ROUNDS", 5);
    let count = number_from("SEMEL_TRIGGER_CRASH_TRIGGERS", 2000);
    let seed = number_from("SEMEL_CRASH_SEED", fastrand::usize(..));
    println!("SEMEL_TRIGGER_CRASH_ROUNDS={rounds} SEMEL_TRIGGER_CRASH_TRIGGERS={count} SEMEL_CRASH_SEED={seed}");
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = ServerProcess::start(folder.path(), &[]).await;
    let create = v1::CreateAppRequest { app: "pay".to_owned(), ..Default::default() };
    server.admin().create_app(create).await.expect("made");
    make(&server.blunt("pay"), count).await;
    let mut random = fastrand::Rng::with_seed(seed as u64);
    kill_again_and_again(&mut server, rounds, &mut random).await;

    let client = server.blunt("pay");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let triggers = stop(&client, i64::try_from(now.as_millis()).expect("small")).await;
    assert_eq!(triggers.len(), count);
    let secret = std::fs::read_to_string(server.secret_file()).expect("the secret");
    let wire = Wire::to(&format!("http://{}", server.address())).await.bearer(secret.trim_end());
    let log = Log::read(&wire, count).await;
    let (mut times, mut late) = (0, 0);
    for trigger in &triggers {
        let story = log.stories.get(&(trigger.job.clone(), trigger.name.clone())).expect("it has fired");
        let rule = Rule::of(trigger.name[1..].parse().expect("a number"));
        let judged = judge(story, rule, millis(trigger.create_time.as_ref()));
        judged.unwrap_or_else(|broken| panic!("{} of {}: {broken}", trigger.name, trigger.job));
        matches_its_standing(story, rule, trigger);
        times += story.times.len();
        let late_max = trigger.counters.as_ref().and_then(|counters| counters.late_max);
        late = late.max(late_max.map_or(0, |late| late.seconds * 1000 + i64::from(late.nanos) / 1_000_000));
    }
    log.runs_match();
    let runs = log.created.len();
    println!("{times} times of {count} triggers, {runs} runs; the latest came {late} ms late");
    let mut unfinished = unfinished(&client).await;
    unfinished.sort();
    let mut expected = left(&log, &triggers);
    expected.sort();
    assert!(unfinished == expected, "the runs that are left are those of the model");
}

/// How it stands is what the log says: the cursor, the counters, the runs that are left.
fn matches_its_standing(story: &Story, rule: Rule, trigger: &v1::Trigger) {
    let (last, times) = (story.times.last().expect("it has fired").0, story.times.len());
    assert_eq!(millis(trigger.settled_time.as_ref()), last, "{trigger:?}");
    let counters = trigger.counters.as_ref().expect("counters");
    let number = |count: usize| i64::try_from(count).expect("small");
    let runs = rule.runs(times);
    assert_eq!((counters.fired, counters.skipped_overlap), (number(runs), number(times - runs)), "{trigger:?}");
    let others = [counters.dropped_buffer, counters.missed, counters.missed_paused, counters.skipped_quota];
    assert_eq!(others, [0; 4], "{trigger:?}");
}

/// The runs that the model leaves unfinished.
fn left(log: &Log, triggers: &[v1::Trigger]) -> Vec<String> {
    let of = |trigger: &v1::Trigger| {
        let story = &log.stories[&(trigger.job.clone(), trigger.name.clone())];
        let mut runs: Vec<String> = story.times.iter().filter_map(|(_, run)| run.clone()).collect();
        if Rule::of(trigger.name[1..].parse().expect("a number")) == Rule::CancelOther {
            runs.drain(..runs.len() - 1);
        }
        runs
    };
    triggers.iter().flat_map(of).collect()
}

#[test]
fn a_time_that_is_lost_doubled_or_came_to_something_else_is_noticed() {
    let story = |times: &[(i64, bool)]| {
        let times = times.iter().map(|(time, is_run)| (*time * 1000, is_run.then(|| time.to_string()))).collect();
        Story { times }
    };
    let whole = story(&[(1, true), (2, false), (3, false)]);
    assert_eq!(judge(&whole, Rule::Skip, 0), Ok(()));
    for (times, broken) in [
        (&[(1, true), (3, false)][..], "is lost"),
        (&[(2, true)], "is lost"),
        (&[(1, true), (1, false)], "came twice"),
        (&[(1, true), (2, true)], "should make none"),
        (&[(1, false)], "should make a run"),
    ] {
        let said = judge(&story(times), Rule::Skip, 0).expect_err(broken);
        assert!(said.contains(broken), "{said}");
    }
}
