//! The storm: thousands of runs through a proxy that does everything to calls and streams, in a measure in which they get
//! through. Every one must be told, and the server must have exactly these.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use semel_faults::{Fault, Plan, Proxy};
use serde_json::{Value, json};

use crate::{
    answer::{Verdict, claim},
    case::{Cx, Standing},
    client::Client,
    driver::Driver,
    suite::Column,
    table,
};

/// How long one client may take for it.
const WITHIN: Duration = Duration::from_secs(300);
/// Of so many runs one is asked for by a call of its own, the others by `submit_many`.
const CALLS_OF: u64 = 5;
/// Calls at a time.
const CONCURRENCY: u64 = 32;
/// Runs of one `submit_many`.
const BATCH: u64 = 2000;

/// What became of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The client.
    pub client: String,
    /// Runs asked for.
    pub asked: u64,
    /// Runs that the server then has.
    pub runs: usize,
    /// What does not hold, if something does not.
    pub gap: Option<String>,
}

/// Has each client ask for so many runs.
pub async fn run(columns: &[Column], calls: u64, seed: u64) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for column in columns {
        let outcome = one(column, calls, seed).await;
        match &outcome.gap {
            None => eprintln!("{}: {} asked for, {} on the server", outcome.client, outcome.asked, outcome.runs),
            Some(why) => eprintln!("{}: FAILS: {why} (seed {seed})", outcome.client),
        }
        outcomes.push(outcome);
    }
    outcomes
}

/// Everything, but for what a client rightly gives up on after a few times; less of what holds it up for long, and of what
/// ends everything that is under way on a connection, where that is thousands of calls.
fn plan(seed: u64) -> Plan {
    let resets = [Fault::ResetBefore, Fault::ResetDuring, Fault::ResetWithin, Fault::ResetAfter];
    Plan::storm(seed)
        .with_each([Fault::StripTrailers, Fault::StripCredentials], 0)
        .with_each(resets, 5)
        .with_each([Fault::CutBefore, Fault::CutAfter, Fault::CutServer], 1)
        .with_each([Fault::Swallow, Fault::Delay, Fault::Stall, Fault::HoldAnswer, Fault::HoldMessage], 3)
        .hold_for(Duration::from_secs(2))
}

async fn one(column: &Column, calls: u64, seed: u64) -> Outcome {
    let mut outcome = Outcome { client: column.name.clone(), asked: calls, runs: 0, gap: None };
    let driver = match Driver::start(&column.command) {
        Ok(driver) => std::sync::Arc::new(driver),
        Err(error) => return Outcome { gap: Some(error.to_string()), ..outcome },
    };
    let mut cx = Cx::new(driver.clone(), &column.command);
    let ground = cx.ground().await;
    let verdict = match tokio::time::timeout(WITHIN, meets(&cx, &ground, calls, seed)).await {
        Ok(verdict) => verdict.map_err(|short| format!("{short:?}")),
        Err(_) => Err(format!("it did not end within {WITHIN:?}\n{}", driver.last_words().await)),
    };
    outcome.runs = ground.get().await.runs().await.len();
    outcome.gap = verdict.err();
    outcome
}

async fn meets(cx: &Cx, ground: &Standing, calls: u64, seed: u64) -> Verdict {
    let here = SocketAddr::from(([127, 0, 0, 1], 0));
    let to = ground.get().await.address();
    let proxy = Proxy::start(here, to, plan(seed)).await.expect("a free port");
    let options = json!({
        "request_timeout": 1500, "overall_timeout": 120_000, "attempts_max": 1000, "backoff_first": 20, "backoff_max": 500,
    });
    let secret = ground.get().await.by_secret();
    let client = cx.connect(&proxy.endpoint(), secret, options).await?;
    let by_calls = calls / CALLS_OF;
    let mut results = client.many("call_many", by_calls, json!({"concurrency": CONCURRENCY})).await?;
    results.extend(in_batches(&client, calls - by_calls).await?);
    proxy.send_kept().await;
    cx.judge_safety().await?;
    are_all(ground, &results).await
}

async fn in_batches(client: &Client, mut left: u64) -> Verdict<Vec<Value>> {
    let mut results = Vec::new();
    while left > 0 {
        let count = left.min(BATCH);
        results.extend(client.many("submit_many", count, json!({})).await?);
        left -= count;
    }
    Ok(results)
}

async fn are_all(ground: &Standing, results: &[Value]) -> Verdict {
    let failed: Vec<_> = results.iter().filter(|result| result.get("error").is_some()).collect();
    claim(failed.is_empty(), || format!("{} of {} failed, the first by {}", failed.len(), results.len(), failed[0]))?;
    let distinct =
        |field: &str| results.iter().filter_map(|result| result[field].as_str()).collect::<BTreeSet<_>>().len();
    let (ids, told) = (distinct("request_id"), distinct("run_id"));
    claim((ids, told) == (results.len(), results.len()), || {
        format!("expected {} ids and runs to be told, got {ids} and {told}", results.len())
    })?;
    ground.has_runs(results.len()).await.map(drop)
}

/// The table of the storm.
pub fn table(outcomes: &[Outcome]) -> String {
    let mut text = String::from(
        "\n## Ten thousand runs in a storm\n\nEach client asks for them, one in five by a call of its own, through a proxy \
         that loses, delays, repeats, resets and cuts.\n\n| client | runs asked for | runs on the server |\n|---|---|---|\n",
    );
    for name in table::columns(outcomes.iter().map(|outcome| outcome.client.as_str())) {
        for Outcome { client, asked, runs, gap } in outcomes.iter().filter(|outcome| outcome.client == name) {
            let runs = if gap.is_none() { runs.to_string() } else { format!("{runs}, FAILS") };
            text.push_str(&format!("| {client} | {asked} | {runs} |\n"));
        }
    }
    text.push('\n');
    text
}
