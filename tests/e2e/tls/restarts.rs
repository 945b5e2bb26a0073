//! A thousand calls a second while the server is restarted again and again, each time with another certificate, and while its
//! connections grow old: no call fails for good, and none takes effect twice. For so many seconds as `SEMEL_RESTART_SECONDS`
//! says.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use semel_faults::Port;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{self, MissedTickBehavior},
};

use super::{Secured, authority::Authority, run_count};
use crate::e2e::harness::{in_time, run_job};

/// A call is begun each.
const EVERY: Duration = Duration::from_millis(1);
const CALLS_PER_RESTART: u64 = 1000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarts_and_rotations_under_a_thousand_calls_a_second_cost_no_call() {
    let seconds = std::env::var("SEMEL_RESTART_SECONDS").ok().and_then(|text| text.parse::<u64>().ok()).unwrap_or(4);
    let calls = seconds * 1000;
    let authority = Authority::new();
    // It comes again where its callers look for it.
    let port = Port::reserve().expect("a free port");
    let mut secured = Secured::start(&authority, None, |settings| {
        settings.listen = port.address();
        settings.connection_age = Some(Duration::from_millis(700));
    })
    .await;
    let pay = Arc::new(secured.pay(&authority.believed()).await);

    let caller = pay.clone();
    let (begun, mut count) = watch::channel(0);
    let calling = tokio::spawn(async move {
        let mut tick = time::interval(EVERY);
        // Those that are late are made up for: the rate holds.
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut under_way = JoinSet::new();
        for number in 1..=calls {
            tick.tick().await;
            let pay = caller.clone();
            under_way.spawn(async move { pay.run_job(run_job("settle")).await.map(|answer| answer.run_id) });
            begun.send_replace(number);
        }
        let mut runs = BTreeSet::new();
        while let Some(ended) = under_way.join_next().await {
            runs.insert(ended.expect("no panic").expect("every call is answered"));
        }
        runs
    });
    let mut restarts = 0;
    while (restarts + 1) * CALLS_PER_RESTART < calls {
        restarts += 1;
        in_time(count.wait_for(|count| *count >= restarts * CALLS_PER_RESTART)).await.expect("calls are begun");
        secured.pair.put(&authority.issue_server());
        secured.server.restart().await;
    }
    let runs = time::timeout(Duration::from_secs(60 + seconds), calling).await.expect("in time").expect("no panic");
    assert!(restarts >= 3);
    assert_eq!(runs.len() as u64, calls, "each call was answered by a run of its own");
    assert_eq!(run_count(&pay).await as u64, calls, "and there are no others");
}
