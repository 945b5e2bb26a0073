//! What was sent to a collector and what was lost, as the metrics have it.

use std::collections::BTreeSet;

use semel_faults::Port;

use super::*;
use crate::e2e::{
    metrics::{moves::Watched, with_admin},
    wire::fresh,
};

/// Sends a span to a collector that takes it and one to a collector that is not there; gives the series that moved.
pub(crate) async fn spans_are_counted() -> BTreeSet<String> {
    let (pay, _collector) = traced(with_admin).await;
    let mut watched = Watched::begin(pay.server.running().admin_address().expect("it listens")).await;
    run(&pay.pay, &fresh(), &[("traceparent", &*parent(1))]).await.expect("it runs");
    watched.until(&["semel_otlp_spans_total{result=\"sent\"}"]).await;
    let mut moved = watched.end().await;

    let nobody = Port::reserve().expect("a free port");
    let nowhere = format!("http://{}", nobody.address());
    let server = TestServer::with(|settings| {
        settings.otlp = Some(telling(&nowhere));
        with_admin(settings);
    });
    let pay = PayByWire::on(server.await).await;
    let mut watched = Watched::begin(pay.server.running().admin_address().expect("it listens")).await;
    run(&pay.pay, &fresh(), &[("traceparent", &*parent(2))]).await.expect("it runs");
    watched.until(&["semel_otlp_spans_total{result=\"lost\"}", "semel_otlp_metrics_failed_total"]).await;
    moved.append(&mut watched.end().await);
    moved
}
