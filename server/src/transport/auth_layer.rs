//! Judges the credentials of every call once, before anything else looks at it, and leaves the verdict with the call.
//! Refuses nothing: only the service knows the request id that a refusal must name.

use std::{net::IpAddr, sync::Arc};

use http::{Extensions, HeaderMap, HeaderValue, header};
use tonic::{Request, service::Interceptor};

use super::{gate::Gate, held::Held, listen::Peer};
use crate::{
    auth::{FORWARDED_HEADER, Shown, Status, Verdict},
    observe::Slot,
};

/// See the module.
#[derive(Clone)]
pub(super) struct Judge(pub(super) Arc<Gate>);

/// What a call brought, for streams that judge it again.
#[derive(Clone, Default)]
pub(super) struct Brought {
    pub(super) authorization: Option<HeaderValue>,
    /// What a proxy says of its caller; not looked at if no proxy's word is taken. Seldom there, and so in a box.
    pub(super) forwarded: Option<Box<HeaderValue>>,
    /// Who is at the other end of the connection.
    pub(super) peer: Option<Arc<Peer>>,
}

impl Brought {
    /// As it is judged.
    pub(super) fn shown(&self) -> Shown<'_> {
        let authorization = self.authorization.as_ref().map(HeaderValue::as_bytes);
        let forwarded = self.forwarded.as_ref().map(|value| value.as_bytes());
        let certificate = self.peer.as_ref().and_then(|peer| peer.certificate.as_ref());
        Shown { authorization, certificate, forwarded }
    }

    /// Where the connection comes from.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.peer.as_ref().map(|peer| peer.address.ip())
    }
}

/// What is known of a call before its first message. It goes with the call to its service, all in one piece.
#[derive(Clone)]
pub(super) struct Arrival {
    pub(super) verdict: Verdict,
    pub(super) brought: Brought,
    /// What is kept of its request, until its answer.
    pub(super) held: Option<Arc<Held>>,
    /// Where is told what is found out about it.
    pub(super) slot: Slot,
}

impl Arrival {
    /// That of this call. Without a judge nobody was recognised: then nobody is served.
    pub(super) fn of<T>(request: &Request<T>) -> Self {
        request.extensions().get().cloned().unwrap_or_else(Self::unjudged)
    }

    /// The same, but the call has it no longer.
    pub(super) fn take(extensions: &mut Extensions) -> Self {
        extensions.remove().unwrap_or_else(Self::unjudged)
    }

    fn unjudged() -> Self {
        let verdict = Verdict::refused(Status::Missing);
        Self { verdict, brought: Brought::default(), held: None, slot: Slot::default() }
    }
}

impl Judge {
    /// See the module.
    pub(super) fn look_at(&self, headers: &HeaderMap, peer: Option<Arc<Peer>>) -> Arrival {
        let authorization = headers.get(header::AUTHORIZATION).cloned();
        let takes_forwarded = self.0.settings.authenticator.takes_forwarded();
        let forwarded = takes_forwarded.then(|| joined(headers, FORWARDED_HEADER)).flatten().map(Box::new);
        let brought = Brought { authorization, forwarded, peer };
        let verdict = self.0.judge(brought.shown(), brought.address());
        if let Some(peer) = &brought.peer {
            peer.called(verdict.principal.is_some());
        }
        Arrival { verdict, brought, held: None, slot: Slot::default() }
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
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, tonic::Status> {
        let Arrival { verdict, slot, .. } = Arrival::of(&request);
        slot.tell(|facts| facts.verdict = Some(verdict.clone()));
        match self.0.bar(&verdict) {
            Some(status) => Err(status),
            None => Ok(request),
        }
    }
}
