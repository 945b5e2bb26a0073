//! Judges the credentials of every call once, before anything else looks at it, and leaves the verdict with the call.
//! Refuses nothing: only the service knows the request id that a refusal must name.

use std::sync::Arc;

use http::{HeaderValue, header};
use tonic::{Request, Status, body::Body, service::Interceptor, transport::server::TcpConnectInfo};

use super::gate::Gate;
use crate::auth::Verdict;

/// See the module.
#[derive(Clone)]
pub(super) struct Judge(pub(super) Arc<Gate>);

/// What the credentials were, for streams that judge them again.
#[derive(Clone)]
pub(super) struct Authorization(pub(super) Option<HeaderValue>);

impl Judge {
    /// See the module.
    pub(super) fn look_at(&self, request: &mut http::Request<Body>) {
        let authorization = request.headers().get(header::AUTHORIZATION).cloned();
        let peer = request.extensions().get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr);
        let verdict = self.0.judge(authorization.as_ref().map(HeaderValue::as_bytes), peer.map(|peer| peer.ip()));
        request.extensions_mut().insert(verdict);
        request.extensions_mut().insert(Authorization(authorization));
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
