//! `RequestService`.

use semel_core::{
    command::Method,
    id::{AppName, RequestId},
    window::DedupRecord,
};
use semel_proto::v1::{self, request_service_server::RequestService};
use tonic::{Request, Response, Status};

use super::Services;
use crate::{
    engine::{Answer, Disposition},
    store::{DedupKey, RequestQuery},
    transport::{
        call::Call,
        convert::{
            fields::{self, Fields},
            reply::{self, Body},
            time,
        },
        page,
        status::Refusal,
        trace,
    },
};

const PAGE_KIND: u8 = b'q';

fn unreadable(error: crate::store::Error) -> Refusal {
    Refusal::internal(&error)
}

#[tonic::async_trait]
impl RequestService for Services {
    async fn get_request(
        &self,
        request: Request<v1::GetRequestRequest>,
    ) -> Result<Response<v1::GetRequestResponse>, Status> {
        let look = async |call: &Call<'_>, message: &v1::GetRequestRequest, app: AppName, mut fields: Fields| {
            let Some(request_id) = fields::parse_request_id(&message.target_request_id) else {
                fields.note("target_request_id", "must be a UUIDv7 in its 36 character form");
                return Err(Refusal::invalid(fields.violations()));
            };
            let key = DedupKey { request_id, app };
            let engine = self.gate.engine()?;
            // In this order: a call that ends between the two looks is found by the second.
            let was_under_way = engine.is_under_way(&key);
            let record = engine.reader().request(&key).map_err(unreadable)?;
            let state = match &record {
                Some(_) => v1::RequestState::Done,
                None if was_under_way => v1::RequestState::UnderWay,
                None if request_id.minted_at() < engine.forgotten_before(self.gate.now()) => v1::RequestState::Expired,
                None => v1::RequestState::Unknown,
            };
            let own = |record: &&DedupRecord| {
                call.verdict.principal.as_ref().is_some_and(|principal| principal.name == record.principal)
            };
            let response = record.as_ref().filter(own).and_then(|record| self.recall(call, request_id, record));
            let mut found = self.record(request_id, record.as_ref())?;
            found.state = state.into();
            Ok(v1::GetRequestResponse { header: call.read_header(), request: Some(found), response })
        };
        self.gate.read(request, look).await
    }

    async fn list_requests(
        &self,
        request: Request<v1::ListRequestsRequest>,
    ) -> Result<Response<v1::ListRequestsResponse>, Status> {
        let look = async |call: &Call<'_>, message: &v1::ListRequestsRequest, app: AppName, mut fields: Fields| {
            let query = request_query(&mut fields, message, app);
            if !fields.is_clean() {
                return Err(Refusal::invalid(fields.violations()));
            }
            let listed = self.gate.list(move |reader| reader.requests(&query)).await?;
            let requests = listed.items.iter().map(|(key, record)| self.record(key.request_id, Some(record)));
            Ok(v1::ListRequestsResponse {
                header: call.read_header(),
                requests: requests.collect::<Result<_, _>>()?,
                page: page::token(PAGE_KIND, listed.next.as_ref().map(|id| id.0.as_slice())),
            })
        };
        self.gate.read(request, look).await
    }
}

impl Services {
    fn record(&self, request_id: RequestId, record: Option<&DedupRecord>) -> Result<v1::RequestRecord, Refusal> {
        let mut message = v1::RequestRecord {
            request_id: request_id.to_string(),
            state: v1::RequestState::Done.into(),
            safe_retry_until: Some(time::timestamp(self.gate.engine()?.window().safe_retry_until(request_id))),
            ..v1::RequestRecord::default()
        };
        if let Some(record) = record {
            record.method.as_str().clone_into(&mut message.method);
            message.principal = record.principal.to_string();
            message.execute_time = Some(time::timestamp(record.execute_time));
            message.revision = i64::try_from(record.revision.0).unwrap_or(i64::MAX);
            message.arrivals = i64::try_from(record.arrivals).unwrap_or(i64::MAX);
            let told = record.told.unwrap_or_default();
            message.previous_attempts = told.previous_attempts;
            message.proxy_attempts = told.proxy_attempts;
            message.trace_context = record.trace.as_deref().map(trace::message);
        }
        Ok(message)
    }

    /// The answer that was given, as a replay would show it.
    fn recall(&self, call: &Call<'_>, request_id: RequestId, record: &DedupRecord) -> Option<prost_types::Any> {
        let answer = Answer::of(record, Disposition::Replayed);
        let id_text = request_id.to_string();
        let header = self.gate.basis(&id_text, Some(request_id), &call.verdict).answered(&answer);
        let keyring = self.gate.settings.authenticator.keyring();
        reply::recalled(record.method, Body { header, answer: &answer, request_id, keyring })
    }
}

fn request_query(fields: &mut Fields, message: &v1::ListRequestsRequest, app: AppName) -> RequestQuery {
    let method = (!message.method.is_empty()).then(|| {
        let known = Method::ALL.into_iter().find(|method| method.as_str() == message.method);
        fields.take("method", known.ok_or_else(|| "is no method that changes something".to_owned()))
    });
    let range = message.mint_time.as_ref();
    let from = fields.time("mint_time.start_time", range.and_then(|range| range.start_time.as_ref()));
    let until = fields.time("mint_time.end_time", range.and_then(|range| range.end_time.as_ref()));
    let place = page::place(fields, message.page.as_ref(), PAGE_KIND);
    let before = place.and_then(|place| {
        let id = place.try_into().map(RequestId).map_err(|_| "is none that this list gave".to_owned());
        fields.take("page.page_token", id)
    });
    RequestQuery {
        app,
        method: method.flatten(),
        principal: (!message.principal.is_empty()).then(|| message.principal.clone()),
        from,
        until,
        before,
        limit: page::size(message.page.as_ref()),
    }
}
