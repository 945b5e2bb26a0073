//! The one way of a logical call: its header is filled once, then it is attempted until it has an answer, a refusal that
//! binds, or no time left. It owns that loop; what a refusal means is decided in `retry`, and nothing here knows what any
//! method does.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use semel_proto::v1::{ClientInfo, RequestHeader, TraceContext};

use crate::{
    auth::{Auth, Signature},
    error::Error,
    id::RequestId,
    methods::{Answer as _, Method},
    refusal::{Origin, Refusal},
    retry::{self, Class, Decision, Progress, RetryOptions},
    submit::{Pipe, Ticket},
    trace::Source,
    transport::Transport,
    wait::Waits,
};

/// A call that may take for ever is given a year, so that moments can be added up without care.
pub(crate) const TIMEOUT_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// What all clones of a client share.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) transport: Arc<Transport>,
    pub(crate) pipe: Pipe,
    pub(crate) waits: Waits,
    pub(crate) auth: Auth,
    pub(crate) client_info: ClientInfo,
    pub(crate) trace: Source,
    pub(crate) app: String,
    pub(crate) retry: RetryOptions,
    pub(crate) request_timeout: Duration,
    pub(crate) overall_timeout: Duration,
}

/// What a caller may set for a single call; the rest comes from the client's options.
#[derive(Clone, Debug, Default)]
pub struct CallOptions {
    /// The id to use, instead of a fresh one. It is never replaced.
    pub request_id: Option<RequestId>,
    /// How long the call may take over all its attempts.
    pub overall_timeout: Option<Duration>,
    /// How long one attempt may take.
    pub request_timeout: Option<Duration>,
    /// How it is sent again.
    pub retry: Option<RetryOptions>,
    /// Under which span of a trace it stands, instead of what [`Options::trace_context`](crate::Options::trace_context) says.
    pub trace_context: Option<TraceContext>,
}

/// A logical call that is ready to be made.
pub(crate) struct Logical<M> {
    pub(crate) request: M,
    pub(crate) request_id: String,
    id_given: bool,
    deadline: Instant,
    request_timeout: Duration,
    retry: Option<RetryOptions>,
}

/// By which way the attempts of a call go, where there are two.
pub(crate) enum Way {
    /// Over the stream while the client is under load, else by calls of their own.
    ByLoad,
    /// Over the stream while it is to be had. The first attempt may be in line already.
    Stream(Option<(Option<Ticket>, Signature)>),
}

impl Core {
    /// Makes a call, whatever it is.
    pub(crate) async fn call<M: Method>(&self, request: M, options: &CallOptions) -> Result<M::Response, Error> {
        let logical = self.prepare(request, options)?;
        self.make(logical, Way::ByLoad).await
    }

    /// Completes a request; its time runs from now on.
    pub(crate) fn prepare<M: Method>(&self, mut request: M, options: &CallOptions) -> Result<Logical<M>, Error> {
        let (request_id, id_given) = self.fill(&mut request, options)?;
        let wait = request.server_wait();
        let overall = options.overall_timeout.unwrap_or(self.overall_timeout).saturating_add(wait);
        let deadline = Instant::now() + overall.min(TIMEOUT_MAX);
        let request_timeout = options.request_timeout.unwrap_or(self.request_timeout).saturating_add(wait);
        Ok(Logical { request, request_id, id_given, deadline, request_timeout, retry: options.retry.clone() })
    }

    /// Attempts a call until it has an answer, or a refusal that binds, or no time left.
    pub(crate) async fn make<M: Method>(&self, logical: Logical<M>, mut way: Way) -> Result<M::Response, Error> {
        let Logical { mut request, request_id, id_given, deadline, request_timeout, retry } = logical;
        let _under_way = request.as_run().map(|_| self.pipe.enter());
        let retry = retry.as_ref().unwrap_or(&self.retry);
        let mut attempts = Loop::new(self, retry, deadline, request_id, id_given);
        attempts.progress.can_refresh = self.auth.can_refresh() && !request.holds_credentials();
        let (mut in_line, mut signature) = match &mut way {
            Way::Stream(first) if first.is_some() => first.take().expect("it is there"),
            _ => (None, self.sign(&request, &attempts.request_id, deadline).await?),
        };
        loop {
            let timeout = attempts.timeout(request_timeout);
            let refusal = match self.attempt(&request, &signature, timeout, &way, in_line.take()).await {
                Ok(answer) => return Ok(answer),
                Err(refusal) => refusal,
            };
            match attempts.decide(&refusal) {
                Decision::GiveUp => return Err(attempts.give_up(refusal)),
                Decision::Again(wait) => {
                    attempts.pause(wait, refusal).await?;
                    signature = self.sign(&request, &attempts.request_id, deadline).await?;
                }
                Decision::Refresh => {
                    let fresh = self.auth.refresh(self, signature.generation, deadline).await;
                    signature = fresh.map_err(|error| error.of_call(&attempts.request_id))?;
                }
                Decision::MintAnew => self.set_request_id(&mut request, attempts.mint_anew()),
            }
        }
    }

    /// One attempt, over the stream where that is to be had and wanted, else by a call of its own; under the same id
    /// either way.
    async fn attempt<M: Method>(
        &self,
        request: &M,
        signature: &Signature,
        timeout: Duration,
        way: &Way,
        in_line: Option<Ticket>,
    ) -> Result<M::Response, Box<Refusal>> {
        let until = Instant::now() + timeout;
        let wants_stream = matches!(way, Way::Stream(_)) || self.pipe.is_worth_it();
        let run = request.as_run().filter(|_| wants_stream);
        let ticket = in_line.or_else(|| self.pipe.offer(run?, signature));
        if let Some(ticket) = ticket
            && let Some(answer) = ticket.answer(timeout).await
            && let Some(answer) = answer.map(M::Response::of_run).transpose()
        {
            return answer;
        }
        let left = until.saturating_duration_since(Instant::now());
        self.transport.attempt(request.clone(), signature.bearer.as_ref(), left).await
    }

    /// The signature for the first attempt of a call.
    pub(crate) async fn sign_for<M: Method>(&self, logical: &Logical<M>) -> Result<Signature, Error> {
        self.sign(&logical.request, &logical.request_id, logical.deadline).await
    }

    async fn sign<M: Method>(&self, request: &M, request_id: &str, deadline: Instant) -> Result<Signature, Error> {
        if request.holds_credentials() {
            return Ok(Signature::fixed(None));
        }
        self.auth.sign(self, deadline).await.map_err(|error| error.of_call(request_id))
    }

    /// Fills in what the caller left out: the id, the client, the app. Gives back the id, and whether it was the
    /// caller's.
    fn fill<M: Method>(&self, request: &mut M, options: &CallOptions) -> Result<(String, bool), Error> {
        self.auth.fill(request);
        if let Some(app) = request.app_mut().filter(|app| app.is_empty()) {
            app.clone_from(&self.app);
        }
        let in_header = request.header().map(|header| header.request_id.clone()).filter(|id| !id.is_empty());
        let in_options = options.request_id.map(|id| id.to_string());
        let given = match (in_header, in_options) {
            (Some(header), Some(option)) if !header.eq_ignore_ascii_case(&option) => {
                let message = format!("the request bears the id {header}, the call was to be made under {option}");
                return Err(Error::usage(message));
            }
            (header, option) => header.or(option),
        };
        self.place(request, options);
        let is_given = given.is_some();
        let id = given.unwrap_or_else(|| RequestId::mint(self.transport.clock().now()).to_string());
        self.set_request_id(request, id.clone());
        Ok((id, is_given))
    }

    /// Says under which span of a trace the call stands, if anybody knows.
    fn place<M: Method>(&self, request: &mut M, options: &CallOptions) {
        let is_said = request.header().is_some_and(|header| header.trace_context.is_some());
        if !is_said && let Some(context) = options.trace_context.clone().or_else(|| self.trace.ask()) {
            request.header_mut().get_or_insert_with(RequestHeader::default).trace_context = Some(context);
        }
    }

    fn set_request_id<M: Method>(&self, request: &mut M, id: String) {
        let header = request.header_mut().get_or_insert_with(RequestHeader::default);
        header.request_id = id;
        header.client.get_or_insert_with(|| self.client_info.clone());
    }
}

/// The attempts of one logical call: what was tried, and how much time is left.
pub(crate) struct Loop<'a> {
    core: &'a Core,
    options: &'a RetryOptions,
    deadline: Instant,
    request_id: String,
    progress: Progress,
    /// The last reason that the server gave: the last attempt of all may be cut short by the end of the time, and its
    /// time-out says little of what went wrong.
    last_reason: Option<String>,
}

impl<'a> Loop<'a> {
    pub(crate) fn new(
        core: &'a Core,
        options: &'a RetryOptions,
        deadline: Instant,
        request_id: String,
        id_given: bool,
    ) -> Self {
        let progress = Progress { id_given, ..Progress::default() };
        Self { core, options, deadline, request_id, progress, last_reason: None }
    }

    /// How long the next attempt may take.
    pub(crate) fn timeout(&self, request_timeout: Duration) -> Duration {
        request_timeout.min(self.deadline.saturating_duration_since(Instant::now()))
    }

    /// Decides what to do about a refused attempt, and remembers it.
    fn decide(&mut self, refusal: &Refusal) -> Decision {
        self.progress.attempts += 1;
        if retry::classify(refusal) == Class::Fault {
            self.progress.faults += 1;
        }
        let decision = retry::decide(refusal, &self.progress, self.options);
        tracing::debug!(
            request_id = %self.request_id,
            attempt = self.progress.attempts,
            code = ?refusal.code,
            reason = refusal.reason(),
            ?decision,
            "an attempt was refused"
        );
        if let Some(reason) = refusal.reason() {
            self.last_reason = Some(reason.to_owned());
        }
        self.progress.outcome_open |= !refusal.nothing_happened();
        self.progress.refreshed |= decision == Decision::Refresh;
        decision
    }

    /// Waits before the next attempt, or gives up if the time does not suffice.
    async fn pause(&self, at_least: Option<Duration>, refusal: Box<Refusal>) -> Result<(), Error> {
        let jitter = self.options.backoff(self.progress.attempts, fastrand::f64());
        let wait = at_least.unwrap_or_default().saturating_add(jitter);
        if wait >= self.deadline.saturating_duration_since(Instant::now()) {
            return Err(self.give_up(refusal));
        }
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// For a call that is unsigned and keeps its id: waits before the next attempt, or gives up.
    pub(crate) async fn wait_or_give_up(&mut self, refusal: Box<Refusal>) -> Result<(), Error> {
        match self.decide(&refusal) {
            Decision::Again(wait) => self.pause(wait, refusal).await,
            _ => Err(self.give_up(refusal)),
        }
    }

    /// A fresh id by the clock that was just learnt: the former one was refused for its time, and never executed.
    fn mint_anew(&mut self) -> String {
        self.request_id = RequestId::mint(self.core.transport.clock().now()).to_string();
        self.progress.minted_anew = true;
        self.request_id.clone()
    }

    /// The error for the caller.
    fn give_up(&self, mut refusal: Box<Refusal>) -> Error {
        if let (Origin::NoAnswer, Some(reason)) = (refusal.origin, &self.last_reason) {
            refusal.message = format!("{}; an attempt before was refused with {reason}", refusal.message);
        }
        Error::new(refusal, self.request_id.clone(), self.progress.attempts)
    }
}
