//! What is told of runs: each stretch once, whole, and only of those that are recorded.

use semel_core::{
    command::Stamp,
    id::{AppName, JobName, ProcessorName, Revision, TriggerName},
    job::{LostWorker, Plan, RetryPolicy},
    limits::Limits,
    run::Cause,
    trigger::FireSource,
};

use super::*;

const RUN: RunId = RunId([1; 16]);

fn at(time: i64) -> Timestamp {
    Timestamp(1_000 + time)
}

struct World(State);

impl World {
    /// One run that waits, made at 0.
    fn new(change: impl FnOnce(&mut Run)) -> Self {
        let mut run = Run {
            id: RUN,
            job: JobKey { app: AppName::system(), job: JobName::parse("settle").expect("a name") },
            plan: Arc::new(Plan {
                processor: ProcessorName::parse("p").expect("a name"),
                attempt_timeout: None,
                lost_worker: LostWorker::Retry,
                retry: RetryPolicy::default(),
            }),
            state: RunState::Queued { since: at(0) },
            labels: Arc::default(),
            priority: 0,
            create_time: at(0),
            start_time: None,
            deadline: None,
            attempts: Vec::new(),
            attempt: AttemptNumber(0),
            failed_count: 0,
            lost_count: 0,
            reason: String::new(),
            unique_key: None,
            retry_of: None,
            request_id: None,
            revision: Revision(1),
            log_bytes: 0,
            log_chunks: 0,
            has_payload: false,
            has_result: false,
            cause: None,
            trace: Some(Box::new(TraceContext::root([7; 16], [8; 8]))),
        };
        change(&mut run);
        let mut world = Self(State::new(Limits::default()));
        let made = Event::RunCreated { run: Arc::new(run), unique_until: None, payload: None };
        assert_eq!(world.happens(0, vec![made]), []);
        world
    }

    /// What is told when these happen.
    fn happens(&mut self, time: i64, events: Vec<Event>) -> Vec<(i64, i64, PassageKind)> {
        let told = of(&self.0, &events, at(time));
        for event in &events {
            self.0.evolve(Stamp { now: at(time), revision: Revision(2), entropy: 0 }, event);
        }
        told.into_iter().map(|passage| (passage.from.0 - 1_000, passage.to.0 - 1_000, passage.kind)).collect()
    }
}

fn started(number: u32) -> Vec<Event> {
    let (worker_id, worker_name) = (WorkerId([9; 16]), "w".into());
    vec![Event::AttemptStarted { run_id: RUN, number: AttemptNumber(number), worker_id, worker_name, deadline: None }]
}

fn ended(how: AttemptOutcome, number: u32, then: Event) -> Vec<Event> {
    let number = AttemptNumber(number);
    vec![Event::AttemptEnded { run_id: RUN, number, how, error: "no luck".to_owned(), result: None }, then]
}

fn over(outcome: Outcome) -> Event {
    Event::RunEnded { run_id: RUN, outcome, reason: "why".to_owned() }
}

fn waited(queued: Option<i64>, number: u32, ended: Option<Outcome>) -> PassageKind {
    PassageKind::Wait { queued: queued.map(at), number: AttemptNumber(number), ended }
}

fn tried(how: AttemptOutcome, number: u32) -> PassageKind {
    let (worker_id, worker_name) = (WorkerId([9; 16]), "w".into());
    PassageKind::Attempt { number: AttemptNumber(number), worker_id, worker_name, how, error: "no luck".to_owned() }
}

#[test]
fn each_wait_and_each_attempt_is_told_when_it_ends() {
    let mut world = World::new(|_| {});
    assert_eq!(world.happens(5, started(1)), [(0, 5, waited(Some(0), 1, None))]);
    let retrying = Event::RunRetrying { run_id: RUN, until: at(20) };
    let lost = ended(AttemptOutcome::Lost, 1, retrying);
    assert_eq!(world.happens(10, lost), [(5, 10, tried(AttemptOutcome::Lost, 1))]);
    assert_eq!(world.happens(20, vec![Event::RunQueued { run_id: RUN }]), []);
    assert_eq!(world.happens(25, started(2)), [(10, 25, waited(Some(20), 2, None))]);
    let good = ended(AttemptOutcome::Succeeded, 2, over(Outcome::Succeeded));
    assert_eq!(world.happens(30, good), [(25, 30, tried(AttemptOutcome::Succeeded, 2))]);
}

#[test]
fn a_run_that_never_began_has_waited_to_its_end() {
    let mut world = World::new(|_| {});
    let told = world.happens(9, vec![over(Outcome::Cancelled)]);
    assert_eq!(told, [(0, 9, waited(Some(0), 1, Some(Outcome::Cancelled)))]);
    let mut world = World::new(|run| run.state = RunState::Scheduled { until: at(50) });
    let told = world.happens(9, vec![over(Outcome::Expired)]);
    assert_eq!(told, [(0, 9, waited(None, 1, Some(Outcome::Expired)))]);
}

#[test]
fn of_a_run_that_a_trigger_made_its_whole_life_is_told_as_well() {
    let mut world = World::new(|run| {
        let trigger = TriggerName::parse("t").expect("a name");
        (run.trace, run.cause) =
            (None, Some(Box::new(Cause { trigger, scheduled_time: at(0), source: FireSource::Schedule })));
    });
    world.happens(5, started(1));
    let told = world.happens(9, ended(AttemptOutcome::Failed, 1, over(Outcome::Failed)));
    let whole = PassageKind::Whole { outcome: Outcome::Failed, reason: "why".to_owned() };
    assert_eq!(told, [(5, 9, tried(AttemptOutcome::Failed, 1)), (0, 9, whole)]);
}

#[test]
fn of_what_is_not_recorded_nothing_is_told() {
    let not_sampled = Some(Box::new(TraceContext { flags: 0, ..TraceContext::root([7; 16], [8; 8]) }));
    for trace in [None, not_sampled] {
        let mut world = World::new(|run| run.trace = trace);
        assert_eq!(world.happens(5, started(1)), []);
        assert_eq!(world.happens(9, ended(AttemptOutcome::Succeeded, 1, over(Outcome::Succeeded))), []);
    }
}

#[tokio::test]
async fn what_there_is_no_room_for_is_counted() {
    let (sender, mut passages) = Passages::channel();
    let run = World::new(|_| {});
    let told = of(&run.0, &started(1), at(5));
    sender.send(Vec::new());
    for _ in 0..WAITING_MAX + 3 {
        sender.send(told.clone());
    }
    assert_eq!((passages.take_lost(), passages.take_lost()), (3, 0));
    drop(sender);
    let mut count = 0;
    while let Some(batch) = passages.next().await {
        count += batch.len();
    }
    assert_eq!(count, WAITING_MAX);
}
