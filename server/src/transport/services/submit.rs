//! The life of one stream of a submitter: items come in, answers go out in the same order, as many in a message as are
//! there. It never waits for one of the two alone, so that a caller who does not read costs bounded memory and nothing
//! else: its items are still answered to the line, its credentials still judged, and the stream still told to end.

use std::{
    collections::VecDeque,
    future,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use semel_proto::{fingerprint::Content as _, v1};
use tokio::{sync::mpsc, time};
use tokio_stream::{Stream, StreamExt as _, wrappers::ReceiverStream};
use tonic::{Request, Status, Streaming};

use super::{
    Services,
    standing::{self, RECHECK, Standing},
    submit_queue::Queue,
};
use crate::{
    auth::Verdict,
    engine::Refused,
    transport::{
        gate::{self, Gate, Stage},
        held::Held,
        status::Refusal,
        turns::{Member, Turn},
    },
};

/// Items of one message.
const MESSAGE_ITEMS_MAX: usize = 1000;
/// Results of one message: with refusals of 2 KB each it stays well below what clients take.
const RESULTS_MAX: usize = 1000;
/// Messages to a caller that wait for it to read.
const OUTBOX_MAX: usize = 2;

/// What goes to a submitter.
pub(super) type Answers = Pin<Box<dyn Stream<Item = Result<v1::SubmitRunsResponse, Status>> + Send>>;

type Outbox = mpsc::Sender<Outgoing>;

/// A message on its way to a submitter, and what its answers hold until it is written.
struct Outgoing(Result<v1::SubmitRunsResponse, Status>, Option<Held>);

/// See the module.
struct Submit {
    gate: Arc<Gate>,
    standing: Standing,
    /// By which verdict items were last taken: what their answers say of the credentials.
    taken_by: Verdict,
    queue: Queue,
    /// What was heard and has to wait: it may change the credentials, and what came before goes in by the former ones.
    later: Option<v1::SubmitRunsRequest>,
    /// Results that wait for the caller to read.
    ready: VecDeque<v1::SubmitResult>,
    /// Word of the credentials that waits likewise.
    notice: Option<v1::AuthNotice>,
    /// Set when nothing more is read; what was taken is still answered.
    end: Option<End>,
}

/// Why a stream ends.
enum End {
    /// The caller has said all.
    Said,
    /// The server says why.
    Refused(Box<Refusal>),
    /// The credentials do not hold any more.
    Barred,
    /// The server is about to stop.
    GoingAway,
}

impl Services {
    /// Opens the stream at once: who may not be served is told so, and everybody else that somebody listens.
    pub(super) fn open_submit(&self, request: Request<Streaming<v1::SubmitRunsRequest>>) -> Result<Answers, Status> {
        let standing = Standing::of(&self.gate, &request, v1::SubmitRunsRequest::MESSAGE);
        let refuse = |refusal| standing.refuse(&self.gate, refusal);
        if let Some(refusal) = standing.refusal() {
            return Err(refuse(refusal));
        }
        self.gate.engine().map_err(refuse)?;
        if *standing.stage().borrow() >= Stage::Going {
            return Err(refuse(gate::refused(Refused::Draining)));
        }
        let submit = Submit {
            gate: self.gate.clone(),
            taken_by: standing.verdict().clone(),
            queue: Queue::new(self.gate.clone(), self.shared.clone(), standing.address()),
            standing,
            later: None,
            ready: VecDeque::new(),
            notice: None,
            end: None,
        };
        let (outbox, outgoing) = mpsc::channel(OUTBOX_MAX);
        tokio::spawn(submit.live(request.into_inner(), outbox));
        Ok(Box::pin(ReceiverStream::new(outgoing).map(|Outgoing(message, _held)| message)))
    }
}

impl Submit {
    /// Runs until one side ends it, or the server is cut off.
    async fn live(mut self, mut inbox: Streaming<v1::SubmitRunsRequest>, outbox: Outbox) {
        let stage = self.standing.stage().clone();
        let opened = self.message();
        let lived = async {
            outbox.send(opened).await.ok()?;
            self.turns(&mut inbox, &outbox).await?;
            self.say_goodbye(&outbox).await
        };
        tokio::select! {
            _ = lived => {}
            () = gate::reached(&stage, Stage::Cut) => {}
        }
        // The caller sees the end now.
        drop((inbox, outbox));
        self.let_go().await;
    }

    /// Forgets what is left, in turns: of a caller who has sent much and read little it is milliseconds of work.
    async fn let_go(mut self) {
        let turns = self.queue.turns().join();
        loop {
            let turn = turns.take().await;
            let is_all = self.queue.forget(&mut self.ready, &turn);
            turn.end();
            if is_all {
                return;
            }
        }
    }

    /// Goes on until everything that was taken is answered and nothing more comes. None once the caller has gone.
    async fn turns(&mut self, inbox: &mut Streaming<v1::SubmitRunsRequest>, outbox: &Outbox) -> Option<()> {
        let stage = self.standing.stage().clone();
        let mut going = pin!(gate::reached(&stage, Stage::Going));
        let mut recheck = time::interval(RECHECK);
        recheck.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        let turns = self.queue.turns().join();
        let mut turn = None;
        loop {
            if turn.is_some() || !self.queue.is_all_in() {
                let taken = match turn.take() {
                    Some(turn) => turn,
                    None => turns.take().await,
                };
                let is_held = self.queue.admit(self.standing.verdict(), &taken);
                taken.end();
                if !is_held && !self.queue.is_all_in() {
                    continue;
                }
            }
            let has_room = self.queue.has_room(self.ready.len());
            let listens = self.end.is_none();
            if let Some(message) = self.later.take_if(|_| has_room || !listens) {
                if listens {
                    self.hear(message)
                } else {
                    self.queue.take(message.runs)
                }
                continue;
            }
            let reads = listens && self.later.is_none();
            let has_news = !self.ready.is_empty() || self.notice.is_some();
            if !listens && !has_news && self.queue.is_idle() {
                return Some(());
            }
            let wait = self.queue.wait();
            let (queue, ready, taken_by) = (&mut self.queue, &mut self.ready, &self.taken_by);
            let answers = future::poll_fn(|context| queue.poll_answers(context, taken_by, ready));
            tokio::select! {
                biased;
                () = &mut going, if listens => self.end = Some(End::GoingAway),
                _ = recheck.tick(), if listens => self.recheck(),
                () = answers => {}
                place = outbox.reserve(), if has_news => {
                    let message = self.message();
                    place.ok()?.send(message);
                }
                place = wait => self.queue.give(place),
                (taken, message) = hear(inbox, &turns), if reads && has_room => {
                    self.hear_all(message, inbox, &taken)?;
                    turn = Some(taken);
                }
            }
        }
    }

    /// What the caller says, and what else has come already as long as it is its turn. None once the caller has gone.
    fn hear_all(&mut self, first: Heard, inbox: &mut Streaming<v1::SubmitRunsRequest>, turn: &Turn) -> Option<()> {
        let mut heard = Some(first);
        while let Some(message) = heard {
            match message {
                Ok(Some(message)) => self.hear(message),
                Ok(None) => self.end = Some(End::Said),
                Err(status) => self.end = Some(End::Refused(Box::new(standing::unread(&status)?))),
            }
            let goes_on = self.end.is_none()
                && self.later.is_none()
                && self.queue.may_gather(self.ready.len())
                && !turn.is_over();
            heard = if goes_on { at_hand(inbox) } else { None };
        }
        Some(())
    }

    /// One message of the caller.
    fn hear(&mut self, message: v1::SubmitRunsRequest) {
        if message.runs.len() > MESSAGE_ITEMS_MAX {
            let problem = format!("must be at most {MESSAGE_ITEMS_MAX} in a message");
            let refusal = Refusal::invalid(vec![("runs".to_owned(), problem)]);
            self.end = Some(End::Refused(Box::new(refusal)));
            return;
        }
        let changes = message.reauthenticate.is_some() || self.standing.is_stale(&self.gate);
        if changes && !self.queue.is_all_in() {
            self.later = Some(message);
            return;
        }
        if let Some(fresh) = &message.reauthenticate {
            self.standing.renew(fresh);
            self.recheck();
        } else if self.standing.is_stale(&self.gate) {
            self.recheck();
        }
        self.queue.take(message.runs);
    }

    /// Judges the credentials again. When they no longer hold, what is not yet in the engine is refused item by item.
    fn recheck(&mut self) {
        self.standing.judge(&self.gate);
        if self.standing.refusal().is_some() {
            self.end = Some(End::Barred);
            return;
        }
        self.taken_by = self.standing.verdict().clone();
        if self.standing.is_to_be_warned(&self.gate) {
            self.notice = Some(self.standing.notice(Some(v1::AuthStatus::Expiring)));
        }
    }

    /// All that waits to be said.
    fn message(&mut self) -> Outgoing {
        let count = self.ready.len().min(RESULTS_MAX);
        let message = v1::SubmitRunsResponse {
            header: Some(self.gate.basis("", None, &self.taken_by).header()),
            results: self.ready.drain(..count).collect(),
            auth_notice: self.notice.take(),
            going_away: None,
        };
        Outgoing(Ok(message), Some(self.queue.leave(count)))
    }

    /// Says why the stream ends, once all that was taken is answered.
    async fn say_goodbye(&mut self, outbox: &Outbox) -> Option<()> {
        let header = self.gate.basis("", None, self.standing.verdict()).header();
        let last = v1::SubmitRunsResponse { header: Some(header), ..Default::default() };
        match self.end.take()? {
            End::Said => Some(()),
            End::GoingAway => {
                let last = v1::SubmitRunsResponse { going_away: Some(standing::going_away()), ..last };
                outbox.send(Outgoing(Ok(last), None)).await.ok()
            }
            End::Refused(refusal) => {
                let status = self.standing.refuse(&self.gate, *refusal);
                outbox.send(Outgoing(Err(status), None)).await.ok()
            }
            End::Barred => {
                let last = v1::SubmitRunsResponse { auth_notice: Some(self.standing.notice(None)), ..last };
                outbox.send(Outgoing(Ok(last), None)).await.ok()?;
                let status = self.standing.refuse(&self.gate, self.standing.refusal()?);
                outbox.send(Outgoing(Err(status), None)).await.ok()
            }
        }
    }
}

/// A message of the caller, none at the end of all.
type Heard = Result<Option<v1::SubmitRunsRequest>, Status>;

/// The next message, read when it is this stream's turn, which goes on with it: to read it is most of the work.
async fn hear(inbox: &mut Streaming<v1::SubmitRunsRequest>, turns: &Member) -> (Turn, Heard) {
    let mut waits = None;
    let read = future::poll_fn(|context| {
        let turn = ready!(turns.poll_take(context, &mut waits));
        let message = ready!(Pin::new(&mut *inbox).poll_next(context));
        Poll::Ready((turn, message.transpose()))
    });
    read.await
}

/// The next message, if it has come already.
fn at_hand(inbox: &mut Streaming<v1::SubmitRunsRequest>) -> Option<Heard> {
    let mut context = Context::from_waker(Waker::noop());
    match Pin::new(inbox).poll_next(&mut context) {
        Poll::Ready(message) => Some(message.transpose()),
        Poll::Pending => None,
    }
}
