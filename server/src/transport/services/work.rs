//! The life of one worker's stream: what it says goes to the engine, what the engine orders goes to it, and what became
//! of each thing that it reported is acknowledged under that thing's request id.

use std::sync::Arc;

use semel_core::{
    codec::Payload,
    command::Command,
    id::{AttemptNumber, RequestId, RunId},
    state::BlobKind,
    trace::TraceContext,
};
use semel_proto::{
    fingerprint::Content,
    v1::{self, work_request, work_response::Kind},
};
use tokio::{task::JoinSet, time};
use tonic::{Status, Streaming};

use super::{
    outbox::{Gone, Outbox},
    standing::{self, RECHECK, Standing},
};
use crate::{
    auth::{self, Verdict},
    clock::Stopwatch,
    engine::{Answer, Assignment, Envelope, Order, Pending, Progress, Refused, Submitted, WorkerStream},
    otlp::Tracer,
    transport::{
        convert::{
            fields,
            fields::Fields,
            worker::{self as convert, Speaker},
        },
        gate::{self, Gate, Stage},
        status::Refusal,
        trace::{self, Drawn},
    },
};

/// Reports of one worker that are in the engine at a time; beyond it nothing more is read from its stream.
const PENDING_MAX: usize = 256;

/// An input that is larger waits until the worker has read what came before it: of such ones no more than one waits.
const LARGE_BYTES: usize = 8 << 10;

/// See the module.
pub(super) struct Work {
    pub(super) gate: Arc<Gate>,
    pub(super) stream: WorkerStream,
    pub(super) speaker: Speaker,
    pub(super) standing: Standing,
}

/// Under which id something is handed in, and what is to be drawn of it.
struct Said {
    request_id: String,
    reported: Option<Reported>,
}

/// A report, for the trace of its run.
struct Reported {
    attempt: (RunId, AttemptNumber),
    /// In which span of its own the worker says that it stands.
    by: Option<TraceContext>,
    begun: Stopwatch,
}

/// A report whose answer is awaited.
struct Awaited {
    request_id: String,
    reported: Option<Reported>,
    parsed_id: Option<RequestId>,
    submitted: Submitted,
    message: &'static str,
    leaf_name: fn(u16) -> &'static str,
}

/// Why a stream ends.
enum End {
    /// The worker has gone, or reads no more.
    Gone,
    /// The server says why.
    Refused(Box<Refusal>),
    /// The server is about to stop.
    GoingAway,
}

impl Work {
    /// Runs until one side ends it.
    pub(super) async fn live(mut self, opened: v1::Opened, mut inbox: Streaming<v1::WorkRequest>, outbox: Outbox) {
        let mut awaited = JoinSet::new();
        let end = match self.say(&outbox, "", Kind::Opened(opened)).await {
            Ok(()) => self.turns(&mut inbox, &outbox, &mut awaited).await,
            Err(end) => end,
        };
        // What was handed in goes on under its id (D9); whoever still listens gets the answers.
        while let Some(done) = awaited.join_next().await {
            if let Ok(done) = done
                && self.acknowledge(&outbox, done).await.is_err()
            {
                break;
            }
        }
        match end {
            End::Gone => {}
            End::Refused(refusal) => {
                let status = self.standing.refuse(&self.gate, *refusal);
                let _ = self.deliver(&outbox, Err(status)).await;
            }
            End::GoingAway => {
                let _ = self.say(&outbox, "", Kind::GoingAway(standing::going_away())).await;
            }
        }
        tracing::info!(worker_id = %self.speaker.worker_id, "the stream of a worker has ended");
    }

    async fn turns(
        &mut self,
        inbox: &mut Streaming<v1::WorkRequest>,
        outbox: &Outbox,
        awaited: &mut JoinSet<Awaited>,
    ) -> End {
        let stage = self.standing.stage().clone();
        let mut recheck = time::interval(RECHECK);
        recheck.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        loop {
            let turn = tokio::select! {
                message = inbox.message(), if awaited.len() < PENDING_MAX => match message {
                    Ok(Some(message)) => self.hear(outbox, awaited, message).await,
                    Ok(None) => Err(End::Gone),
                    Err(status) => Err(standing::unread(&status).map_or(End::Gone, |why| End::Refused(Box::new(why)))),
                },
                Some(done) = awaited.join_next() => match done {
                    Ok(done) => self.acknowledge(outbox, done).await,
                    Err(_) => Err(End::Gone),
                },
                order = self.stream.order() => match order {
                    Some(order) => self.obey(outbox, order).await,
                    None => Err(End::Refused(Box::new(gate::refused(Refused::NoOwner)))),
                },
                _ = recheck.tick() => self.recheck(outbox).await,
                () = gate::reached(&stage, Stage::Going) => Err(End::GoingAway),
            };
            if let Err(end) = turn {
                return end;
            }
        }
    }

    /// Something that the worker says.
    async fn hear(
        &mut self,
        outbox: &Outbox,
        awaited: &mut JoinSet<Awaited>,
        message: v1::WorkRequest,
    ) -> Result<(), End> {
        self.stream.heard();
        let v1::RequestHeader { request_id, trace_context, .. } = message.header.unwrap_or_default();
        match message.kind {
            Some(work_request::Kind::Report(report)) => {
                let mut fields = self.gate.fields();
                let command = self.speaker.report(&mut fields, &report);
                let reported = self.reported(command.as_ref(), trace_context.as_ref());
                self.submit(outbox, awaited, Said { request_id, reported }, fields, command, &report).await
            }
            Some(work_request::Kind::Log(log)) => {
                let mut fields = self.gate.fields();
                let command = self.speaker.log(&mut fields, &log);
                self.submit(outbox, awaited, Said { request_id, reported: None }, fields, command, &log).await
            }
            Some(work_request::Kind::Heartbeat(_)) => {
                let queued = self.stream.queued_count().await.unwrap_or(0);
                // All that was ordered before goes first: a worker that drains takes the answer for the end of it.
                while let Some(order) = self.stream.order_at_hand() {
                    self.obey(outbox, order).await?;
                }
                let queued_count = i64::try_from(queued).unwrap_or(i64::MAX);
                self.say(outbox, "", Kind::HeartbeatAck(v1::HeartbeatAck { queued_count })).await
            }
            Some(work_request::Kind::Progress(progress)) => {
                self.progress(&progress).await;
                Ok(())
            }
            Some(work_request::Kind::Credit(credit)) => {
                let mut fields = self.gate.fields();
                match convert::parse_slots(&mut fields, "credit.slots", credit.slots) {
                    Some(slots) => self.stream.credit(slots).await,
                    None => return Err(End::Refused(Box::new(Refusal::invalid(fields.violations())))),
                }
                Ok(())
            }
            Some(work_request::Kind::Drain(_)) => {
                self.stream.drain().await;
                Ok(())
            }
            Some(work_request::Kind::Reauthenticate(fresh)) => {
                self.standing.renew(&fresh);
                self.recheck(outbox).await
            }
            Some(work_request::Kind::Hello(_)) => {
                let problem = vec![("hello".to_owned(), "must be said only once".to_owned())];
                Err(End::Refused(Box::new(Refusal::invalid(problem))))
            }
            // A message of a newer worker that this server does not know.
            None => Ok(()),
        }
    }

    /// Hands something in that changes something. Same rules as for a call: credentials, id, fields, window.
    async fn submit<M: Content>(
        &mut self,
        outbox: &Outbox,
        awaited: &mut JoinSet<Awaited>,
        Said { request_id, reported }: Said,
        fields: Fields,
        command: Option<Command>,
        message: &M,
    ) -> Result<(), End> {
        match self.enqueue(&request_id, fields, command, message).await {
            Ok(pending) => {
                let parsed_id = fields::parse_request_id(&request_id);
                awaited.spawn(async move {
                    let (submitted, message, leaf_name) = (pending.await, M::MESSAGE, M::leaf_name);
                    Awaited { request_id, reported, parsed_id, submitted, message, leaf_name }
                });
                Ok(())
            }
            Err(refusal) => self.refuse(outbox, M::MESSAGE, &request_id, refusal).await,
        }
    }

    async fn enqueue<M: Content>(
        &self,
        request_id: &str,
        fields: Fields,
        command: Option<Command>,
        message: &M,
    ) -> Result<Pending, Refusal> {
        let id = gate::required_id(request_id, fields::parse_request_id(request_id))?;
        let Some(command) = command.filter(|_| fields.is_clean()) else {
            return Err(Refusal::invalid(fields.violations()));
        };
        let missing = || Refusal::of_verdict(&Verdict::refused(auth::Status::Missing));
        let principal = self.verdict().principal.clone();
        let principal = principal.ok_or_else(|| missing().expect("a missing credential is a refusal"))?;
        let mut envelope = Envelope::new(principal, id, gate::stored(message.fingerprint()), command);
        envelope.audit(self.gate.audit(), self.standing.caller());
        self.gate.engine()?.enqueue_report(envelope).await.map_err(gate::refused)
    }

    async fn acknowledge(&self, outbox: &Outbox, awaited: Awaited) -> Result<(), End> {
        match awaited.submitted {
            Ok(answer) => {
                if let Some(reported) = awaited.reported {
                    self.draw(reported, &awaited.request_id, &answer);
                }
                let basis = self.gate.basis(&awaited.request_id, awaited.parsed_id, self.verdict());
                let ack = v1::WorkResponse {
                    header: Some(basis.answered(&answer)),
                    kind: Some(Kind::Ack(v1::Ack { refused: None })),
                };
                self.deliver(outbox, Ok(ack)).await
            }
            Err(refused) => {
                let refusal = Refusal::of_refused(refused, awaited.leaf_name);
                self.refuse(outbox, awaited.message, &awaited.request_id, refusal).await
            }
        }
    }

    /// What will be to draw of a report, if anything is drawn.
    fn reported(&self, command: Option<&Command>, by: Option<&v1::TraceContext>) -> Option<Reported> {
        let Some(Command::ReportAttempt { attempt, .. }) = command.filter(|_| self.tracer().is_on()) else {
            return None;
        };
        let attempt = (attempt.run_id, attempt.number);
        Some(Reported { attempt, by: trace::of_message(by), begun: Stopwatch::start() })
    }

    /// Draws a report: under the span that the worker names, else under that of the attempt.
    fn draw(&self, Reported { attempt, by, begun }: Reported, request_id: &str, answer: &Answer) {
        let of_attempt = || self.tracer().of_attempt(attempt, answer.trace.as_deref(), false);
        let Some(own) = by.or_else(of_attempt).and_then(|parent| self.tracer().below(&parent)) else { return };
        let attributes = vec![
            ("semel.request_id", request_id.to_owned().into()),
            ("semel.run_id", attempt.0.to_string().into()),
            ("semel.attempt", i64::from(attempt.1.0).into()),
            ("semel.disposition", answer.disposition.as_str().into()),
        ];
        let (name, method) = ("report", "semel.v1.WorkerService/Work");
        Drawn { own, begun, name, method, code: 0, attributes, first: None }.record(self.tracer());
    }

    fn tracer(&self) -> &Tracer {
        &self.gate.settings.tracer
    }

    async fn refuse(
        &self,
        outbox: &Outbox,
        message: &'static str,
        request_id: &str,
        refusal: Refusal,
    ) -> Result<(), End> {
        self.standing.audit(&self.gate, &refusal, message, request_id);
        let parsed_id = fields::parse_request_id(request_id);
        let header = self.gate.basis(request_id, parsed_id, self.verdict()).header();
        let refused = refusal.into_rpc(header.clone());
        let ack = v1::Ack { refused: Some(refused) };
        let message = v1::WorkResponse { header: Some(header), kind: Some(Kind::Ack(ack)) };
        self.deliver(outbox, Ok(message)).await
    }

    /// Something that the engine orders.
    async fn obey(&self, outbox: &Outbox, order: Order) -> Result<(), End> {
        match order {
            Order::Assign(assignment) => self.assign(outbox, &assignment).await,
            Order::Cancel { run_id, number, reason } => {
                self.say(outbox, "", Kind::CancelAttempt(convert::cancel_attempt(run_id, number, reason))).await
            }
            Order::Replaced => Err(End::Gone),
        }
    }

    /// Hands an assignment out. Its input is in memory only while it goes into the outbox: where that has to be waited for, it is
    /// read again.
    async fn assign(&self, outbox: &Outbox, assignment: &Assignment) -> Result<(), End> {
        loop {
            let payload = self.input(assignment)?;
            let input_bytes = payload.as_ref().map_or(0, |payload| payload.data.len());
            if input_bytes <= LARGE_BYTES || outbox.is_read() {
                let named = (assignment.run_id, assignment.number);
                let (trace, cause) = (assignment.trace.as_deref(), assignment.cause.as_ref());
                let place = self.tracer().of_attempt(named, trace, cause.is_some());
                let said = convert::assignment(assignment, payload.as_ref(), place.as_ref());
                let message = self.message("", Kind::Assignment(said));
                if self.unless_cut(outbox.hand(message, input_bytes)).await? {
                    return Ok(());
                }
            }
            drop(payload);
            if input_bytes > LARGE_BYTES {
                self.unless_cut(outbox.until_read()).await?;
            }
            self.unless_cut(outbox.until_room(input_bytes)).await?;
        }
    }

    fn input(&self, assignment: &Assignment) -> Result<Option<Payload>, End> {
        if !assignment.has_payload {
            return Ok(None);
        }
        let engine = self.gate.engine().map_err(|refusal| End::Refused(Box::new(refusal)))?;
        let read = engine.reader().blob(assignment.run_id, BlobKind::Payload);
        read.map_err(|error| End::Refused(Box::new(Refusal::internal(&error))))
    }

    async fn progress(&self, progress: &v1::AttemptProgress) {
        let mut fields = self.gate.fields();
        let run_id = fields.run_id(&progress.run_id);
        if let (Some(run_id), Ok(number)) = (run_id, u32::try_from(progress.attempt)) {
            let fraction = if progress.fraction.is_finite() { progress.fraction.clamp(0.0, 1.0) } else { 0.0 };
            let message = progress.message.chars().take(255).collect();
            let progress = Progress { attempt: AttemptNumber(number), fraction, message, time: self.gate.now() };
            self.stream.progress(run_id, progress).await;
        }
    }

    /// Judges the credentials again, and says what follows from it.
    async fn recheck(&mut self, outbox: &Outbox) -> Result<(), End> {
        self.standing.judge(&self.gate);
        if let Some(refusal) = self.standing.refusal() {
            self.say(outbox, "", Kind::AuthNotice(self.standing.notice(None))).await?;
            return Err(End::Refused(Box::new(refusal)));
        }
        let principal = self.standing.verdict().principal.as_ref();
        let may = principal.map(|principal| principal.require(semel_core::app::Role::Worker, &self.speaker.app));
        if let Some(Err(rejection)) = may {
            let notice = self.standing.notice(Some(v1::AuthStatus::Forbidden));
            let header =
                v1::ResponseHeader { auth: notice.auth.clone(), ..self.gate.basis("", None, self.verdict()).read() };
            let message = v1::WorkResponse { header: Some(header), kind: Some(Kind::AuthNotice(notice)) };
            self.deliver(outbox, Ok(message)).await?;
            return Err(End::Refused(Box::new(gate::rejected(rejection))));
        }
        if self.standing.is_to_be_warned(&self.gate) {
            let notice = self.standing.notice(Some(v1::AuthStatus::Expiring));
            self.say(outbox, "", Kind::AuthNotice(notice)).await?;
        }
        Ok(())
    }

    fn verdict(&self) -> &Verdict {
        self.standing.verdict()
    }

    async fn say(&self, outbox: &Outbox, request_id: &str, kind: Kind) -> Result<(), End> {
        self.deliver(outbox, Ok(self.message(request_id, kind))).await
    }

    fn message(&self, request_id: &str, kind: Kind) -> v1::WorkResponse {
        let header = self.gate.basis(request_id, None, self.verdict()).read();
        v1::WorkResponse { header: Some(header), kind: Some(kind) }
    }

    async fn deliver(&self, outbox: &Outbox, message: Result<v1::WorkResponse, Status>) -> Result<(), End> {
        self.unless_cut(outbox.say(message)).await
    }

    /// Waits for the worker to read, but not beyond the end of its connection or of the server.
    async fn unless_cut<T>(&self, read: impl Future<Output = Result<T, Gone>>) -> Result<T, End> {
        tokio::select! {
            read = read => read.map_err(|Gone| End::Gone),
            () = gate::reached(self.standing.stage(), Stage::Cut) => Err(End::Gone),
        }
    }
}
