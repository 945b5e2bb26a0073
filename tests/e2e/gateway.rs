//! A gateway between client and server that does what gateways do: drops headers, swallows answers, answers in the
//! server's stead, sends calls twice as slow. It passes on every call it takes; it only ever tampers with the answer.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::net::TcpListener;
use tonic::{
    body::Body,
    codegen::http::{Request, Response},
    service::Routes,
    transport::{Channel, Endpoint, Server, server::TcpIncoming},
};
use tower::{ServiceExt as _, service_fn};

/// What is done to an answer. The server has given it, so the call has taken effect, or was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mischief {
    /// Every header goes that HTTP/2 and gRPC can do without.
    Strip,
    /// The answer is thrown away, and this HTTP status sent in its place.
    Answer(u16),
    /// The answer is thrown away, and nothing sent until the client gives up.
    Swallow,
}

/// See the module. Serves until the runtime ends.
#[derive(Clone)]
pub(crate) struct Gateway {
    pub(crate) endpoint: String,
    passed_on: Arc<AtomicUsize>,
    mischief: Arc<Mutex<VecDeque<Mischief>>>,
    always: Option<Mischief>,
}

impl Gateway {
    /// Tampers with the answers to the first calls in this way, and with all others in that one.
    pub(crate) async fn to(server: &str, first: &[Mischief], always: Option<Mischief>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let gateway = Self {
            endpoint: format!("http://{}", listener.local_addr().expect("it has one")),
            passed_on: Arc::default(),
            mischief: Arc::new(Mutex::new(first.iter().copied().collect())),
            always,
        };
        let upstream = Endpoint::from_shared(server.to_owned()).expect("an endpoint").connect_lazy();
        let this = gateway.clone();
        let pass_on = service_fn(move |request: Request<_>| {
            let (this, upstream) = (this.clone(), upstream.clone());
            async move { Ok::<_, Infallible>(this.pass_on(upstream, request.map(Body::new)).await) }
        });
        let routes = Routes::from(Routes::default().into_axum_router().fallback_service(pass_on));
        let serving = Server::builder().add_routes(routes).serve_with_incoming(TcpIncoming::from(listener));
        tokio::spawn(serving);
        gateway
    }

    /// How many calls it has passed on.
    pub(crate) fn passed_on(&self) -> usize {
        self.passed_on.load(Ordering::SeqCst)
    }

    async fn pass_on(&self, upstream: Channel, request: Request<Body>) -> Response<Body> {
        self.passed_on.fetch_add(1, Ordering::SeqCst);
        let planned = self.mischief.lock().expect("not poisoned").pop_front();
        // A call is passed on to its end even if its client goes away, as by a gateway with a queue of its own.
        let answer = tokio::spawn(upstream.oneshot(request)).await.expect("no panic");
        let Ok(mut answer) = answer else { return plain(503) };
        match planned.or(self.always) {
            None => answer,
            Some(Mischief::Answer(status)) => plain(status),
            Some(Mischief::Swallow) => std::future::pending().await,
            Some(Mischief::Strip) => {
                let kept = ["content-type", "grpc-status"].map(|name| (name, answer.headers().get(name).cloned()));
                answer.headers_mut().clear();
                for (name, value) in kept.into_iter().filter_map(|(name, value)| Some((name, value?))) {
                    answer.headers_mut().insert(name, value);
                }
                answer
            }
        }
    }
}

fn plain(status: u16) -> Response<Body> {
    Response::builder().status(status).body(Body::empty()).expect("a response")
}
