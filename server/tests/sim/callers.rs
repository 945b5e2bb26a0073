//! The callers: how each kind of them sends, waits, sends again, and goes wrong.

use semel_core::{
    command::Command,
    id::{AttemptNumber, RunId, Timestamp},
    rejection::Rejection,
    reply::Reply,
};

use crate::{
    history::{Arrival, ArrivalNo, Call, CallNo, Entry, Outcome, Who},
    plan::{self, EPOCH, chance, one_in},
    world::{Event, World},
};

/// How a caller behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    /// Sends under one id until it has an answer.
    Patient,
    /// Sends once and never asks again.
    GivesUp,
    /// Sits behind a proxy that sends copies: at once, later, out of order, minutes later.
    Mesh,
    /// Uses one id for several wishes.
    Reuser,
    /// Has a clock that is wrong.
    Skewed,
    /// Sends again when its id is about as old as the window.
    Late,
    /// May not do what it wishes, until somebody lets it.
    Stranger,
}

/// Who waits for the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A caller.
    Caller,
    /// A worker, that has said something of an attempt.
    Worker {
        /// Which worker.
        worker: usize,
        /// Which run.
        run_id: RunId,
        /// Which attempt.
        number: AttemptNumber,
        /// Whether the attempt is over with it.
        is_report: bool,
    },
}

/// Where a call stands for its caller.
#[derive(Clone, Debug)]
pub(crate) struct CallState {
    pub(crate) owner: Owner,
    habit: Habit,
    tries: u32,
    refusals: u32,
    pub(crate) is_done: bool,
}

impl CallState {
    /// Whether its caller still wants to know.
    pub(crate) fn is_open(&self) -> bool {
        !self.is_done && self.habit != Habit::GivesUp
    }
}

impl World {
    pub(crate) fn add_call(&mut self, call: Call, owner: Owner, habit: Habit) -> CallNo {
        self.history.calls.push(call);
        self.calls.push(CallState { owner, habit, tries: 0, refusals: 0, is_done: false });
        self.calls.len() - 1
    }

    /// A caller comes.
    pub(crate) fn new_call(&mut self) {
        use Habit::{GivesUp, Late, Mesh, Patient, Reuser, Skewed, Stranger};
        let habits = [Patient, Patient, Patient, GivesUp, Mesh, Mesh, Mesh, Reuser, Skewed, Late, Stranger];
        let habit = *plan::pick(&mut self.rng, &habits);
        let skew = if habit == Habit::Skewed { self.skew() } else { self.rng.i64(-500..500) };
        // Half of the callers correct their clocks by the server's.
        let at = EPOCH + self.now + if self.rng.bool() { self.offset_seen } else { 0 };
        let id = plan::mint(&mut self.rng, (at + skew).max(0));
        let command = match habit {
            Habit::Stranger => {
                let key = plan::any_job(&mut self.rng);
                Command::RunJob(plan::run_job(&mut self.rng, at, key))
            }
            _ => plan::any_command(&mut self.rng, at, id, &self.known_runs),
        };
        let is_own = plan::APPS.contains(&command.app().as_str()) && command.scope() == *command.app();
        let who = match habit {
            Habit::Stranger => Who::App(plan::app(plan::GUEST)),
            _ if is_own && self.rng.bool() => Who::App(command.app().clone()),
            _ => Who::Admin,
        };
        let call = self.add_call(Call::new(id, who, command), Owner::Caller, habit);
        self.after(0, Event::Send(call));
    }

    /// How wrong a clock is: a little too far ahead, about as far as is allowed, or about a window behind.
    fn skew(&mut self) -> i64 {
        let window = self.weather.options.window;
        let around = *plan::pick(&mut self.rng, &[window.future_max.0, window.future_max.0 / 2, -window.length.0]);
        around + self.rng.i64(-20_000..20_000)
    }

    /// The caller sends, and the proxies on the way do their worst.
    pub(crate) fn send(&mut self, call: CallNo) {
        let state = &mut self.calls[call];
        if state.is_done {
            return;
        }
        let is_first = state.tries == 0;
        state.tries += 1;
        let (tries, habit) = (state.tries, state.habit);
        self.send_arrival(call);
        let patience = (1000 << tries.min(6)) + self.rng.i64(0..1000);
        self.after(patience, Event::Timeout(call, tries));
        if is_first {
            self.send_what_follows_the_first(call, habit);
        }
    }

    fn send_what_follows_the_first(&mut self, call: CallNo, habit: Habit) {
        match habit {
            Habit::Mesh => {
                for _ in 0..self.rng.u32(1..6) {
                    let delay = match self.rng.u32(..5) {
                        0 => 0,
                        1 | 2 => self.rng.i64(0..100),
                        3 => self.rng.i64(0..10_000),
                        _ => self.rng.i64(0..600_000),
                    };
                    self.copy_after(delay, call);
                }
            }
            Habit::Reuser => {
                let (id, who) = (self.history.calls[call].id, self.history.calls[call].who.clone());
                let other = match self.rng.u32(..4) {
                    // The same wish under other credentials.
                    0 if who == Who::Admin => {
                        let command = self.history.calls[call].command.clone();
                        Call::new(id, Who::App(command.app().clone()), command)
                    }
                    0 => Call::new(id, Who::Admin, self.history.calls[call].command.clone()),
                    _ => Call::new(id, who, plan::other_wish(&mut self.rng, &self.history.calls[call].command)),
                };
                let other = self.add_call(other, Owner::Caller, Habit::Mesh);
                let delay = *plan::pick(&mut self.rng, &[0, 30, 5000, 120_000]);
                self.after(delay, Event::Send(other));
            }
            // It does not take EXPIRED for an answer: the clock may be set back once more.
            Habit::Skewed => {
                for _ in 0..self.rng.u32(0..5) {
                    let delay = self.rng.i64(0..200_000);
                    self.copy_after(delay, call);
                }
            }
            Habit::Late => {
                let length = self.weather.options.window.length.0;
                if length <= 1_800_000 {
                    let skew = self.server.offset();
                    for delay in [length - 2_000 - skew, length + 10 - skew, length + 400_000, 2 * length] {
                        let delay = delay + self.rng.i64(0..1_000);
                        self.copy_after(delay, call);
                    }
                }
            }
            _ => {}
        }
    }

    fn copy_after(&mut self, delay: i64, call: CallNo) {
        self.copies_due += 1;
        self.after(delay, Event::Copy(call));
    }

    pub(crate) fn send_copy(&mut self, call: CallNo) {
        self.send_arrival(call);
    }

    fn send_arrival(&mut self, call: CallNo) {
        let arrival = self.history.arrivals.len();
        self.history.arrivals.push(Arrival { call, had_right: None });
        self.history.lines.push((self.now, Entry::Sent(arrival)));
        self.stats.sent += 1;
        if !chance(&mut self.rng, self.weather.loss) {
            let delay = if one_in(&mut self.rng, 10) { self.rng.i64(0..5_000) } else { self.rng.i64(0..30) };
            self.after(delay, Event::Arrive(arrival));
        }
    }

    pub(crate) fn timeout(&mut self, call: CallNo, tries: u32) {
        let state = &self.calls[call];
        if state.is_open() && state.tries == tries {
            self.send(call);
        }
    }

    /// Puts an answer on its way back, on which it may be lost.
    pub(crate) fn answer(&mut self, arrival: ArrivalNo, server_time: Timestamp, outcome: Outcome) {
        self.stats.count(&outcome);
        if !chance(&mut self.rng, self.weather.loss) {
            let delay = self.rng.i64(0..50);
            self.after(delay, Event::Hear(arrival, server_time, Box::new(outcome)));
        }
    }

    pub(crate) fn hear(&mut self, arrival: ArrivalNo, server_time: Timestamp, outcome: Outcome) {
        let call = self.history.arrivals[arrival].call;
        self.history.lines.push((self.now, Entry::Heard(arrival, server_time, Box::new(outcome.clone()))));
        self.offset_seen = server_time.0 - EPOCH - self.now;
        if self.calls[call].is_done {
            return;
        }
        if let Some(delay) = self.tries_again(call, &outcome) {
            self.calls[call].refusals += 1;
            // Whoever waits for this try's time-out need not: it is sent again sooner or later anyway.
            self.calls[call].tries += 1;
            self.after(delay, Event::Send(call));
            return;
        }
        self.calls[call].is_done = true;
        if let Outcome::Ok(answer) = &outcome {
            self.follow_up(call, &answer.reply);
        }
        if let Owner::Worker { worker, run_id, number, is_report: true } = self.calls[call].owner {
            self.report_answered(worker, run_id, number, &outcome);
        }
    }

    /// After which time a refused call is sent again under its id; none if its caller takes the refusal.
    fn tries_again(&mut self, call: CallNo, outcome: &Outcome) -> Option<i64> {
        let state = &self.calls[call];
        let (habit, refusals) = (state.habit, state.refusals);
        let is_worker = matches!(state.owner, Owner::Worker { .. });
        if habit == Habit::GivesUp {
            return None;
        }
        match outcome {
            Outcome::Ok(_) => None,
            // The app of the credentials may be about to be made.
            Outcome::Unauthenticated => (refusals < 3).then_some(3_000),
            Outcome::Refused(_) => match outcome.rejection() {
                Some(Rejection::QuotaExceeded { .. }) => Some(self.rng.i64(20_000..60_000)),
                // It corrects its clock, and says it anew.
                Some(Rejection::RequestIdInFuture { .. }) if is_worker => None,
                Some(Rejection::RequestIdInFuture { ahead }) => (refusals < 5).then_some(ahead.0 + 10),
                Some(Rejection::Forbidden { .. }) if habit == Habit::Stranger && refusals < 3 => {
                    self.ask_for_rights();
                    Some(self.rng.i64(0..20_000))
                }
                Some(Rejection::RequestIdExpired { .. } | Rejection::RequestIdReused { .. }) => None,
                // Refusals record nothing, so asking again may be worth while.
                Some(_) => (refusals < 2 && one_in(&mut self.rng, 5)).then_some(7_000),
                None => Some(1_000),
            },
        }
    }

    /// Somebody asks the operator, who may or may not agree.
    fn ask_for_rights(&mut self) {
        if self.rng.bool() {
            let id = self.mint();
            let call = self.add_call(Call::new(id, Who::Admin, plan::grant(true)), Owner::Caller, Habit::Patient);
            self.after(500, Event::Send(call));
        }
    }

    fn follow_up(&mut self, call: CallNo, reply: &Reply) {
        let run_id = match reply {
            Reply::Run { run_id, .. } | Reply::Retried { run_id, .. } => *run_id,
            _ => return,
        };
        self.known_runs.push((self.history.calls[call].command.app().clone(), run_id));
        for _ in 0..self.rng.u32(0..4) {
            let delay = self.rng.i64(0..200_000);
            self.after(delay, Event::Read(run_id));
        }
    }
}
