//! Scenes of callers without credentials, of connections, and of triggers.

use std::collections::BTreeSet;

use semel_client::v1::{self, OverlapRule};
use semel_core::{
    app::{AppPattern, Grant, Role},
    id::AppName,
};
use semel_server::{auth::Mode, transport::ConnectionLimits};
use tokio::{io::AsyncReadExt as _, net::TcpStream};

use super::{every, moves::Watched, times_of_triggers, triggered, with_admin};
use crate::e2e::{
    crew::PayByClient,
    harness::{TestServer, in_time, run_job, spec},
    wire::{PayByWire, Wire, fresh},
};

/// Callers who prove nothing, where that is allowed.
pub(super) async fn anonymous() -> BTreeSet<String> {
    let server = TestServer::with(|settings| {
        with_admin(settings);
        let pay = AppName::parse("pay").expect("a name");
        settings.auth_mode = Mode::Permissive;
        settings.anonymous = vec![Grant { role: Role::Submitter, apps: AppPattern::One(pay) }];
    });
    let pay = PayByWire::on(server.await).await;
    let mut watched = Watched::begin(pay.server.running().admin_address().expect("it listens")).await;
    let for_pay = v1::RunJobRequest { app: "pay".to_owned(), ..run_job("settle") };
    pay.nobody.served(&fresh(), for_pay).await;
    pay.nobody.refused(&fresh(), v1::CreateAppRequest { app: "x".to_owned(), ..Default::default() }).await;
    watched.until(&["semel_anonymous_requests_total"]).await;
    watched.end().await
}

/// More connections than there may be.
pub(super) async fn connections() -> BTreeSet<String> {
    let mut moved = BTreeSet::new();
    for (limits, refused) in [
        (ConnectionLimits { total: 1, per_address: 9 }, "semel_connections_refused_total{limit=\"total\"}"),
        (ConnectionLimits { total: 9, per_address: 1 }, "semel_connections_refused_total{limit=\"address\"}"),
    ] {
        let server = TestServer::with(|settings| {
            with_admin(settings);
            settings.connections = limits;
        })
        .await;
        let address = server.running().address();
        let mut watched = Watched::begin(server.running().admin_address().expect("it listens")).await;
        let mut stranger = TcpStream::connect(address).await.expect("connects");
        watched.until(&["semel_connections_open"]).await;
        // The next one has its place, and is of somebody who is known.
        let known = Wire::to(&server.endpoint()).await.bearer(&server.admin_secret);
        known.served("", v1::GetServerInfoRequest::default()).await;
        in_time(stranger.read_to_end(&mut Vec::new())).await.ok();
        // It is closed at once, before or after it has connected.
        if let Ok(mut refusal) = TcpStream::connect(address).await {
            in_time(refusal.read_to_end(&mut Vec::new())).await.ok();
        }
        watched.until(&["semel_connections_evicted_total", refused]).await;
        moved.append(&mut watched.end().await);
    }
    moved
}

/// All that can become of the times of triggers.
pub(super) async fn triggers() -> BTreeSet<String> {
    let (pay, clock) = PayByClient::with_manual_clock(|settings| {
        with_admin(settings);
        settings.engine.limits.live_runs_per_app_max = 30;
    })
    .await;
    let watched = Watched::begin(super::admin(&pay)).await;
    times_of_triggers(&pay, &clock).await;
    // What has come of it and waits goes with the definition.
    let job = triggered(&pay, "replaced", every(1, OverlapRule::BufferAll, 10)).await;
    clock.advance(semel_core::id::Millis(3000));
    let spec = Some(v1::JobSpec { triggers: [("t".to_owned(), every(7, OverlapRule::Skip, 0))].into(), ..spec("p") });
    let update = v1::UpdateJobRequest { job: "replaced".to_owned(), etag: job.etag, spec, ..Default::default() };
    pay.client.update_job(update).await.expect("it is changed");
    watched.end().await
}
