//! Watching, over real gRPC: what events say, which are let through, how a watch goes on after every kind of break, and how
//! it ends. The promises over random histories stand in `server/src/transport/watch/tests`.

mod credentials;
mod ends;
mod filters;
mod resume;
mod slow;

use semel_client::v1;

use super::{
    harness::{TestServer, spec},
    wire::{Wire, fresh},
};

/// A server with some apps, each with the job `settle`; gives the admin's connection and those of the apps.
async fn with_apps<const N: usize>(server: &TestServer, names: [&str; N]) -> (Wire, [Wire; N]) {
    let nobody = Wire::to(&server.endpoint()).await;
    let admin = nobody.bearer(&server.admin_secret);
    let mut wires = Vec::new();
    for name in names {
        let create = v1::CreateAppRequest { app: name.to_owned(), ..Default::default() };
        let wire = nobody.bearer(&admin.served(&fresh(), create).await.secret);
        make_job(&wire, "settle").await;
        wires.push(wire);
    }
    (admin, wires.try_into().unwrap_or_else(|_| panic!("one for each")))
}

async fn make_job(wire: &Wire, job: &str) {
    let labels = [("kind".to_owned(), job.to_owned())].into();
    let spec = Some(v1::JobSpec { labels, ..spec("echo") });
    wire.served(&fresh(), v1::CreateJobRequest { job: job.to_owned(), spec, ..Default::default() }).await;
}

async fn run(wire: &Wire, job: &str) -> String {
    wire.served(&fresh(), v1::RunJobRequest { job: job.to_owned(), ..Default::default() }).await.run_id
}

async fn cancel(wire: &Wire, run_id: &str) {
    let request = v1::CancelRunRequest { run_id: run_id.to_owned(), reason: "enough".to_owned(), ..Default::default() };
    wire.served(&fresh(), request).await;
}

fn kinds(events: &[v1::Event]) -> Vec<v1::EventKind> {
    events.iter().map(v1::Event::kind).collect()
}
