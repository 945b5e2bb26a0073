//! Who is lost when the engine itself is late.

use semel_core::{
    app::NewSecret,
    command::{Command, RunJob},
    id::{AppName, JobKey, JobName, ProcessorName, RequestId, WorkerId},
    job::{JobSpec, Labels, LostWorker, Plan, RetryPolicy},
    policy::Principal,
    window::Fingerprint,
};

use super::*;
use crate::{
    clock::Now,
    engine::{CancelReason, Engine, Envelope, Hello, Options, Order, SessionId},
    store::Memory,
};

const WORKER: SessionId = SessionId(1);

fn at(steady: i64) -> Now {
    Now { wall: Timestamp(1_750_000_000_000 + steady), steady: Millis(steady) }
}

fn key() -> JobKey {
    JobKey { app: AppName::parse("pay").expect("a name"), job: JobName::parse("settle").expect("a name") }
}

fn processor() -> ProcessorName {
    ProcessorName::parse("p").expect("a name")
}

fn envelope(number: u8, command: Command) -> Envelope {
    let mut id = [number; 16];
    id[..6].copy_from_slice(&at(0).wall.0.to_be_bytes()[2..]);
    let fingerprint = Fingerprint { version: 1, digest: [0; 16], leaves: Vec::new() };
    Envelope::new(Principal::unrestricted(), RequestId(id), fingerprint, command)
}

/// An engine with one worker, which holds an attempt.
fn with_a_holder() -> Engine {
    let (mut engine, _) =
        Engine::open(Box::new(Memory::new().reopen()), Options::default(), at(0), 1, None).expect("it opens");
    let plan = Plan {
        processor: processor(),
        retry: RetryPolicy::default(),
        attempt_timeout: None,
        lost_worker: LostWorker::Retry,
    };
    let spec = JobSpec {
        plan: Arc::new(plan),
        payload: None,
        run_timeout: None,
        max_running: None,
        priority: 0,
        labels: Labels::new().into(),
        description: String::new(),
        triggers: Default::default(),
    };
    let secret = NewSecret { hash: [1; 32], key_id: "k".to_owned() };
    let run = RunJob {
        key: key(),
        payload: None,
        labels: Labels::new(),
        priority: None,
        start_time: None,
        deadline: None,
        unique_key: None,
    };
    let wishes = [
        Command::CreateApp { app: key().app, description: String::new(), grants: Vec::new(), secret },
        Command::CreateJob { key: key(), spec: Arc::new(spec) },
        Command::RunJob(run),
    ];
    let envelopes: Vec<Envelope> = (1..).zip(wishes).map(|(number, wish)| envelope(number, wish)).collect();
    let hello = Hello {
        app: key().app,
        worker_id: WorkerId([1; 16]),
        worker_name: "w".into(),
        processors: [processor()].into(),
        slots: 1,
        held: Vec::new(),
    };
    engine.worker_opened(at(0), WORKER, hello);
    let orders = engine.step(at(0), &envelopes).expect("the store works").orders;
    assert!(matches!(orders.as_slice(), [(WORKER, Order::Assign(_))]), "{orders:?}");
    engine
}

/// Whether the worker loses its attempt at this moment.
fn loses(engine: &mut Engine, steady: i64) -> bool {
    let orders = engine.step(at(steady), &[]).expect("the store works").orders;
    let stale = |order: &Order| matches!(order, Order::Cancel { reason: CancelReason::LeaseStale, .. });
    orders.iter().any(|(_, order)| stale(order))
}

#[test]
fn who_was_heard_of_where_the_engine_has_not_got_to_is_not_silent() {
    let (mut engine, pulse) = (with_a_holder(), Pulse::default());
    engine.workers.listen(WORKER, pulse.clone());
    assert!(pulse.beat(), "the engine must be told");
    assert!(!pulse.beat(), "once is enough");
    let lease = engine.options.lease.0;
    assert!(!loses(&mut engine, lease + 1));
    assert!(pulse.beat(), "it knows of the former one");
    engine.worker_heard(at(lease + 2), WORKER);
    assert!(!loses(&mut engine, 2 * lease + 1));
    assert!(loses(&mut engine, 2 * lease + 2), "nothing more was heard");
}
