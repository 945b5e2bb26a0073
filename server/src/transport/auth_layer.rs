//! Judges the credentials of every call once, before anything else looks at it, and leaves the verdict with the call.
//! Refuses nothing: only the service knows the request id that a refusal must name.

use std::sync::Arc;

use tonic::{Request, Status, service::Interceptor};

use super::gate::Gate;
use crate::auth::Verdict;

/// See the module.
#[derive(Clone)]
pub(super) struct Judge(pub(super) Arc<Gate>);

/// What the credentials were, for streams that judge them again.
#[derive(Clone)]
pub(super) struct Authorization(pub(super) Option<Arc<[u8]>>);

impl Interceptor for Judge {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let authorization = request.metadata().get("authorization").map(|value| Arc::from(value.as_bytes()));
        let address = request.remote_addr().map(|address| address.ip());
        let verdict = self.0.judge(authorization.as_deref(), address);
        request.extensions_mut().insert(verdict);
        request.extensions_mut().insert(Authorization(authorization));
        Ok(request)
    }
}

/// For services that are not ours and know no header: lets only callers through that may be served.
#[derive(Clone)]
pub(super) struct Bar(pub(super) Arc<Gate>);

impl Interceptor for Bar {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let verdict = request.extensions().get::<Verdict>();
        match verdict.and_then(|verdict| self.0.bar(verdict)) {
            Some(status) => Err(status),
            None => Ok(request),
        }
    }
}
