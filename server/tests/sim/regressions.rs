//! Faults that the simulation found, each with the shortest story that shows it.

use std::collections::BTreeSet;

use semel_core::{
    app::{AppPattern, Grant, Role},
    command::Command,
    id::{JobKey, Millis, ProcessorName, RequestId, Timestamp, WorkerId},
    policy::Principal,
    rejection::Rejection,
};
use semel_server::{
    clock::Now,
    engine::{Answer, Engine, Envelope, Hello, Options, Order, Refused, SessionId, Submitted},
    store::Memory,
};

use crate::{
    history::{Call, Who},
    plan::{self, EPOCH},
};

const HOUR: i64 = 3_600_000;

struct Setting {
    rng: fastrand::Rng,
    disk: Memory,
    engine: Engine,
}

fn open(disk: &Memory, wall: i64) -> Engine {
    let now = Now { wall: Timestamp(wall), steady: Millis(0) };
    Engine::open(Box::new(disk.reopen()), Options::default(), now, 1, Some([1; 32])).expect("it opens").0
}

impl Setting {
    fn new() -> Self {
        let disk = Memory::new();
        let engine = open(&disk, EPOCH);
        Self { rng: fastrand::Rng::with_seed(1), disk, engine }
    }

    fn call(&mut self, after: i64, id: RequestId, command: Command) -> Submitted {
        let call = Call::new(id, Who::Admin, command);
        let grants = vec![Grant { role: Role::Admin, apps: AppPattern::All }];
        let principal = Principal { name: call.who.to_string().into(), app: Some(call.who.app()), grants };
        let envelope = Envelope::new(principal, call.id, call.fingerprint, call.command);
        self.engine.step(at(after), &[envelope]).expect("the store works").answers.remove(0)
    }

    fn done(&mut self, after: i64, command: impl FnOnce(&mut fastrand::Rng, RequestId) -> Command) -> Answer {
        let id = plan::mint(&mut self.rng, EPOCH + after);
        let command = command(&mut self.rng, id);
        self.call(after, id, command).expect("nothing is in the way")
    }
}

fn at(after: i64) -> Now {
    Now { wall: Timestamp(EPOCH + after), steady: Millis(after) }
}

/// Promise D6. The refusal itself wrote nothing, so a crash could take the time back behind it.
#[test]
fn an_id_that_was_called_expired_stays_so_after_a_crash_with_a_clock_set_back() {
    let mut setting = Setting::new();
    let window = Options::default().window.length.0;
    let id = plan::mint(&mut setting.rng, EPOCH - window + 5);
    setting.done(0, |_, id| plan::create_app("pay", id));
    let is_expired =
        |submitted: &Submitted| matches!(submitted, Err(Refused::Rejected(Rejection::RequestIdExpired { .. })));
    let first = setting.call(6, id, plan::create_app("ship", id));
    assert!(is_expired(&first), "{first:?}");
    setting.engine = open(&setting.disk, EPOCH - HOUR);
    let second = setting.call(-HOUR, id, plan::create_app("ship", id));
    assert!(is_expired(&second), "{second:?}");
}

/// What a silent worker was given was lost once more after each lease, until the run had failed by that alone.
#[test]
fn nothing_is_handed_to_a_worker_that_is_silent_though_its_stream_is_open() {
    let mut setting = Setting::new();
    setting.done(0, |_, id| plan::create_app("pay", id));
    let job = plan::all_jobs().remove(0);
    let key: JobKey = job.clone();
    setting.done(1, |rng, _| plan::create_job(rng, key));
    let hello = |worker: u8, slots| Hello {
        app: plan::app("pay"),
        worker_id: WorkerId([worker; 16]),
        worker_name: "w".into(),
        processors: plan::PROCESSORS
            .iter()
            .map(|name| ProcessorName::parse(name).expect("good"))
            .collect::<BTreeSet<_>>(),
        slots,
        held: Vec::new(),
    };
    let (silent, lively) = (SessionId(1), SessionId(2));
    setting.engine.worker_opened(at(2), silent, hello(1, 9));
    let lease = Options::default().lease.0;
    setting.engine.worker_opened(at(lease + 10), lively, hello(2, 1));
    let id = plan::mint(&mut setting.rng, EPOCH + lease);
    let mut wish = plan::run_job(&mut setting.rng, EPOCH, job);
    (wish.start_time, wish.deadline) = (None, None);
    let call = Call::new(id, Who::Admin, Command::RunJob(wish));
    let envelope = Envelope::new(Principal::unrestricted(), id, call.fingerprint, call.command);
    let output = setting.engine.step(at(lease + 20), &[envelope]).expect("the store works");
    let assigned: Vec<SessionId> =
        output.orders.iter().filter(|(_, order)| matches!(order, Order::Assign(_))).map(|(id, _)| *id).collect();
    assert_eq!(assigned, [lively], "it has fewer slots, and is there");
}
