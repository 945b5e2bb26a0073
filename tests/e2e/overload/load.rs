//! Four times what the server gets done, for a while: `SEMEL_OVERLOAD_SECONDS` says for how long, 4 s if nothing is said.
//! All figures are of one run: what it gets done is measured before and after, on the same server.

use std::{
    collections::BTreeSet,
    env,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use semel_client::v1;
use semel_server::{clock::timer_now, store::RunQuery};
use tokio::{
    task::{JoinHandle, JoinSet},
    time::{self, Instant},
};
use tonic::Code;

use super::ground;
use crate::e2e::{
    harness::{run_job, spec},
    raw_worker::{RawWorker, hello, log, succeeded},
    wire::{PayByWire, Refused, Wire, fresh, settle},
};

/// How long what it gets done is measured.
const MEASURED: Duration = Duration::from_secs(3);
/// Callers that are served one call after another.
const CALLERS: usize = 20;
const TIMES: f64 = 4.0;
/// How often calls are made, as many as are due by then.
const STEP: Duration = Duration::from_millis(10);
/// How long a caller waits.
const PATIENCE: Duration = Duration::from_secs(10);
/// Runs that each worker holds.
const HELD: usize = 4;
const WORKERS: usize = 2;

fn seconds() -> Duration {
    let given = env::var("SEMEL_OVERLOAD_SECONDS").ok();
    Duration::from_secs(given.map_or(4, |text| text.parse().expect("a number of seconds")))
}

/// What became of a call.
enum Outcome {
    /// Its run, and whether it was made while the load was on.
    Served(String, Instant),
    Refused,
    /// Its caller waited in vain.
    Unknown,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_times_what_it_gets_done() {
    let pay = ground::slow().await;
    let crew = Crew::start(&pay).await;
    let (mut runs, before) = measure(&pay).await;
    let (outcomes, lists, span) = overload(&pay, before).await;

    // All is well at once: what waited was done before the last caller had its answer.
    settle(&pay.pay, &fresh()).await.expect("it is served");
    pay.pay.runs().await;
    let load = pay.server.running().engine().load();
    assert_eq!((load.waiting, load.waiting_bytes, load.looks), (0, 0, 0), "{load:?}");
    // The machine is others' as well: it may have become slower meanwhile.
    let (more, after) = measure(&pay).await;
    runs.extend(more);
    let capacity = before.min(after);
    crew.go_home(&pay).await;

    let end = span.1;
    let (mut in_time, mut served, mut refused, mut unknown) = (0, 0, 0, 0);
    for outcome in outcomes {
        match outcome {
            Outcome::Served(run_id, at) => {
                in_time += usize::from(at <= end);
                served += 1;
                assert!(runs.insert(run_id), "one run for each call");
            }
            Outcome::Refused => refused += 1,
            Outcome::Unknown => unknown += 1,
        }
    }
    let goodput = in_time as f64 / (end - span.0).as_secs_f64();
    println!(
        "gets {before:.0} a second done before and {after:.0} after; under load {goodput:.0} ({:.2} of it); {served} served, {refused} refused, \
         {unknown} unknown; lists: {} of {} refused",
        goodput / capacity,
        lists.refused,
        lists.all
    );
    assert!(goodput >= 0.8 * capacity, "{goodput:.0} of {capacity:.0} a second");
    assert!(refused > served, "it was overloaded: {refused} refused, {served} served");
    let share = |refused: usize, all: usize| refused as f64 / all as f64;
    let (of_lists, of_calls) = (share(lists.refused, lists.all), share(refused, served + refused));
    assert!(of_lists > of_calls, "lists go first: {of_lists:.2} of them were refused, and {of_calls:.2} of the calls");

    // Whatever was acknowledged is there, and nothing that was refused.
    let made = all_runs(&pay);
    assert!(runs.is_subset(&made), "no acknowledged call is lost");
    assert!(made.len() <= runs.len() + unknown + 1, "{} runs, {} acknowledged", made.len(), runs.len());
}

/// What it gets done: callers who wait for each answer before they ask again. Gives the runs, and how many a second.
async fn measure(pay: &PayByWire) -> (BTreeSet<String>, f64) {
    let begin = timer_now();
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let wire = pay.pay.clone();
        callers.spawn(async move {
            let mut runs = Vec::new();
            while begin.elapsed() < MEASURED {
                runs.push(settle(&wire, &fresh()).await.expect("it is served").run_id);
            }
            runs
        });
    }
    let runs: BTreeSet<String> = callers.join_all().await.into_iter().flatten().collect();
    let capacity = runs.len() as f64 / begin.elapsed().as_secs_f64();
    (runs, capacity)
}

#[derive(Default)]
struct Lists {
    all: usize,
    refused: usize,
}

/// Calls at a steady pace, whatever becomes of them, and lists among them. Gives all outcomes, and from when to when.
async fn overload(pay: &PayByWire, capacity: f64) -> (Vec<Outcome>, Lists, (Instant, Instant)) {
    let mut wires = Vec::new();
    for _ in 0..4 {
        wires.push(pay.connect_again().await);
    }
    let (mut calls, mut listing, mut sent) = (JoinSet::new(), JoinSet::new(), 0);
    let begin = timer_now();
    let mut steps = time::interval(STEP);
    while begin.elapsed() < seconds() {
        steps.tick().await;
        let due = begin.elapsed().as_secs_f64() * TIMES * capacity;
        while (sent as f64) < due {
            calls.spawn(call(wires[sent % wires.len()].clone()));
            sent += 1;
        }
        listing.spawn(list(wires[0].clone()));
    }
    let end = timer_now();
    let outcomes = calls.join_all().await;
    let listed = listing.join_all().await;
    let lists = Lists { all: listed.len(), refused: listed.iter().filter(|served| !**served).count() };
    (outcomes, lists, (begin, end))
}

async fn call(wire: Wire) -> Outcome {
    match wire.send_within(&fresh(), run_job("settle"), PATIENCE).await {
        Ok(answer) => Outcome::Served(answer.run_id, timer_now()),
        Err(status) if status.code() == Code::DeadlineExceeded || status.code() == Code::Cancelled => Outcome::Unknown,
        Err(status) => {
            told_to_come_again(&status);
            Outcome::Refused
        }
    }
}

/// Whether a list was served.
async fn list(wire: Wire) -> bool {
    let request = v1::ListRunsRequest { app: "pay".to_owned(), ..Default::default() };
    let listed = wire.send("", request).await;
    if let Err(status) = &listed {
        told_to_come_again(status);
    }
    listed.is_ok()
}

fn told_to_come_again(status: &tonic::Status) {
    let refused = Refused::of(status);
    refused.expect(Code::ResourceExhausted, "OVERLOADED");
    let wait = refused.retry_after.expect("RetryInfo");
    assert!((100..=15_000).contains(&wait.as_millis()), "{wait:?}");
    assert_eq!(refused.pushback, Some(wait.as_millis().to_string()), "the same for gRPC's own retries");
}

/// All runs of `settle` that there are.
fn all_runs(pay: &PayByWire) -> BTreeSet<String> {
    let name = |text: &str| semel_core::id::JobName::parse(text).expect("a name");
    let query = RunQuery {
        app: semel_core::id::AppName::parse("pay").expect("a name"),
        job: Some(name("settle")),
        phases: Vec::new(),
        labels: Default::default(),
        from: None,
        until: None,
        before: None,
        limit: usize::MAX,
    };
    let listed = pay.server.running().engine().reader().runs(&query).expect("it can be read");
    let made: BTreeSet<String> = listed.items.iter().map(|run| run.id.to_string()).collect();
    assert_eq!(made.len(), listed.items.len());
    made
}

/// Workers that hold attempts and keep saying so, before the load, under it and after.
struct Crew {
    done: Arc<AtomicBool>,
    workers: Vec<JoinHandle<usize>>,
}

impl Crew {
    async fn start(pay: &PayByWire) -> Self {
        let create = v1::CreateJobRequest { job: "work".to_owned(), spec: Some(spec("w")), ..Default::default() };
        pay.pay.served(&fresh(), create).await;
        for _ in 0..HELD * WORKERS {
            pay.pay.served(&fresh(), run_job("work")).await;
        }
        let done = Arc::new(AtomicBool::new(false));
        let mut workers = Vec::new();
        for _ in 0..WORKERS {
            let hello = hello("w", i32::try_from(HELD).expect("few"));
            let worker = RawWorker::open(&pay.connect_again().await, hello).await.expect("the stream opens");
            workers.push(tokio::spawn(work(worker, done.clone())));
        }
        Self { done, workers }
    }

    /// All end well, each at its first attempt, and nothing that they said was refused.
    async fn go_home(self, pay: &PayByWire) {
        self.done.store(true, Ordering::Relaxed);
        let mut said = 0;
        for worker in self.workers {
            said += worker.await.expect("no report was refused");
        }
        assert!(said > 4 * WORKERS, "they kept saying things: {said}");
        let request = v1::ListRunsRequest { app: "pay".to_owned(), job: "work".to_owned(), ..Default::default() };
        let runs = pay.pay.served("", request).await.runs;
        assert_eq!(runs.len(), HELD * WORKERS);
        for run in runs {
            assert_eq!((run.state(), run.attempts.len()), (v1::RunState::Succeeded, 1), "no lease was lost: {run:?}");
        }
    }
}

/// Holds what it is given, and says so now and then. Gives how often.
async fn work(mut worker: RawWorker, done: Arc<AtomicBool>) -> usize {
    let mut held = Vec::new();
    while held.len() < HELD {
        held.push(worker.assignment().await);
    }
    let mut said = 0;
    let mut steps = time::interval(Duration::from_millis(500));
    while !done.load(Ordering::Relaxed) {
        steps.tick().await;
        worker.beat().await;
        worker.report(log(&held[said % HELD], "still at it\n")).await;
        said += 1;
    }
    for assignment in &held {
        worker.report(succeeded(assignment, "done")).await;
    }
    said
}
