//! Metrics over OTLP: the same as on the page for scrapers, and they move.

use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, Metric, metric::Data};

use super::{
    collector::{number, said},
    *,
};
use crate::e2e::wire::{fresh, settle};

fn calls(metric: &Metric, code: &str) -> u64 {
    let Some(Data::Histogram(histogram)) = &metric.data else { panic!("{metric:?} is no histogram") };
    assert_eq!(histogram.aggregation_temporality(), AggregationTemporality::Cumulative);
    let of_code = histogram.data_points.iter().filter(|point| {
        said(&point.attributes, "rpc.method") == "semel.v1.JobService/RunJob"
            && said(&point.attributes, "rpc.response.status_code") == code
    });
    let counted = of_code.inspect(|point| {
        assert_eq!(said(&point.attributes, "rpc.system.name"), "grpc");
        assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
        assert_eq!(point.bucket_counts.iter().sum::<u64>(), point.count);
        assert!(point.start_time_unix_nano > 0 && point.time_unix_nano >= point.start_time_unix_nano);
    });
    counted.map(|point| point.count).sum()
}

#[tokio::test]
async fn metrics_arrive_by_the_names_of_the_conventions_and_move() {
    // No listener for operators: they are counted for the collector alone.
    let (pay, collector) = traced(|settings| settings.admin_listen = None).await;
    settle(&pay.pay, &fresh()).await.expect("it runs");
    let metric = collector.metric("rpc.server.call.duration", |metric| calls(metric, "OK") == 1).await;
    assert_eq!(metric.unit, "s");
    settle(&pay.pay, &fresh()).await.expect("it runs");
    settle(&pay.nobody, &fresh()).await.expect_err("nobody");
    collector.metric("rpc.server.call.duration", |metric| calls(metric, "OK") == 2).await;
    collector.metric("rpc.server.call.duration", |metric| calls(metric, "UNAUTHENTICATED") == 1).await;
    let made = collector.metric("semel.runs_created", |metric| number(metric, "", "") == 2).await;
    let Some(Data::Sum(sum)) = made.data else { panic!("a sum") };
    assert!(sum.is_monotonic);
    let build = collector.metric("semel.build", |_| true).await;
    assert_eq!(number(&build, "version", env!("CARGO_PKG_VERSION")), 1);
    run(&pay.pay, &fresh(), &[("traceparent", &*parent(1))]).await.expect("it runs");
    collector.metric("semel.otlp_spans", |metric| number(metric, "result", "sent") > 0).await;
}
