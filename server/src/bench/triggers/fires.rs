//! When the triggers of the bench are to fire, and what came of it: every time that is due is looked for in the log of
//! events, and must be there once.

use std::{
    collections::HashSet,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use hdrhistogram::Histogram;
use semel_proto::v1::{
    self, EventKind, event::Subject, watch_response::Kind, watch_service_client::WatchServiceClient,
};
use tonic::{Status, Streaming};

use super::{FIRES_PER_S, made::LABEL};
use crate::bench::{
    Error,
    sample::{histogram, nanos},
    site::{Site, authorized},
};

/// How long the making of those that fire may take, the first time; each further time it may take twice as long.
const MAKING_MAX: Duration = Duration::from_secs(2);
/// Messages of a watch hold many events.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// How the fires lie within a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// One in each millisecond.
    Spread,
    /// All of them at one instant.
    Burst,
}

impl Shape {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Spread => "spread",
            Self::Burst => "burst",
        }
    }
}

/// Which triggers fire when: each of them once in a period, from a start up to an end. Times are milliseconds since 1970.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    shape: Shape,
    attempt: u32,
    /// How many there are, numbered from 0.
    pub(super) firing: u64,
    start: u64,
    span: u64,
}

impl Plan {
    /// One that begins soon.
    pub(super) fn new(shape: Shape, attempt: u32, firing: u64, span: Duration) -> Self {
        let start = millis(now() + MAKING_MAX * 2_u32.saturating_pow(attempt));
        Self { shape, attempt, firing, start, span: millis(span) }
    }

    /// The label of its jobs.
    pub(super) fn label(&self) -> String {
        format!("{}-{}", self.shape.name(), self.attempt)
    }

    /// From one fire of a trigger to its next.
    pub(super) fn period(&self) -> u64 {
        self.firing * 1000 / FIRES_PER_S
    }

    /// When a trigger fires first.
    pub(super) fn first(&self, number: u64) -> u64 {
        self.start
            + match self.shape {
                Shape::Spread => number * 1000 / FIRES_PER_S,
                Shape::Burst => number / FIRES_PER_S * 1000,
            }
    }

    /// The first moment at which none fires any more.
    pub(super) fn end(&self) -> u64 {
        self.start + self.span
    }

    /// How many times there are in all.
    pub(super) fn count(&self) -> usize {
        let times = |number| self.end().saturating_sub(self.first(number)).div_ceil(self.period());
        usize::try_from((0..self.firing).map(times).sum::<u64>()).unwrap_or(usize::MAX)
    }

    /// How long it is until it begins.
    pub(super) fn starts_in(&self) -> Duration {
        Duration::from_millis(self.start).saturating_sub(now())
    }

    fn is_due(&self, number: u64, at: u64) -> bool {
        let first = self.first(number);
        number < self.firing && (first..self.end()).contains(&at) && (at - first).is_multiple_of(self.period())
    }
}

/// What came of a plan.
pub(super) struct Fires {
    plan: Plan,
    /// Which trigger fired for which time.
    fired: HashSet<(u64, u64)>,
    /// From the time that a fire was for to the time that its run bears, by the server's clock.
    pub(super) late: Histogram<u64>,
    /// From there to when a watcher had it: the commit is in it.
    pub(super) told: Histogram<u64>,
}

impl Fires {
    fn new(plan: Plan) -> Self {
        Self { plan, fired: HashSet::new(), late: histogram(), told: histogram() }
    }

    pub(super) fn count(&self) -> usize {
        self.fired.len()
    }

    fn is_whole(&self) -> bool {
        self.fired.len() >= self.plan.count()
    }

    fn take(&mut self, event: &v1::Event, now: Duration) -> Result<(), Error> {
        let Some(Subject::Trigger(fire)) = &event.subject else { return Ok(()) };
        let wrong = |what: &str| Error::Fires { why: format!("{} of {} {what}", fire.trigger, fire.job) };
        if event.kind() != EventKind::TriggerFired || fire.run_id.is_empty() {
            return Err(wrong(&format!("made no run: {}", fire.reason().as_str_name())));
        }
        let number = fire.trigger.trim_start_matches('t').parse().map_err(|_| wrong("is not of the bench"))?;
        let due = since_epoch(fire.scheduled_time.as_ref());
        if !self.plan.is_due(number, millis(due)) {
            return Err(wrong("fired for a time that is not its own"));
        }
        if !self.fired.insert((number, millis(due))) {
            return Err(wrong("fired twice for one time"));
        }
        self.late.saturating_record(nanos(since_epoch(event.time.as_ref()).saturating_sub(due)));
        self.told.saturating_record(nanos(now.saturating_sub(due)));
        Ok(())
    }
}

/// Watches what the triggers of a plan do, from now on.
///
/// # Errors
/// If it is refused.
pub(super) async fn watch(site: &Site, plan: &Plan) -> Result<Streaming<v1::WatchResponse>, Error> {
    let request = v1::WatchRequest {
        app: site.app.clone(),
        labels: [(LABEL.to_owned(), plan.label())].into(),
        kinds: vec![EventKind::TriggerFired.into(), EventKind::TriggerSkipped.into()],
        ..Default::default()
    };
    let channel = site.connect(1).await?.remove(0);
    let mut client = WatchServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let opened = client.watch(authorized(&site.authorization(), request)).await.map_err(Error::refused)?;
    let mut messages = opened.into_inner();
    match messages.message().await.map_err(Error::refused)?.and_then(|message| message.kind) {
        Some(Kind::Opened(_)) => Ok(messages),
        other => Err(Error::refused(Status::data_loss(format!("a watch did not open, but said {other:?}")))),
    }
}

/// Listens until each time of the plan has fired.
///
/// # Errors
/// A time that made no run, or two, and one that nobody asked for.
pub(super) async fn collect(mut messages: Streaming<v1::WatchResponse>, plan: Plan) -> Result<Fires, Error> {
    let mut fires = Fires::new(plan);
    while !fires.is_whole() {
        let message = messages.message().await.map_err(Error::refused)?;
        let message = message.ok_or_else(|| Error::refused(Status::unavailable("the stream of a watcher ended")))?;
        let Some(Kind::Events(events)) = message.kind else { continue };
        let now = now();
        events.events.iter().try_for_each(|event| fires.take(event, now))?;
    }
    Ok(fires)
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn since_epoch(time: Option<&prost_types::Timestamp>) -> Duration {
    let time = time.cloned().unwrap_or_default();
    Duration::new(time.seconds.unsigned_abs(), time.nanos.unsigned_abs())
}

/// Milliseconds since 1970 as the protocol has them.
pub(super) fn to_proto(at: u64) -> prost_types::Timestamp {
    let at = Duration::from_millis(at);
    prost_types::Timestamp {
        seconds: i64::try_from(at.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(at.subsec_nanos()).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(shape: Shape) -> Plan {
        Plan { shape, attempt: 0, firing: 2000, start: 1_000_000, span: 5000 }
    }

    fn event(number: u64, at: u64, run_id: &str) -> v1::Event {
        let fire = v1::TriggerEvent {
            trigger: format!("t{number}"),
            scheduled_time: Some(to_proto(at)),
            run_id: run_id.to_owned(),
            ..Default::default()
        };
        let kind = if run_id.is_empty() { EventKind::TriggerSkipped } else { EventKind::TriggerFired };
        let time = Some(to_proto(at + 3));
        v1::Event { kind: kind.into(), time, subject: Some(Subject::Trigger(fire)), ..Default::default() }
    }

    #[test]
    fn a_thousand_are_due_in_each_second_either_way() {
        for shape in [Shape::Spread, Shape::Burst] {
            let plan = plan(shape);
            assert_eq!((plan.period(), plan.count()), (2000, 5000), "{shape:?}");
            let due = |at| (0..plan.firing).filter(|number| plan.is_due(*number, at)).count();
            let second: usize = (plan.start + 3000..plan.start + 4000).map(due).sum();
            assert_eq!(second, 1000, "{shape:?}");
            let most = (plan.start..plan.end()).map(due).max();
            assert_eq!(most, Some(if shape == Shape::Spread { 1 } else { 1000 }));
        }
    }

    #[test]
    fn a_fire_that_is_doubled_missed_or_foreign_is_noticed() {
        let mut fires = Fires::new(plan(Shape::Spread));
        let mut take = |number, at, run_id| fires.take(&event(number, at, run_id), Duration::from_millis(at + 5));
        take(7, 1_002_007, "a").expect("it was due");
        for (number, at, run_id, why) in [
            (7, 1_002_007, "b", "twice"),
            (7, 1_002_008, "b", "not its own"),
            (7, 1_006_007, "b", "not its own"),
            (2001, 1_000_001, "b", "not its own"),
            (8, 1_002_008, "", "made no run"),
        ] {
            let said = take(number, at, run_id).expect_err(why).to_string();
            assert!(said.contains(why), "{said}");
        }
        assert_eq!((fires.count(), fires.is_whole()), (1, false));
        assert_eq!((fires.late.max() / 10_000, fires.told.max() / 10_000), (300, 500));
    }
}
