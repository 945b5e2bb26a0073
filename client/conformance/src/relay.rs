//! A relay between a client and a server that does what a case says to the calls of one method, and may rewrite each
//! message. Named faults by a seeded plan are `semel_faults`'; this one is for what must happen to *this* call at *this*
//! moment. It judges nothing.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::{body::Incoming, client::conn::http2 as client, server::conn::http2 as server, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

use crate::{
    messages::{Rewritten, Tamper, Way},
    refusals::{self, Body, Error},
};

/// How long what a case waits for may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What happens to a call.
#[derive(Clone)]
pub enum Step {
    /// It goes through.
    Pass,
    /// It does not reach the server; this is the answer.
    Answer(Arc<dyn Fn() -> Response<Body> + Send + Sync>),
    /// It is executed, and this is the answer all the same.
    Instead(Arc<dyn Fn() -> Response<Body> + Send + Sync>),
    /// It waits until the gate opens, and goes through.
    Hold(Gate),
    /// It is executed, and its answer waits until the gate opens.
    HoldAnswer(Gate),
    /// The connection is cut, and it does not reach the server.
    Cut,
    /// It is executed, and the connection is cut instead of an answer.
    ExecuteAndCut,
    /// It is executed twice; the second answer goes back.
    Twice,
}

/// What a case opens when it is time.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<watch::Sender<bool>>);

impl Gate {
    /// Lets everything through from now on.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    async fn passed(&self) {
        // The sender stands beside the receiver, so waiting cannot fail.
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}

/// See the module. Ends, with all its connections, when it is dropped.
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    to: Mutex<SocketAddr>,
    /// By method: what happens to its next calls, in order.
    script: Mutex<HashMap<String, Vec<Step>>>,
    tamper: Option<Arc<dyn Tamper>>,
    arrived: watch::Sender<HashMap<String, u64>>,
    /// By method, how many calls had no deadline.
    endless: Mutex<HashMap<String, u64>>,
    /// Each change cuts all connections.
    cuts: watch::Sender<u64>,
}

impl Relay {
    /// Relays to a server.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn to(to: SocketAddr) -> Self {
        Self::start(to, None).await
    }

    /// Relays to a server and rewrites messages.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn tampering(to: SocketAddr, tamper: impl Tamper) -> Self {
        Self::start(to, Some(Arc::new(tamper))).await
    }

    async fn start(to: SocketAddr, tamper: Option<Arc<dyn Tamper>>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port of the loopback");
        let address = listener.local_addr().expect("a bound listener has an address");
        let shared = Arc::new(Shared {
            to: Mutex::new(to),
            script: Mutex::default(),
            tamper,
            arrived: watch::Sender::default(),
            endless: Mutex::default(),
            cuts: watch::Sender::new(0),
        });
        let accepting = tokio::spawn(accept(listener, shared.clone()));
        Self { address, shared, accepting }
    }

    /// Where it listens: `http://…`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on it relays to this server.
    pub fn turn_to(&self, to: SocketAddr) {
        *self.shared.to.lock().unwrap_or_else(PoisonError::into_inner) = to;
    }

    /// What happens to the next calls of a method, one after the other; and then nothing.
    #[must_use]
    pub fn on(self, method: &str, steps: impl IntoIterator<Item = Step>) -> Self {
        self.next(method, steps);
        self
    }

    /// The same, later.
    pub fn next(&self, method: &str, steps: impl IntoIterator<Item = Step>) {
        self.shared.script().entry(method.to_owned()).or_default().extend(steps);
    }

    /// The next calls of a method are answered so.
    #[must_use]
    pub fn answering(
        self,
        method: &str,
        times: usize,
        answer: impl Fn() -> Response<Body> + Send + Sync + 'static,
    ) -> Self {
        let answer = Arc::new(answer);
        self.on(method, (0..times).map(|_| Step::Answer(answer.clone())))
    }

    /// Cuts all connections.
    pub fn cut(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// How many calls of a method have come in.
    pub fn arrived(&self, method: &str) -> u64 {
        self.shared.arrived.borrow().get(method).copied().unwrap_or_default()
    }

    /// How many of these had no deadline.
    pub fn endless(&self, method: &str) -> u64 {
        self.shared.endless.lock().unwrap_or_else(PoisonError::into_inner).get(method).copied().unwrap_or_default()
    }

    /// Waits until so many calls of a method have come in, but not for ever.
    ///
    /// # Errors
    /// When they do not come.
    pub async fn wait_for(&self, method: &str, count: u64) -> crate::answer::Verdict {
        let mut arrived = self.shared.arrived.subscribe();
        let come = arrived.wait_for(|arrived| arrived.get(method).is_some_and(|arrived| *arrived >= count));
        if matches!(tokio::time::timeout(PATIENCE, come).await, Ok(Ok(_))) {
            return Ok(());
        }
        crate::answer::gap(format!("expected call {count} of {method}, only {} came", self.arrived(method)))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(stream, shared.clone()));
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    // Without it everything still works, later.
    let _ = stream.set_nodelay(true);
    let mut cuts = shared.cuts.subscribe();
    let own = watch::Sender::new(false);
    let mut cut = own.subscribe();
    let service = service_fn(move |request| pass(shared.clone(), own.clone(), request));
    tokio::select! {
        biased;
        _ = cuts.changed() => {}
        _ = cut.wait_for(|cut| *cut) => {}
        // How it ended is the caller's to know.
        _ = server::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service) => {}
    }
}

async fn pass(
    shared: Arc<Shared>,
    cut: watch::Sender<bool>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Error> {
    let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
    let step = shared.step(&method);
    if !request.headers().contains_key("grpc-timeout") {
        *shared.endless.lock().unwrap_or_else(PoisonError::into_inner).entry(method.clone()).or_default() += 1;
    }
    shared.arrived.send_modify(|arrived| *arrived.entry(method.clone()).or_default() += 1);
    if shared.tamper.as_ref().is_some_and(|tamper| !tamper.knows(&method)) {
        return Ok(refusals::Refusal::bare(tonic::Code::Unimplemented).response());
    }
    match step {
        Step::Pass => shared.forward(&method, request).await,
        Step::Answer(answer) => Ok(answer()),
        Step::Instead(answer) => {
            shared.forward(&method, request).await?.into_body().collect().await?;
            Ok(answer())
        }
        Step::Hold(gate) => {
            gate.passed().await;
            shared.forward(&method, request).await
        }
        Step::HoldAnswer(gate) => {
            let answer = shared.forward(&method, request).await;
            gate.passed().await;
            answer
        }
        Step::Cut => {
            cut.send_replace(true);
            std::future::pending().await
        }
        Step::ExecuteAndCut => {
            shared.forward(&method, request).await?.into_body().collect().await?;
            cut.send_replace(true);
            std::future::pending().await
        }
        Step::Twice => shared.twice(&method, request).await,
    }
}

impl Shared {
    fn step(&self, method: &str) -> Step {
        let mut script = self.script();
        script.get_mut(method).filter(|steps| !steps.is_empty()).map_or(Step::Pass, |steps| steps.remove(0))
    }

    fn script(&self) -> MutexGuard<'_, HashMap<String, Vec<Step>>> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn forward(&self, method: &str, request: Request<Incoming>) -> Result<Response<Body>, Error> {
        let (head, body) = request.into_parts();
        let body = Rewritten::new(body, method, Way::Up, self.tamper.clone()).boxed();
        self.send(method, Request::from_parts(head, body)).await
    }

    async fn twice(&self, method: &str, request: Request<Incoming>) -> Result<Response<Body>, Error> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?;
        let trailers = body.trailers().cloned();
        let bytes = body.to_bytes();
        let again = || {
            let frames = std::iter::once(Ok(hyper::body::Frame::data(bytes.clone())))
                .chain(trailers.clone().map(|trailers| Ok(hyper::body::Frame::trailers(trailers))));
            let frames: Vec<Result<_, Error>> = frames.collect();
            Request::from_parts(head.clone(), http_body_util::StreamBody::new(tokio_stream::iter(frames)).boxed())
        };
        self.send(method, again()).await?.into_body().collect().await?;
        self.send(method, again()).await
    }

    /// Sends a request over a connection of its own.
    async fn send(&self, method: &str, request: Request<Body>) -> Result<Response<Body>, Error> {
        let to = *self.to.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(mut sender) = connect(to).await else { return Ok(refusals::http_status(503)) };
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Rewritten::new(body, method, Way::Down, self.tamper.clone()).holding(sender);
        Ok(Response::from_parts(head, body.boxed()))
    }
}

async fn connect(to: SocketAddr) -> Result<client::SendRequest<Body>, Error> {
    let stream = TcpStream::connect(to).await.map_err(|error: io::Error| error)?;
    stream.set_nodelay(true)?;
    let (sender, connection) = client::Builder::new(TokioExecutor::new()).handshake(TokioIo::new(stream)).await?;
    // How it ends is told to the call on it.
    tokio::spawn(connection);
    Ok(sender)
}
