//! What is measured: the list of points, each with what it is compared with. The only place that knows all of them.

use std::time::Duration;

use super::{
    Error, Target,
    eyes::Eyes,
    sample::Sample,
    site::{EchoSite, IDLE_JOB, Site},
    stream::{self, Flow},
    unary::{self, Shape},
    whole,
};

/// One point of the bench.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    /// As `--only` and the report have it.
    pub(super) name: &'static str,
    /// For people.
    pub(super) title: &'static str,
    /// What is done.
    pub(super) load: Load,
    /// The points of the same round that it is compared with; see [`Report`](super::report::Report) for how.
    pub(super) against: &'static [&'static str],
}

/// What is done at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Load {
    /// Unary calls of the bare echo.
    Echo(Shape),
    /// `RunJob`.
    RunJob(Shape),
    /// The same, on a server of the bench's own of which more is seen.
    Watched(Shape, Eyes),
    /// `SubmitRuns`.
    SubmitRuns(Flow),
    /// The stream of the bare echo.
    EchoStream(Flow),
    /// The time until an idle worker has a run.
    Start,
    /// Whole runs, with so many workers.
    Noop(usize),
}

/// A stream with an item in each message, and one with a hundred in each. The latter has as many outstanding as the server
/// takes of one stream before it reads no further: 40 messages, where a thousand items would be ten.
const SINGLE: Flow = Flow { outstanding: 1024, per_message: 1 };
const HUNDREDS: Flow = Flow { outstanding: 4096, per_message: 100 };

const fn shape(in_flight: usize, connections: usize) -> Shape {
    Shape { in_flight, connections }
}

/// What it costs to see more than a server tells by default.
const fn watched(name: &'static str, title: &'static str, eyes: Eyes) -> Point {
    Point { name, title, load: Load::Watched(shape(512, 8), eyes), against: &["job_512"] }
}

/// In the order in which they are measured: what is compared stands next to each other.
const POINTS: &[Point] = &[
    Point { name: "echo_1", title: "bare echo, 1 in flight", load: Load::Echo(shape(1, 1)), against: &[] },
    Point { name: "job_1", title: "RunJob, 1 in flight", load: Load::RunJob(shape(1, 1)), against: &["echo_1"] },
    Point { name: "echo_64", title: "bare echo, 64 in flight", load: Load::Echo(shape(64, 1)), against: &[] },
    Point { name: "job_64", title: "RunJob, 64 in flight", load: Load::RunJob(shape(64, 1)), against: &["echo_64"] },
    Point { name: "echo_512", title: "bare echo, 512 in flight", load: Load::Echo(shape(512, 8)), against: &[] },
    Point {
        name: "job_512",
        title: "RunJob, 512 in flight",
        load: Load::RunJob(shape(512, 8)),
        against: &["echo_512"],
    },
    watched("job_512_metrics", "RunJob, 512, metrics kept", Eyes::Metrics),
    watched("job_512_access", "RunJob, 512, access log", Eyes::Access),
    watched("job_512_audit", "RunJob, 512, all in the audit log", Eyes::Audit),
    watched("job_512_sampled", "RunJob, 512, a hundredth traced", Eyes::Traces { ratio: "0.01" }),
    watched("job_512_traced", "RunJob, 512, all traced", Eyes::Traces { ratio: "1" }),
    Point {
        name: "echo_stream_1",
        title: "bare echo, stream, 1 a message",
        load: Load::EchoStream(SINGLE),
        against: &[],
    },
    Point {
        name: "submit_1",
        title: "SubmitRuns, 1 a message",
        load: Load::SubmitRuns(SINGLE),
        against: &["echo_512", "echo_stream_1"],
    },
    Point {
        name: "echo_stream_100",
        title: "bare echo, stream, 100 a message",
        load: Load::EchoStream(HUNDREDS),
        against: &[],
    },
    Point {
        name: "submit_100",
        title: "SubmitRuns, 100 a message",
        load: Load::SubmitRuns(HUNDREDS),
        against: &["echo_512", "echo_stream_100"],
    },
    Point { name: "start", title: "submit to start, idle worker", load: Load::Start, against: &["echo_1", "job_1"] },
    Point { name: "noop_1", title: "whole runs, 1 worker", load: Load::Noop(1), against: &["echo_512"] },
    Point { name: "noop_2", title: "whole runs, 2 workers", load: Load::Noop(2), against: &["echo_512"] },
];

/// The name of the steady load, which is measured once, after the rounds.
pub(super) const STEADY: &str = "steady";

/// The name of the watchers, who are measured once as well.
pub(super) const WATCH: &str = "watch";

/// The name of the triggers, which are measured once as well.
pub(super) const TRIGGERS: &str = "triggers";

/// The names of all points.
pub(crate) fn names() -> Vec<&'static str> {
    POINTS.iter().map(|point| point.name).chain([STEADY, WATCH, TRIGGERS]).collect()
}

/// Whether something that is measured once is among what was asked for.
pub(super) fn is_chosen(only: &[String], once: &str) -> bool {
    only.is_empty() || only.iter().any(|name| name == once)
}

/// The points of these names and what they are compared with; all that can be measured there, if there are no names.
///
/// # Errors
/// [`Error::NoSuchPoint`], and [`Error::OwnOnly`] for what is named and needs another server than the one that is given.
pub(super) fn chosen(only: &[String], target: &Target) -> Result<Vec<&'static Point>, Error> {
    let is_named = |point: &Point| only.iter().any(|name| name == point.name);
    if let Some(name) = only.iter().find(|name| !names().contains(&name.as_str())) {
        return Err(Error::NoSuchPoint { name: name.clone() });
    }
    let is_possible = |point: &Point| point.load.is_possible(target);
    if let Some(point) = POINTS.iter().find(|point| is_named(point) && !is_possible(point)) {
        return Err(Error::OwnOnly { what: point.name, why: "has settings of its own" });
    }
    let named = |point: &Point| is_possible(point) && (only.is_empty() || is_named(point));
    let needed =
        |point: &&Point| named(point) || POINTS.iter().any(|other| named(other) && other.against.contains(&point.name));
    Ok(POINTS.iter().filter(needed).collect())
}

impl Load {
    /// Measures once. Each point of Semel begins with a server and an empty store of its own, or it would be measured on
    /// what those before it left.
    ///
    /// # Errors
    /// The first failure.
    pub(super) async fn run(self, echo: &EchoSite, target: &Target, seconds: Duration) -> Result<Sample, Error> {
        match self {
            Self::Echo(shape) => unary::echo(echo, shape, seconds).await,
            Self::EchoStream(flow) => stream::echo(echo, flow, seconds).await,
            Self::RunJob(shape) => unary::runs(&Site::open(target).await?, shape, seconds).await,
            Self::Watched(shape, eyes) => {
                let site = Site::own(target.parent(), eyes.settings(echo)).await?;
                unary::runs(&site, shape, seconds).await
            }
            Self::SubmitRuns(flow) => stream::runs(&Site::open(target).await?, IDLE_JOB, flow, seconds).await,
            Self::Start => whole::starts(&Site::open(target).await?, seconds).await,
            Self::Noop(workers) => whole::noops(&Site::open(target).await?, workers, seconds).await,
        }
    }

    /// Whether it can be measured on such a server: one that is given has the settings that it has.
    fn is_possible(self, target: &Target) -> bool {
        !matches!((self, target), (Self::Watched(..), Target::Given { .. }))
    }

    /// How many calls or items are under way, and over how many connections.
    pub(super) fn shape(self) -> Shape {
        match self {
            Self::Echo(shape) | Self::RunJob(shape) | Self::Watched(shape, _) => shape,
            Self::EchoStream(flow) | Self::SubmitRuns(flow) => shape(flow.outstanding, 1),
            Self::Start => shape(1, 1),
            Self::Noop(_) => shape(whole::UNDER_WAY, whole::CONNECTIONS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_point_is_compared_with_comes_along_and_stands_before_it() {
        assert_eq!(found(&["job_512"], &own()).expect("known"), ["echo_512", "job_512"]);
        for (at, point) in POINTS.iter().enumerate() {
            for against in point.against {
                assert!(names()[..at].contains(against), "{} is compared with {against}", point.name);
            }
        }
    }

    #[test]
    fn a_point_that_does_not_exist_is_told() {
        assert!(matches!(found(&["job_7"], &own()), Err(Error::NoSuchPoint { name }) if name == "job_7"));
        assert_eq!(found(&[], &own()).expect("all").len(), POINTS.len());
    }

    #[test]
    fn what_needs_other_settings_is_not_measured_on_a_server_that_was_given() {
        let given = Target::Given { url: String::new(), app: String::new(), secret: String::new() };
        let all = found(&[], &given).expect("the others");
        assert!(all.contains(&"job_512") && all.iter().all(|name| !name.starts_with("job_512_")), "{all:?}");
        let named = found(&["job_512_access"], &given);
        assert!(matches!(named, Err(Error::OwnOnly { what: "job_512_access", .. })), "{named:?}");
    }

    fn own() -> Target {
        Target::Own { parent: None }
    }

    fn found(only: &[&str], target: &Target) -> Result<Vec<&'static str>, Error> {
        let only: Vec<String> = only.iter().map(|name| (*name).to_owned()).collect();
        Ok(chosen(&only, target)?.iter().map(|point| point.name).collect())
    }
}
