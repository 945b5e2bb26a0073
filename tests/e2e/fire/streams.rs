//! The same over `SubmitRuns`: the client's stream is refused, reset, cut, stalled and held back, its messages are lost and
//! come twice, and so many runs that were asked for are exactly as many runs, whichever way they went in the end.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};
use std::time::Duration;

use semel_client::Options;
use semel_faults::{Fault, Plan};
use semel_server::auth::Mode;
use tokio::{sync::watch, task::JoinSet};

use super::{Answered, By, call, calls, ground::Ground, hasty, reckon, whole_machine};

/// Clients at a time that submit, few runs at once each, so that there are many messages for faults to meet; and clients
/// with so many calls under way that these share a stream by themselves.
const LANES: [Lane; 18] = {
    let mut lanes = [Lane { by: By::Stream, callers: 4 }; 18];
    lanes[0] = Lane { by: By::Call, callers: 20 };
    lanes[9] = Lane { by: By::Call, callers: 20 };
    lanes
};
/// Runs of one caller before its client makes place for another: a client whose stream broke does without for a while, for
/// longer each time.
const RUNS_EACH: usize = 2;
/// For how long messages are held back: longer than clients wait for the stream, and than an attempt may take.
const HELD_FOR: Duration = Duration::from_millis(800);
/// Odds in a thousand of each fault of streams while they open, and of each of their messages. In a short fire there are few
/// of either, and every fault is to happen; in a long one most runs are to get through streams.
fn odds(calls: usize) -> (u32, u32) {
    let odds = |sum: usize, least, most| u32::try_from(sum / calls.max(1)).unwrap_or(most).clamp(least, most);
    (odds(90_000, 25, 60), odds(45_000, 8, 30))
}

/// Callers who share a client, one client after the other.
#[derive(Clone, Copy)]
struct Lane {
    by: By,
    callers: usize,
}

/// What all lanes share.
struct Fire {
    calls: usize,
    begun: AtomicUsize,
    clients: AtomicUsize,
    /// Runs that were answered over a stream.
    streamed: AtomicU64,
    answers: watch::Sender<usize>,
}

impl Fire {
    /// One client after the other, until enough runs were asked for.
    async fn lane(self: Arc<Self>, lane: Lane, options: Options) -> Vec<Answered> {
        let mut answered = Vec::new();
        while self.begun.load(Ordering::SeqCst) < self.calls {
            let number = self.clients.fetch_add(1, Ordering::SeqCst);
            let client = hasty(options.clone());
            let mut callers = JoinSet::new();
            for _ in 0..lane.callers {
                let (fire, client) = (Arc::clone(&self), client.clone());
                callers.spawn(async move {
                    let mut answered = Vec::new();
                    while answered.len() < RUNS_EACH && fire.begun.fetch_add(1, Ordering::SeqCst) < fire.calls {
                        answered.push(call(&client, number, lane.by).await);
                        fire.answers.send_modify(|count| *count += 1);
                    }
                    answered
                });
            }
            answered.extend(callers.join_all().await.into_iter().flatten());
            self.streamed.fetch_add(client.streamed_runs(), Ordering::SeqCst);
        }
        answered
    }
}

async fn each_run_is_made_once(mode: Mode, expires: bool, seed: u64) {
    let _machine = whole_machine().await;
    let (ground, calls) = (Ground::of(mode, expires).await, calls());
    let (openings, messages) = odds(calls);
    let plan = Plan::storm(seed).with_each(Fault::of_openings(), openings);
    let plan = plan.with_each(Fault::of_messages(), messages).hold_for(HELD_FOR);
    let proxy = ground.proxy(plan.later_after(calls as u64 / 4)).await;
    let fire = Arc::new(Fire {
        calls,
        begun: AtomicUsize::new(0),
        clients: AtomicUsize::new(0),
        streamed: AtomicU64::new(0),
        answers: watch::Sender::new(0),
    });
    let mut lanes = JoinSet::new();
    for lane in LANES {
        lanes.spawn(Arc::clone(&fire).lane(lane, ground.options(&proxy)));
    }
    let (answered, ()) = tokio::join!(lanes.join_all(), ground.half_way(&fire.answers, calls));
    let answered: Vec<Answered> = answered.into_iter().flatten().collect();
    proxy.send_kept().await;
    let (counts, streamed) = (proxy.counts(), fire.streamed.load(Ordering::SeqCst));
    let replayed = answered.iter().filter(|answer| answer.replayed).count();
    println!(
        "seed {seed}: {calls} runs by {} clients, {streamed} answers over streams, {replayed} replayed, {}",
        fire.clients.load(Ordering::SeqCst),
        counts.to_json()
    );

    reckon(&ground.direct(), &answered, calls).await;
    let missing: Vec<Fault> = Fault::of_messages().filter(|fault| counts.of(*fault) == 0).collect();
    assert!(missing.is_empty(), "these never happened to a message: {missing:?}");
    let missing: Vec<Fault> = Fault::of_openings().filter(|fault| counts.of_opening(*fault) == 0).collect();
    assert!(missing.is_empty(), "these never happened to a stream that opened: {missing:?}");
    assert!(streamed > calls as u64 / 4, "only {streamed} were answered over a stream: this shows little");
    assert!(replayed > calls / 50 && answered.iter().any(|answer| answer.arrivals > 2), "no run was asked for again");
    ground.check_credentials(&answered);
}

macro_rules! cases {
    ($($name:ident: $mode:ident, $expires:literal, seed $seed:literal;)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                each_run_is_made_once(Mode::$mode, $expires, $seed).await;
            }
        )*
    };
}

cases! {
    enforced: Enforce, false, seed 3;
    enforced_and_the_token_expires: Enforce, true, seed 4;
    permissive_and_the_token_expires: Permissive, true, seed 8;
    off: Off, false, seed 9;
}
