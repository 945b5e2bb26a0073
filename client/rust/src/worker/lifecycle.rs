//! Processors: starting them, telling them to stop, and what is made of their end. Nothing here speaks to the server;
//! what is to be said is put into the attempt's queue.

use std::{sync::Arc, time::Duration};

use semel_proto::v1::{Assignment, AttemptProgress, Credit, report::Outcome as Reported, work_request::Kind};
use tokio::{task::JoinError, time::Instant};

use super::{
    attempt::{self, AttemptKey, Held, Outgoing, Stop},
    context::{Ended, Event, Shared},
    link::Link,
    log::Wake,
    processor::ProcessError,
    runtime::{Phase, Runtime},
    timers::Timer,
};

/// How old a piece of a log may become before it is sent.
const LOG_AGE: Duration = Duration::from_millis(200);
/// How often the progress of an attempt is sent at most.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

impl Runtime {
    pub(super) fn on_assignment(&mut self, assignment: Assignment, now: Instant) {
        let key = AttemptKey::new(&assignment.run_id, assignment.attempt);
        if self.attempts.contains_key(&key) {
            tracing::debug!(attempt = %key, "already at work on it");
            return;
        }
        self.supersede(&key, now);
        let processor = self.settings.processors.get(&assignment.processor).cloned();
        let shared = Arc::new(Shared::new(key.clone(), assignment, self.events_tx.clone(), self.client.clone()));
        let refused = match &processor {
            _ if self.phase != Phase::Serving => Some(attempt::released("the worker is shutting down")),
            None => {
                let message = format!("this worker has no processor {:?}", shared.assignment.processor);
                Some(attempt::failed(ProcessError::failed(message)))
            }
            Some(_) if self.running >= self.settings.slots => Some(attempt::released("no slot is free")),
            Some(_) => None,
        };
        match (refused, processor) {
            (Some(outcome), _) => {
                self.attempts.insert(key.clone(), Held::new(shared, None));
                self.queue_report(&key, outcome);
            }
            (None, Some(processor)) => {
                tracing::debug!(attempt = %key, job = %shared.assignment.job, "starting");
                let task = tokio::spawn(processor.start(shared.context()));
                let abort = task.abort_handle();
                let events = self.events_tx.clone();
                self.attempts.insert(key.clone(), Held::new(shared, Some(abort)));
                self.running += 1;
                self.summary.attempts += 1;
                tokio::spawn(async move {
                    let ended = match task.await {
                        Ok(outcome) => Ended::Returned(outcome),
                        Err(error) => abnormal_end(error),
                    };
                    // This fails only when the worker is gone.
                    let _ = events.send(Event::Ended(key, ended)).await;
                });
            }
            (None, None) => {}
        }
    }

    /// An earlier attempt of the same run is over: the server would not hand out a later one otherwise. One whose last
    /// word is under way waits for the answer all the same: it may be the very report that ended it, whose
    /// acknowledgement the assignment has overtaken.
    fn supersede(&mut self, key: &AttemptKey, now: Instant) {
        let first = AttemptKey { run_id: key.run_id.clone(), attempt: i64::MIN };
        let earlier = self.attempts.range(first..key.clone());
        let earlier = earlier.filter(|(_, held)| held.task.is_some() || !held.in_flight);
        let earlier: Vec<_> = earlier.map(|(key, _)| key.clone()).collect();
        for key in earlier {
            self.attempt_over(&key, now);
        }
    }

    pub(super) fn on_event(&mut self, event: Event, now: Instant) {
        match event {
            Event::Log(key, Wake::Now) => self.flush_log(&key),
            Event::Log(key, _) => self.timers.set(now + LOG_AGE, Timer::FlushLog(key)),
            Event::Progress(key) => self.send_progress(&key, now),
            Event::Ended(key, ended) => self.on_ended(&key, ended),
        }
    }

    pub(super) fn on_timer(&mut self, timer: Timer, now: Instant) {
        match timer {
            Timer::FlushLog(key) => self.flush_log(&key),
            Timer::Progress(key) => self.send_progress(&key, now),
            Timer::Resend(key) => self.ready.push_back(key),
            Timer::Abort(key) => {
                if let Some(task) = self.attempts.get(&key).and_then(|held| held.task.as_ref()) {
                    tracing::warn!(attempt = %key, "the processor did not stop when told to, dropping it");
                    task.abort();
                }
            }
        }
    }

    fn flush_log(&mut self, key: &AttemptKey) {
        let Some(held) = self.attempts.get_mut(key) else { return };
        if held.stop == Stop::Over {
            return;
        }
        held.gather_log();
        self.ready.push_back(key.clone());
    }

    fn send_progress(&mut self, key: &AttemptKey, now: Instant) {
        let Some(held) = self.attempts.get_mut(key).filter(|held| held.stop != Stop::Over) else { return };
        if let Some(from) = held.progress_from.filter(|from| *from > now) {
            self.timers.set(from, Timer::Progress(key.clone()));
            return;
        }
        if !matches!(self.link, Link::Up(_)) {
            return;
        }
        let Some((fraction, message)) = held.shared.take_progress() else { return };
        held.progress_from = Some(now + PROGRESS_INTERVAL);
        let AttemptKey { run_id, attempt } = key;
        let progress = AttemptProgress { run_id: run_id.to_string(), attempt: *attempt, fraction, message };
        self.control(Kind::Progress(progress));
    }

    /// Sends what progress was set while nobody could take it.
    pub(super) fn send_all_progress(&mut self, now: Instant) {
        let running: Vec<_> =
            self.attempts.iter().filter(|(_, held)| held.task.is_some()).map(|(key, _)| key.clone()).collect();
        for key in running {
            self.send_progress(&key, now);
        }
    }

    fn on_ended(&mut self, key: &AttemptKey, ended: Ended) {
        let Some(held) = self.attempts.get_mut(key) else { return };
        held.task = None;
        self.running -= 1;
        let stop = held.stop;
        self.stopping -= usize::from(stop == Stop::Over);
        tracing::debug!(attempt = %key, ?stop, "the processor has ended");
        match attempt::outcome(stop, ended) {
            Some(outcome) => self.queue_report(key, outcome),
            None => self.forget(key),
        }
        self.update_credit();
    }

    /// Puts the rest of the log and then the report into the queue.
    fn queue_report(&mut self, key: &AttemptKey, outcome: Reported) {
        let Some(held) = self.attempts.get_mut(key) else { return };
        held.gather_log();
        held.queue.push_back(Outgoing::report(outcome));
        self.ready.push_back(key.clone());
    }

    /// Tells a processor to stop.
    pub(super) fn stop(&mut self, key: &AttemptKey, stop: Stop, now: Instant) {
        let Some(held) = self.attempts.get_mut(key).filter(|held| held.task.is_some()) else { return };
        if stop <= held.stop {
            return;
        }
        if held.stop == Stop::No {
            self.timers.set(now + self.settings.cancel_timeout, Timer::Abort(key.clone()));
        }
        if stop == Stop::LeaseLost {
            // Nobody may ever acknowledge its log: a processor that waits for that would not stop.
            held.gather_log();
            held.shared.log.close();
        }
        held.stop = stop;
        held.shared.cancelled.send_replace(true);
        self.stopping += usize::from(stop == Stop::Over);
    }

    pub(super) fn stop_all(&mut self, stop: Stop, now: Instant) {
        let running: Vec<_> =
            self.attempts.iter().filter(|(_, held)| held.task.is_some()).map(|(key, _)| key.clone()).collect();
        for key in running {
            self.stop(&key, stop, now);
        }
    }

    /// An attempt is over for the server: its processor is to stop, and there is nothing more to be said about it.
    pub(super) fn attempt_over(&mut self, key: &AttemptKey, now: Instant) {
        self.stop(key, Stop::Over, now);
        let Some(held) = self.attempts.get_mut(key) else { return };
        tracing::info!(attempt = %key, running = held.task.is_some(), "no longer this worker's");
        held.stop = Stop::Over;
        held.clear_queue();
        if held.task.is_none() {
            self.forget(key);
        }
        self.update_credit();
    }

    /// Takes an attempt that is over for the server out of the books.
    fn forget(&mut self, key: &AttemptKey) {
        self.attempts.remove(key);
        self.summary.stale += 1;
    }

    /// How many attempts the server may give this worker: fewer than there are slots while processors still stop whose
    /// attempts the server does not count any more.
    pub(super) fn wanted_credit(&self) -> usize {
        if self.phase != Phase::Serving {
            return 0;
        }
        self.settings.slots.saturating_sub(self.stopping)
    }

    pub(super) fn update_credit(&mut self) {
        // While draining the server gives no work anyway.
        if self.phase != Phase::Serving || !matches!(self.link, Link::Up(_)) {
            return;
        }
        let wanted = self.wanted_credit();
        if wanted != self.credit {
            self.credit = wanted;
            self.control(Kind::Credit(Credit { slots: i32::try_from(wanted).unwrap_or(i32::MAX) }));
        }
    }
}

fn abnormal_end(error: JoinError) -> Ended {
    if !error.is_panic() {
        return Ended::Aborted;
    }
    let panic = error.into_panic();
    let message = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "without a message".to_owned(),
    };
    Ended::Panicked(message)
}
