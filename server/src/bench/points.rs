//! What is measured: the list of points, each with what it is compared with. The only place that knows all of them.

use std::time::Duration;

use super::{
    Error, Target,
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

/// The points of these names and what they are compared with; all, if there are no names.
///
/// # Errors
/// [`Error::NoSuchPoint`].
pub(super) fn chosen(only: &[String]) -> Result<Vec<&'static Point>, Error> {
    if let Some(name) = only.iter().find(|name| !names().contains(&name.as_str())) {
        return Err(Error::NoSuchPoint { name: name.clone() });
    }
    let named = |point: &Point| only.is_empty() || only.iter().any(|name| name == point.name);
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
            Self::SubmitRuns(flow) => stream::runs(&Site::open(target).await?, IDLE_JOB, flow, seconds).await,
            Self::Start => whole::starts(&Site::open(target).await?, seconds).await,
            Self::Noop(workers) => whole::noops(&Site::open(target).await?, workers, seconds).await,
        }
    }

    /// How many calls or items are under way, and over how many connections.
    pub(super) fn shape(self) -> Shape {
        match self {
            Self::Echo(shape) | Self::RunJob(shape) => shape,
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
        let chosen: Vec<&str> =
            chosen(&["job_512".to_owned()]).expect("known").iter().map(|point| point.name).collect();
        assert_eq!(chosen, ["echo_512", "job_512"]);
        for (at, point) in POINTS.iter().enumerate() {
            for against in point.against {
                assert!(names()[..at].contains(against), "{} is compared with {against}", point.name);
            }
        }
    }

    #[test]
    fn a_point_that_does_not_exist_is_told() {
        assert!(matches!(chosen(&["job_7".to_owned()]), Err(Error::NoSuchPoint { name }) if name == "job_7"));
        assert_eq!(chosen(&[]).expect("all").len(), POINTS.len());
    }
}
