//! The promises, checked. Knows only what callers saw, and at the very end what the reading half of the store shows
//! them. It shares no code with the engine's own way of deciding what is a duplicate.

use std::collections::{BTreeMap, BTreeSet};

use semel_core::{
    command::Command,
    id::{Millis, Revision, RunId, Timestamp},
    rejection::Rejection,
    reply::Reply,
    run::Phase,
    trigger::Standing,
};
use semel_server::{
    engine::{Answer, Disposition, Options},
    store::{DedupKey, Reader},
};

use crate::{
    archive::Archive,
    effects::{self, Effects},
    history::{Call, Entry, History, Outcome},
};

/// What was promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    /// C1: each id has at most one effect.
    OneEffect,
    /// C2: an OK implies exactly one effect, for ever after.
    OkStays,
    /// C3: a call that has taken effect is never decided again.
    DecidedOnce,
    /// C4: all OKs of an id are equal, and only the first may say that it took effect now.
    EqualAnswers,
    /// C5: one id is good for one request.
    Reuse,
    /// C6: an id past the window never takes effect.
    Window,
    /// C8: what was seen was durable.
    Durable,
    /// C9: no effect for whoever was refused.
    Refused,
    /// C10: at most one report of an attempt is taken, and only from its holder.
    Fencing,
    /// C11: once faults stop, everything ends.
    Liveness,
    /// The log of events has no gap, and its positions and times only grow.
    Log,
    /// A run goes its way once, and terminal states bind.
    RunLife,
    /// D13: two requests with one business key do not make two runs.
    UniqueKey,
    /// Paused jobs start nothing, and no job more than it may.
    Limit,
    /// Nothing is handed to a worker that is silent for longer than its lease.
    Lease,
    /// A former owner does nothing.
    Epoch,
    /// D11: the window has a bound.
    Bound,
    /// The store finds nothing to refuse.
    Store,
    /// Each time of a trigger is settled once, by a run or with a reason.
    Triggers,
    /// The code finds nothing wrong with itself.
    Panic,
}

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) rule: Rule,
    pub(crate) what: String,
}

pub(crate) fn violation(rule: Rule, what: impl Into<String>) -> Violation {
    Violation { rule, what: what.into() }
}

/// What callers saw of one id in one app.
#[derive(Default)]
struct Ledger<'h> {
    /// Each request that was sent under it, and whether any arrival of it had a right.
    variants: BTreeMap<String, bool>,
    first_ok: Option<(&'h Answer, &'h Call)>,
    executed: u32,
    ok_heard: bool,
    expired_heard: bool,
    /// Arrivals that were sent after an OK was heard, and after an expiry was.
    after_ok: BTreeSet<usize>,
    after_expired: BTreeSet<usize>,
    /// The latest server time at which a decision refused it, with what was said.
    refused_at: BTreeMap<String, (Timestamp, String)>,
    arrivals: u32,
    heard: u32,
}

/// Everything that is wrong with a history. `slack` is how far the time that the server shows may have gone back.
pub(crate) fn check(
    history: &History,
    reader: &dyn Reader,
    archive: &Archive,
    options: &Options,
    slack: Millis,
    standings: &[Standing],
) -> (Vec<Violation>, Effects) {
    let mut violations = Vec::new();
    let mut ledgers: BTreeMap<DedupKey, Ledger<'_>> = BTreeMap::new();
    for (_, entry) in &history.lines {
        match entry {
            Entry::Sent(arrival) => {
                let call = history.call_of(*arrival);
                ledgers.entry(call.key()).or_default().sent(*arrival, call, history.arrivals[*arrival].had_right);
            }
            Entry::Heard(arrival, server_time, outcome) => {
                let call = history.call_of(*arrival);
                let ledger = ledgers.entry(call.key()).or_default();
                let had_right = history.arrivals[*arrival].had_right;
                ledger.heard(&mut violations, options, *arrival, call, had_right, *server_time, outcome);
            }
            Entry::Read(..) | Entry::Note(_) => {}
        }
    }
    let sent = ledgers.keys().cloned().collect();
    let effects = effects::read(&mut violations, reader, archive, options, &sent, standings);
    for (key, ledger) in &ledgers {
        ledger.settle(&mut violations, key, &effects, options, slack);
    }
    for key in effects.by_request.keys().filter(|key| !ledgers.contains_key(key)) {
        violations.push(violation(Rule::Refused, format!("{key:?} took effect, and nobody sent it")));
    }
    check_reports(&mut violations, history);
    check_reads(&mut violations, history, &effects);
    (violations, effects)
}

impl<'h> Ledger<'h> {
    fn sent(&mut self, arrival: usize, call: &Call, had_right: Option<bool>) {
        *self.variants.entry(name_of(call)).or_default() |= had_right == Some(true);
        self.arrivals += 1;
        if self.ok_heard {
            self.after_ok.insert(arrival);
        }
        if self.expired_heard {
            self.after_expired.insert(arrival);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a line of the history, and what it is judged by")]
    fn heard(
        &mut self,
        violations: &mut Vec<Violation>,
        options: &Options,
        arrival: usize,
        call: &'h Call,
        had_right: Option<bool>,
        server_time: Timestamp,
        outcome: &'h Outcome,
    ) {
        self.heard += 1;
        let mut broken =
            |rule, what: &str| violations.push(violation(rule, format!("#{arrival} of {}: {what}", call.id)));
        let oldest = server_time.minus(options.window.length);
        let minted_at = call.id.minted_at();
        match outcome {
            Outcome::Ok(answer) => {
                if had_right != Some(true) {
                    broken(Rule::Refused, "OK without a right on the app");
                }
                if minted_at < oldest || minted_at > server_time.plus(options.window.future_max) {
                    broken(Rule::Window, "OK outside the window");
                }
                self.ok(&mut broken, arrival, call, answer);
            }
            Outcome::Unauthenticated => {}
            Outcome::Refused(_) => match outcome.rejection() {
                Some(Rejection::RequestIdExpired { .. }) => {
                    self.expired_heard = true;
                    if minted_at >= oldest {
                        broken(Rule::Window, "EXPIRED inside the window");
                    }
                }
                Some(Rejection::RequestIdInFuture { .. }) if minted_at <= server_time => {
                    broken(Rule::Window, "IN_FUTURE, and it is past");
                }
                Some(Rejection::RequestIdReused { .. }) if self.variants.len() < 2 => {
                    broken(Rule::Reuse, "REUSED, and nobody sent anything else under this id");
                }
                Some(
                    Rejection::RequestIdInFuture { .. }
                    | Rejection::RequestIdReused { .. }
                    | Rejection::Forbidden { .. },
                ) => {}
                _ => self.decided(&mut broken, arrival, call, server_time, outcome),
            },
        }
    }

    fn ok(&mut self, broken: &mut impl FnMut(Rule, &str), arrival: usize, call: &'h Call, answer: &'h Answer) {
        self.ok_heard = true;
        if answer.disposition == Disposition::Executed {
            self.executed += 1;
            if self.executed > 1 {
                broken(Rule::EqualAnswers, "EXECUTED for the second time");
            }
            if self.after_ok.contains(&arrival) {
                broken(Rule::EqualAnswers, "EXECUTED, though it was sent after an OK was heard");
            }
            if self.after_expired.contains(&arrival) {
                broken(Rule::Window, "EXECUTED, though it was sent after EXPIRED was heard");
            }
            if answer.arrivals != 1 {
                broken(Rule::EqualAnswers, "EXECUTED, and yet not the first arrival");
            }
        }
        let Some((first, of)) = self.first_ok else {
            self.first_ok = Some((answer, call));
            return;
        };
        if of.variant() != call.variant() {
            broken(Rule::Reuse, "OK, and another request had an OK under this id");
        }
        let what = |answer: &Answer| (answer.method, answer.reply.clone(), answer.execute_time, answer.revision);
        if what(first) != what(answer) {
            broken(Rule::EqualAnswers, &format!("{:?} and {:?}", what(first), what(answer)));
        }
    }

    /// The rules of the domain refused it, so it was decided (again).
    fn decided(
        &mut self,
        broken: &mut impl FnMut(Rule, &str),
        arrival: usize,
        call: &Call,
        server_time: Timestamp,
        outcome: &Outcome,
    ) {
        let is_same = self.first_ok.is_some_and(|(_, of)| of.variant() == call.variant());
        if self.after_ok.contains(&arrival) && is_same {
            broken(Rule::OkStays, &format!("refused after an OK was heard: {outcome:?}"));
        }
        let refused = self.refused_at.entry(name_of(call)).or_insert((server_time, String::new()));
        if server_time >= refused.0 {
            *refused = (server_time, format!("#{arrival} {outcome:?}"));
        }
    }

    /// Compares what was seen with what is there at the end.
    fn settle(
        &self,
        violations: &mut Vec<Violation>,
        key: &DedupKey,
        effects: &Effects,
        options: &Options,
        slack: Millis,
    ) {
        let mut broken = |rule, what: String| violations.push(violation(rule, format!("{key:?}: {what}")));
        let none = Vec::new();
        let found = effects.by_request.get(key).unwrap_or(&none);
        let runs = effects.runs_of_request.get(key).map_or(0, Vec::len);
        if found.len() > 1 || runs > 1 {
            broken(Rule::OneEffect, format!("{} effects and {runs} runs: {found:?}", found.len()));
        }
        for effect in found {
            if effect.time.0 - key.request_id.minted_at().0 > options.window.length.0 {
                broken(Rule::Window, format!("took effect past the window: {effect:?}"));
            }
            let principal = format!("{:?}", effect.principal);
            if !self.variants.iter().any(|(name, had_right)| *had_right && name.contains(&principal)) {
                broken(Rule::Refused, format!("took effect, and no arrival had a right: {effect:?}"));
            }
            for (variant, (at, refusal)) in &self.refused_at {
                let is_same = match self.first_ok {
                    Some((_, of)) => *variant == name_of(of),
                    None => self.variants.len() == 1,
                };
                if is_same && *at > effect.time.plus(slack) {
                    broken(
                        Rule::DecidedOnce,
                        format!("took effect at {effect:?}, and was refused at {at:?}: {refusal}"),
                    );
                }
            }
        }
        match self.first_ok {
            Some((answer, call)) => settle_ok(&mut broken, answer, call, found, runs, effects),
            None if self.heard == self.arrivals && !found.is_empty() => {
                broken(Rule::Refused, format!("all arrivals were refused, and yet: {found:?}"));
            }
            None => {}
        }
    }
}

/// An OK, and what there must be for it.
fn settle_ok(
    broken: &mut impl FnMut(Rule, String),
    answer: &Answer,
    call: &Call,
    found: &[effects::Effect],
    runs: usize,
    effects: &Effects,
) {
    let expected = if is_without_effect(answer, call, found) { 0 } else { 1 };
    if found.len() < expected {
        broken(Rule::OkStays, format!("OK, and no effect is there: {answer:?}"));
    }
    if found.len() > expected {
        broken(Rule::OneEffect, format!("OK without an effect of its own, and yet: {found:?}"));
    }
    if answer.revision > effects.last {
        broken(Rule::Durable, format!("OK at {:?}, and the log ends at {:?}", answer.revision, effects.last));
    }
    for effect in found {
        if (effect.revision, effect.time) != (answer.revision, answer.execute_time)
            || effect.principal != call.who.to_string()
        {
            broken(Rule::OkStays, format!("OK says {answer:?}, the log says {effect:?}"));
        }
    }
    let made = match &answer.reply {
        Reply::Run { run_id, existing, .. } => Some((*run_id, !existing)),
        Reply::Retried { run_id, created, .. } => Some((*run_id, *created)),
        _ => None,
    };
    if let Some((run_id, is_own)) = made {
        let run = effects.runs.get(&run_id);
        if run.is_none() {
            broken(Rule::OkStays, format!("OK, and there is no run {run_id}"));
        }
        if is_own && (runs != 1 || run.is_some_and(|run| run.request_id != Some(call.id))) {
            broken(Rule::OkStays, format!("run {run_id} is not that of this request ({runs} are)"));
        }
    }
}

/// Whether the answer says that nothing had to happen.
fn is_without_effect(answer: &Answer, call: &Call, found: &[effects::Effect]) -> bool {
    match (&answer.reply, &call.command) {
        (Reply::Run { existing, .. }, _) => *existing,
        (Reply::RunPhase(Phase::Cancelling), _) => found.is_empty(),
        // Resuming what is not paused, a log that is full, and a backfill that is none change nothing.
        (
            _,
            Command::ResumeJob { .. }
            | Command::AppendLog { .. }
            | Command::ResumeTrigger { .. }
            | Command::BackfillTrigger { .. }
            | Command::CancelBackfill { .. },
        ) => found.is_empty(),
        _ => false,
    }
}

fn name_of(call: &Call) -> String {
    format!("{:?}", call.variant())
}

/// C10, as the workers saw it: of all reports of one attempt, one was taken.
fn check_reports(violations: &mut Vec<Violation>, history: &History) {
    let mut taken: BTreeMap<(RunId, u32), BTreeSet<DedupKey>> = BTreeMap::new();
    for (_, entry) in &history.lines {
        let Entry::Heard(arrival, _, outcome) = entry else { continue };
        let call = history.call_of(*arrival);
        if let (Outcome::Ok(_), Command::ReportAttempt { attempt, .. }) = (&**outcome, &call.command) {
            taken.entry((attempt.run_id, attempt.number.0)).or_default().insert(call.key());
        }
    }
    for (attempt, reports) in taken.into_iter().filter(|(_, reports)| reports.len() > 1) {
        violations.push(violation(Rule::Fencing, format!("of attempt {attempt:?} these were taken: {reports:?}")));
    }
}

/// C8, and that terminal states bind, as whoever looked saw it.
fn check_reads(violations: &mut Vec<Violation>, history: &History, effects: &Effects) {
    let mut last: BTreeMap<RunId, (Phase, u32, Revision)> = BTreeMap::new();
    let read = |entry: &Entry| match entry {
        Entry::Read(run_id, Some((phase, attempt, revision))) => Some((*run_id, (*phase, attempt.0, *revision))),
        _ => None,
    };
    let at_the_end = effects.runs.values().map(|run| (run.id, (run.state.phase(), run.attempt.0, run.revision)));
    for (run_id, now) in history.lines.iter().filter_map(|(_, entry)| read(entry)).chain(at_the_end) {
        if let Some(before) = last.insert(run_id, now) {
            if before.0.is_terminal() && before != now {
                violations.push(violation(Rule::RunLife, format!("run {run_id} was {before:?} and is {now:?}")));
            }
            if before.1 > now.1 || before.2 > now.2 {
                violations.push(violation(Rule::Durable, format!("run {run_id} went back from {before:?} to {now:?}")));
            }
        }
    }
    for run_id in last.keys().filter(|run_id| !effects.runs.contains_key(run_id)) {
        violations.push(violation(Rule::Durable, format!("run {run_id} was seen, and is not there")));
    }
}
