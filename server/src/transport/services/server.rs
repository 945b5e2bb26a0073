//! `ServerService`.

use semel_proto::v1::{self, server_service_server::ServerService};
use tonic::{Request, Response, Status};

use super::Services;
use crate::transport::{
    call::Call,
    convert::{header, time},
    gate,
    status::Refusal,
};

#[tonic::async_trait]
impl ServerService for Services {
    async fn get_server_info(
        &self,
        request: Request<v1::GetServerInfoRequest>,
    ) -> Result<Response<v1::GetServerInfoResponse>, Status> {
        let look = async |call: &Call<'_>, _: &_, _: &_| {
            let engine = self.gate.engine()?;
            let look = |view: &crate::engine::View<'_>| {
                (view.engine.revision(), view.engine.state().live_run_count(), view.worker_count(), view.window_total())
            };
            let (revision, live_runs, workers, records) = engine.read(look).await.map_err(gate::refused)?;
            let oldest = engine.reader().oldest_revision().map_err(|error| Refusal::internal(&error))?;
            let window = engine.window();
            let settings = &self.gate.settings;
            let count = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
            Ok(v1::GetServerInfoResponse {
                header: call.read_header(),
                dedup_window: Some(v1::DedupWindow {
                    length: Some(time::duration(window.length)),
                    future_max: Some(time::duration(window.future_max)),
                    records_per_app_max: count(window.records_per_app_max),
                }),
                auth_mode: header::auth_mode(settings.authenticator.mode()).into(),
                payload_bytes_max: count(settings.payload_bytes_max as u64),
                message_bytes_max: count(settings.message_bytes_max as u64),
                shard_count: 1,
                store_kind: settings.store_kind.to_owned(),
                start_time: Some(time::timestamp(self.gate.start_time)),
                revision: count(revision.0),
                live_run_count: count(live_runs as u64),
                worker_count: i32::try_from(workers).unwrap_or(i32::MAX),
                anonymous_call_count: count(self.gate.anonymous_calls()),
                window_record_count: count(records),
                oldest_revision: count(oldest.0),
            })
        };
        self.gate.serve(request, look).await
    }
}
