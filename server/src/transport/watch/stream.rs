//! The life of one watcher's stream. It is polled when there is room to send and something to look at: a mark in its slot, a
//! nudge, or a time that has come. It queues nothing: what a caller does not read stays where it is, in the ring or in
//! the store.
//!
//! Written by hand as a `Stream` and not as a task with a channel, because a task and a channel for each of tens of
//! thousands of watchers would be most of their memory.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use semel_core::{
    app::Role,
    id::{AppName, Millis, Revision},
    policy::Principal,
    rejection::Rejection,
};
use semel_proto::v1::{self, watch_response::Kind};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_stream::Stream;
use tonic::{Code, Status};

use super::{
    cursor::{Batch, Cursor, EVENTS_MAX, Page, Turn},
    filter::{Apps, Filter},
    frame::Frame,
    hub::Seat,
    ring::RECORDS_MAX,
    snapshot::{self, Place, Plan},
    token::Scope,
};
use crate::{
    clock,
    engine::Refused,
    store::Reader,
    transport::{
        convert::{header::count, time},
        gate::{self, Gate, Stage},
        services::{Standing, going_away},
        status::Refusal,
    },
};

/// A watcher is told where it is whenever so many revisions have passed it by: so its token is never older than what the
/// ring holds.
pub(super) const PASSED_MAX: u64 = RECORDS_MAX as u64 / 2;

/// What a watch begins with.
pub(crate) struct Opening {
    pub(crate) gate: Arc<Gate>,
    pub(crate) seat: Seat,
    pub(crate) filter: Arc<Filter>,
    pub(crate) standing: Standing,
    /// Whoever watches, as it was judged when it called.
    pub(crate) principal: Arc<Principal>,
    pub(crate) scope: Scope,
    /// Behind which position it begins.
    pub(crate) position: Revision,
    pub(crate) oldest: Revision,
    /// None, or whether the finished runs belong to it.
    pub(crate) snapshot: Option<bool>,
    pub(crate) interval: Millis,
    pub(crate) deadline: Option<Instant>,
}

/// What comes of a look at the store.
enum Looked {
    Page(Page),
    Snapshot(snapshot::Page),
}

type Look = Pin<Box<dyn Future<Output = Result<Looked, Refusal>> + Send>>;

/// See the module.
pub(crate) struct Watch {
    gate: Arc<Gate>,
    seat: Seat,
    filter: Arc<Filter>,
    standing: Standing,
    principal: Arc<Principal>,
    scope: Scope,
    cursor: Cursor,
    /// What is left of the snapshot.
    snapshot: Option<Box<(Plan, Place)>>,
    /// A look at the store that is under way.
    look: Option<Look>,
    /// What is to be said next, in order: a few messages at most, or a page of the snapshot.
    outbox: VecDeque<Result<Frame, Status>>,
    ended: bool,
    interval: Duration,
    deadline: Option<Instant>,
    said_at: Instant,
    /// Up to where the caller was told that it is.
    told: Revision,
    sleep: Pin<Box<Sleep>>,
}

impl Watch {
    pub(crate) fn open(opening: Opening) -> Self {
        let Opening { gate, seat, filter, standing, principal, scope, position, oldest, snapshot, interval, deadline } =
            opening;
        let now = clock::timer_now();
        let plan = snapshot.map(|is_all| {
            let plan = Plan { filter: filter.clone(), principal: principal.clone(), is_all, revision: position };
            let place = plan.begin();
            Box::new((plan, place))
        });
        let mut watch = Self {
            cursor: Cursor::new(filter.clone(), seat.slot.clone(), position),
            gate,
            seat,
            filter,
            standing,
            principal,
            scope,
            snapshot: plan,
            look: None,
            outbox: VecDeque::new(),
            ended: false,
            interval: Duration::from_millis(interval.0.unsigned_abs()),
            deadline,
            said_at: now,
            told: position,
            sleep: Box::pin(sleep_until(now)),
        };
        watch.say(Kind::Opened(v1::WatchOpened {
            revision: count(position.0),
            oldest_revision: count(oldest.0),
            progress_interval: Some(time::duration(interval)),
            events_max: i32::try_from(EVENTS_MAX).unwrap_or(i32::MAX),
        }));
        watch
    }

    /// The token of where the caller is once it has all that was said; none in the middle of something.
    fn token(&self) -> Option<String> {
        self.snapshot.is_none().then(|| self.scope.token(self.cursor.position()))
    }

    fn say(&mut self, kind: Kind) {
        let header = Some(self.gate.basis("", None, self.standing.verdict()).read());
        self.say_under(header, kind);
    }

    fn say_under(&mut self, header: Option<v1::ResponseHeader>, kind: Kind) {
        let resume_token = self.token().unwrap_or_default();
        let message = v1::WatchResponse { header, resume_token, kind: Some(kind) };
        self.outbox.push_back(Ok(Frame::Message(Box::new(message))));
    }

    fn end(&mut self, refusal: Refusal) {
        self.outbox.push_back(Err(self.standing.refuse(&self.gate, refusal)));
        self.ended = true;
    }

    /// Looks whether the stream must end, or the caller be warned.
    fn check(&mut self) {
        if *self.standing.stage().borrow() >= Stage::Going {
            self.say(Kind::GoingAway(going_away()));
            self.ended = true;
        } else if self.seat.shared().is_over() {
            self.end(gate::refused(Refused::NoOwner));
        } else if self.deadline.is_some_and(|deadline| deadline <= clock::timer_now()) {
            self.say_progress();
            self.end(Refusal::outcome_unknown());
        } else {
            if self.standing.is_stale(&self.gate) {
                self.judge();
            }
            if !self.ended && self.standing.is_to_be_warned(&self.gate) {
                self.say(Kind::AuthNotice(self.standing.notice(Some(v1::AuthStatus::Expiring))));
            }
        }
    }

    /// Judges the credentials again: they must hold, and allow all that they allowed so far.
    fn judge(&mut self) {
        self.standing.judge(&self.gate);
        if let Some(refusal) = self.standing.refusal() {
            self.say(Kind::AuthNotice(self.standing.notice(None)));
            self.end(refusal);
            return;
        }
        let Some(principal) = self.standing.verdict().principal.clone() else { return };
        if self.filter.is_still_whole(&self.principal, &principal) {
            self.principal = principal;
            return;
        }
        let notice = self.standing.notice(Some(v1::AuthStatus::Forbidden));
        let header = self.gate.basis("", None, self.standing.verdict()).read();
        self.say_under(Some(v1::ResponseHeader { auth: notice.auth.clone(), ..header }), Kind::AuthNotice(notice));
        self.end(forbidden(&principal, &self.filter));
    }

    fn say_progress(&mut self) {
        match self.snapshot {
            // A snapshot of which little is let through must not be silent for long either.
            Some(_) => self.say_under(None, Kind::Snapshot(v1::WatchSnapshot::default())),
            None => self.say(Kind::Progress(v1::WatchProgress { revision: count(self.cursor.position().0) })),
        }
    }

    /// Begins to read the next page of the snapshot.
    fn read_snapshot(&mut self) {
        let Some(snapshot) = &self.snapshot else { return };
        let (plan, place) = (**snapshot).clone();
        let gate = self.gate.clone();
        if place == Place::Workers {
            self.look = Some(Box::pin(async move {
                let connected = gate.engine()?.read(|view| view.connected().collect()).await.map_err(gate::refused)?;
                Ok(Looked::Snapshot((plan.workers(connected), None)))
            }));
            return;
        }
        self.look = Some(self.reading(move |reader| plan.page(reader, &place).map(Looked::Snapshot)));
    }

    fn reading(&self, read: impl FnOnce(&dyn Reader) -> Result<Looked, crate::store::Error> + Send + 'static) -> Look {
        let (gate, reads) = (self.gate.clone(), self.seat.shared().reads.clone());
        Box::pin(async move {
            let permit = reads.acquire_owned().await;
            let reader = gate.engine()?.reader().clone();
            let read = tokio::task::spawn_blocking(move || {
                let read = read(&*reader);
                drop((permit, reader));
                read
            });
            match read.await {
                Ok(Ok(looked)) => Ok(looked),
                Ok(Err(error)) => Err(Refusal::internal(&error)),
                Err(_) => Err(gate::refused(Refused::NoOwner)),
            }
        })
    }

    /// What was read, as what follows from it.
    fn looked(&mut self, looked: Result<Looked, Refusal>) -> Turn {
        match looked {
            Err(refusal) => self.end(refusal),
            Ok(Looked::Page(Page::Entries(entries))) => return self.cursor.take_page(&entries, &self.principal),
            Ok(Looked::Page(Page::Compacted(oldest))) => self.end(compacted(self.cursor.position(), oldest)),
            Ok(Looked::Snapshot((messages, next))) => {
                for message in messages {
                    self.say_under(None, Kind::Snapshot(message));
                }
                match (next, &mut self.snapshot) {
                    (Some(next), Some(snapshot)) => snapshot.1 = next,
                    _ => {
                        self.snapshot = None;
                        let revision = count(self.cursor.position().0);
                        self.say(Kind::SnapshotEnd(v1::WatchSnapshotEnd { revision }));
                    }
                }
            }
        }
        Turn::Again
    }

    /// The next moment at which something is due.
    fn due(&self) -> Instant {
        let progress = self.said_at + self.interval;
        let credentials = self.standing.due_in(&self.gate).map(|wait| clock::timer_now() + wait);
        [Some(progress), credentials, self.deadline].into_iter().flatten().min().unwrap_or(progress)
    }

    /// An alarm that rings too early costs one look; setting it with each message would cost more.
    fn set_alarm(&mut self) {
        let due = self.due();
        if self.sleep.is_elapsed() || self.sleep.deadline() > due {
            self.sleep.as_mut().reset(due);
        }
    }

    fn tell(&mut self, batch: Batch) -> Frame {
        let token = (!batch.more).then(|| self.scope.token(self.cursor.position()));
        Frame::Events(batch, token)
    }

    fn progress_is_due(&self) -> bool {
        let passed = self.cursor.position().0.saturating_sub(self.told.0);
        clock::timer_now() >= self.said_at + self.interval || passed >= PASSED_MAX
    }

    fn said(&mut self) {
        self.said_at = clock::timer_now();
        self.told = self.cursor.position();
    }
}

impl Stream for Watch {
    type Item = Result<Frame, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let watch = self.get_mut();
        // A caller who reads fast must not keep its task from letting others have their turn.
        let coop = ready!(tokio::task::coop::poll_proceed(context));
        loop {
            if let Some(next) = watch.outbox.pop_front() {
                coop.made_progress();
                watch.said();
                return Poll::Ready(Some(next));
            }
            if watch.ended {
                return Poll::Ready(None);
            }
            watch.check();
            if !watch.outbox.is_empty() {
                continue;
            }
            let turn = match &mut watch.look {
                Some(look) => {
                    let looked = ready!(look.as_mut().poll(context));
                    watch.look = None;
                    watch.looked(looked)
                }
                None if watch.snapshot.is_some() => {
                    watch.read_snapshot();
                    continue;
                }
                None => watch.cursor.turn(watch.seat.shared(), &watch.principal),
            };
            match turn {
                Turn::Tell(batch) => {
                    coop.made_progress();
                    let frame = watch.tell(batch);
                    watch.said();
                    return Poll::Ready(Some(Ok(frame)));
                }
                Turn::Read => {
                    let position = watch.cursor.position();
                    watch.look = Some(watch.reading(move |reader| Cursor::page(reader, position).map(Looked::Page)));
                }
                Turn::Again if watch.outbox.is_empty() && !watch.ended => {
                    if watch.progress_is_due() {
                        watch.say_progress();
                    }
                    context.waker().wake_by_ref();
                    if watch.outbox.is_empty() {
                        return Poll::Pending;
                    }
                }
                Turn::Again => {}
                Turn::Idle if watch.progress_is_due() => watch.say_progress(),
                Turn::Idle => {
                    watch.set_alarm();
                    if watch.sleep.as_mut().poll(context).is_pending() && watch.seat.slot.sleep(context.waker()) {
                        return Poll::Pending;
                    }
                }
            }
        }
    }
}

/// The refusal of what was forgotten.
pub(crate) fn compacted(position: Revision, oldest: Revision) -> Refusal {
    let message = "what comes next was forgotten; start from a snapshot";
    Refusal::new(Code::OutOfRange, "RESUME_COMPACTED", message)
        .with("oldest_revision", oldest.0)
        .with("resume_revision", position.next().0)
}

/// The refusal of a watch that the caller may not have.
pub(crate) fn forbidden(principal: &Principal, filter: &Filter) -> Refusal {
    let app = match &filter.apps {
        Apps::One(app) => app.clone(),
        Apps::Any(_) => principal.app.clone().unwrap_or_else(AppName::system),
    };
    gate::rejected(Rejection::Forbidden { principal: principal.name.clone(), needs: Role::Viewer, app })
}
