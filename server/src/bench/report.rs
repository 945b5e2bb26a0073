//! The report, in the one form in which it is kept: JSON. Tables are made from it and from nothing else.

use std::time::SystemTime;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    Settings, Target,
    points::{Load, Point},
    procfs,
    sample::{Sample, Spread, figures},
};

/// The version of this form. A reader of another one is to say so and not to guess.
pub(super) const FORMAT: u64 = 1;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Report(pub(crate) Value);

impl Report {
    /// Of these points, with the samples of each in the order of the rounds.
    pub(super) fn new(settings: &Settings, points: &[&Point], samples: &[Vec<Sample>]) -> Self {
        let folder = match &settings.target {
            Target::Own { parent } => Some(parent.clone().unwrap_or_else(std::env::temp_dir)),
            Target::Given { .. } => None,
        };
        let of = |name: &str| {
            let at = points.iter().position(|point| point.name == name)?;
            Some(&samples[at])
        };
        let measured = points.iter().zip(samples).map(|(point, samples)| {
            let mut row = figures(samples);
            let shape = point.load.shape();
            let mut put = |name: &str, value| _ = row.insert(name.to_owned(), value);
            put("name", json!(point.name));
            put("title", json!(point.title));
            put("in_flight", json!(shape.in_flight));
            put("connections", json!(shape.connections));
            if point.load == Load::Start {
                let commits = of("echo_1").zip(of("job_1")).and_then(|(echo, job)| commits(samples, echo, job));
                put("commits", json!(commits));
            } else {
                let ratios =
                    point.against.iter().filter_map(|name| Some(((*name).to_owned(), ratio(samples, of(name)?)?)));
                put("ratios", Value::Object(ratios.collect::<Map<_, _>>()));
            }
            Value::Object(row)
        });
        Self(json!({
            "semel_bench": FORMAT,
            "version": env!("CARGO_PKG_VERSION"),
            "build": if cfg!(debug_assertions) { "debug" } else { "release" },
            "time": Timestamp::try_from(SystemTime::now()).map(|time| time.strftime("%FT%TZ").to_string()).ok(),
            "machine": procfs::machine(folder.as_deref()),
            "settings": {
                "server": if folder.is_some() { "own" } else { "given" },
                "rounds": settings.rounds,
                "seconds": settings.seconds.as_secs_f64(),
            },
            "points": measured.collect::<Vec<_>>(),
        }))
    }

    /// Adds what is measured once and not in rounds.
    pub(super) fn add(&mut self, name: &str, value: Value) {
        self.0[name] = value;
    }
}

/// The rate here over the rate there, round by round.
fn ratio(here: &[Sample], there: &[Sample]) -> Option<Value> {
    Spread::of(here.iter().zip(there).map(|(here, there)| here.rate() / there.rate())).map(Spread::json)
}

/// A latency in units of one durable commit, round by round: what `RunJob` takes above the echo when nothing else is
/// under way.
fn commits(here: &[Sample], echo: &[Sample], job: &[Sample]) -> Option<Value> {
    let p50 = |sample: &Sample| sample.micros(0.5);
    let rounds = here.iter().zip(echo.iter().zip(job));
    let commits = rounds.map(|(here, (echo, job))| (p50(here), p50(job) - p50(echo)));
    // Where a commit costs nothing that can be seen, there is no such unit.
    Spread::of(commits.filter(|(_, commit)| *commit > 0.0).map(|(here, commit)| here / commit)).map(Spread::json)
}
