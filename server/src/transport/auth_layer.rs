//! Judges the credentials of every call once, before anything else looks at it, and leaves the verdict with the call.
//! Refuses nothing: only the service knows the request id that a refusal must name.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, header};
use tonic::{Request, Status, body::Body, service::Interceptor, transport::server::TcpConnectInfo};

use super::{gate::Gate, listen::Peer};
use crate::auth::{Certificate, FORWARDED_HEADER, Shown, Verdict};

/// See the module.
#[derive(Clone)]
pub(super) struct Judge(pub(super) Arc<Gate>);

/// What a call brought, for streams that judge it again.
#[derive(Clone, Default)]
pub(super) struct Brought {
    pub(super) authorization: Option<HeaderValue>,
    pub(super) certificate: Option<Arc<Certificate>>,
    /// What a proxy says of its caller; not looked at if no proxy's word is taken.
    pub(super) forwarded: Option<HeaderValue>,
}

impl Brought {
    /// As it is judged.
    pub(super) fn shown(&self) -> Shown<'_> {
        let authorization = self.authorization.as_ref().map(HeaderValue::as_bytes);
        let forwarded = self.forwarded.as_ref().map(HeaderValue::as_bytes);
        Shown { authorization, certificate: self.certificate.as_deref(), forwarded }
    }
}

impl Judge {
    /// See the module. Gives the verdict as well.
    pub(super) fn look_at(&self, request: &mut http::Request<Body>) -> Verdict {
        let authorization = request.headers().get(header::AUTHORIZATION).cloned();
        let takes_forwarded = self.0.settings.authenticator.takes_forwarded();
        let forwarded = takes_forwarded.then(|| joined(request.headers(), FORWARDED_HEADER)).flatten();
        let mut brought = Brought { authorization, certificate: None, forwarded };
        let peer = request.extensions_mut().remove::<Peer>();
        if let Some(peer) = &peer {
            brought.certificate = peer.certificate.clone();
            // Where tonic looks for the address.
            request.extensions_mut().insert(peer.tcp.clone());
        }
        let address = request.extensions().get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr);
        let verdict = self.0.judge(brought.shown(), address.map(|address| address.ip()));
        if let Some(peer) = &peer {
            peer.called(verdict.principal.is_some());
        }
        request.extensions_mut().insert(verdict.clone());
        request.extensions_mut().insert(brought);
        verdict
    }
}

/// A header as one value, however often it was sent.
fn joined(headers: &HeaderMap, name: &str) -> Option<HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?.clone();
    values.try_fold(first, |before, value| {
        HeaderValue::from_bytes(&[before.as_bytes(), b",", value.as_bytes()].concat()).ok()
    })
}

/// For services that are not ours and know no header: lets only callers through that may be served.
#[derive(Clone)]
pub(super) struct Bar(pub(super) Arc<Gate>);

impl Interceptor for Bar {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let verdict = request.extensions().get::<Verdict>();
        Gate::slot(&request).tell(|facts| facts.verdict = verdict.cloned());
        match verdict.and_then(|verdict| self.0.bar(verdict)) {
            Some(status) => Err(status),
            None => Ok(request),
        }
    }
}
