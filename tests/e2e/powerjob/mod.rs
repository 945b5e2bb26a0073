//! Every path on which the system that Semel replaces executes one call twice, a test for each, which shows that here
//! it cannot. The rows and letters are those of the survey of that system; each test says what happened there, and what
//! stands in its way here.

mod client;
mod server;

use semel_client::v1;

use super::{
    harness::run_job,
    raw_worker::refers_to,
    wire::{PayByWire, arrival, fresh},
};

/// How often the one run of `pay` was asked for; fails if there is another number of runs. Asks for it once more, for
/// that is the count that is always fresh: a look-up shows the one that was written last.
async fn arrivals_of_the_one_run(pay: &PayByWire) -> i64 {
    let runs = pay.pay.runs().await;
    assert_eq!(runs.len(), 1, "one call, one run");
    let request = v1::RunJobRequest { app: "pay".to_owned(), ..run_job("settle") };
    let again = pay.pay.served(&runs[0].request_id, request).await;
    assert_eq!(again.run_id, runs[0].run_id);
    arrival(again.header.as_ref()).1 - 1
}

/// A worker process that comes back: the same id, holding what it holds.
fn again(hello: &v1::Hello, held: &[&v1::Assignment]) -> v1::Hello {
    v1::Hello { held: held.iter().map(|one| refers_to(one)).collect(), ..hello.clone() }
}

async fn queue(pay: &PayByWire) -> String {
    pay.pay.served(&fresh(), run_job("settle")).await.run_id
}

async fn run(pay: &PayByWire, run_id: &str) -> v1::Run {
    let request = v1::GetRunRequest { run_id: run_id.to_owned(), ..Default::default() };
    pay.pay.served("", request).await.run.expect("a run")
}
