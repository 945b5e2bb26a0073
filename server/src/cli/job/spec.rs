//! The definition of a job, from flags or from a file. Flags go over the file; the server judges the values.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use semel_proto::v1::JobSpec;

use crate::cli::{
    failure::Failure,
    files,
    job_file::{self, Form, OnLost, put_span},
    parse,
    payload::PayloadArgs,
};

/// See the module.
#[derive(Args, Debug, Default)]
pub(crate) struct SpecArgs {
    /// Takes the definition from a file, as YAML or JSON if its name ends so, else as TOML
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The processor that a worker must offer, for instance `exec`
    #[arg(long, value_name = "NAME")]
    processor: Option<String>,
    #[command(flatten)]
    payload: PayloadArgs,
    /// How many attempts a run may have, the first one included
    #[arg(long, value_name = "N")]
    max_attempts: Option<i32>,
    /// The wait before the second attempt
    #[arg(long, value_name = "SPAN", value_parser = parse::duration)]
    backoff: Option<Duration>,
    /// By what the wait grows with each attempt
    #[arg(long, value_name = "FACTOR")]
    backoff_multiplier: Option<f64>,
    /// The longest wait between two attempts
    #[arg(long, value_name = "SPAN", value_parser = parse::duration)]
    backoff_max: Option<Duration>,
    /// How long one attempt may take
    #[arg(long, value_name = "SPAN", value_parser = parse::duration)]
    attempt_timeout: Option<Duration>,
    /// How long a run may take, waiting included
    #[arg(long, value_name = "SPAN", value_parser = parse::duration)]
    run_timeout: Option<Duration>,
    /// How many runs may hold a worker at a time; 0 means no limit
    #[arg(long, value_name = "N")]
    max_running: Option<i32>,
    /// Which runs go first when workers are short: higher first, -100 to 100
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    priority: Option<i32>,
    /// What a worker that is lost in the middle of an attempt means: `retry` runs at least once, `fail` at most once
    #[arg(long, value_name = "WHAT", value_enum)]
    on_lost: Option<OnLost>,
    /// A label of the job and of its runs; may be given more than once
    #[arg(short, long = "label", value_name = "KEY=VALUE", value_parser = parse::label)]
    labels: Vec<(String, String)>,
    /// What it is for, for people
    #[arg(long)]
    description: Option<String>,
}

impl SpecArgs {
    /// The definition: that of the file if there is one, else the present one if it is to be kept, else an empty one;
    /// and over it what the flags say.
    pub(super) fn build(&self, present: Option<JobSpec>) -> Result<JobSpec, Failure> {
        let mut spec = match &self.file {
            Some(path) => read(path)?,
            None => present.unwrap_or_default(),
        };
        self.apply(&mut spec)?;
        if spec.processor.is_empty() {
            return Err(Failure::usage("a job needs a processor: give --processor, or a file with --file"));
        }
        Ok(spec)
    }

    fn apply(&self, spec: &mut JobSpec) -> Result<(), Failure> {
        put(&mut spec.processor, self.processor.clone());
        if let Some(payload) = self.payload.read()? {
            spec.payload = Some(payload);
        }
        let has_retry = self.max_attempts.is_some()
            || self.backoff.is_some()
            || self.backoff_multiplier.is_some()
            || self.backoff_max.is_some();
        if has_retry {
            let retry = spec.retry.get_or_insert_default();
            put(&mut retry.max_attempts, self.max_attempts);
            put(&mut retry.multiplier, self.backoff_multiplier);
            put_span(&mut retry.initial_backoff, self.backoff);
            put_span(&mut retry.max_backoff, self.backoff_max);
        }
        put_span(&mut spec.attempt_timeout, self.attempt_timeout);
        put_span(&mut spec.run_timeout, self.run_timeout);
        put(&mut spec.max_running, self.max_running);
        put(&mut spec.priority, self.priority);
        put(&mut spec.lost_worker, self.on_lost.map(i32::from));
        put(&mut spec.description, self.description.clone());
        spec.labels.extend(self.labels.iter().cloned());
        Ok(())
    }
}

fn put<T>(field: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *field = given;
    }
}

fn read(path: &Path) -> Result<JobSpec, Failure> {
    let text = files::read_text(path)?;
    let parsed = job_file::parse(&text, Form::of(path), path.parent().unwrap_or(Path::new("")));
    parsed.map_err(|problem| Failure::usage(format!("{}: {problem}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str, text: &str, args: SpecArgs) -> Result<JobSpec, Failure> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        SpecArgs { file: Some(path), ..args }.build(None)
    }

    #[test]
    fn json_says_the_same_and_flags_go_over_it() {
        let json = r#"{"processor": "http", "retry": {"max_attempts": 3, "multiplier": 3}, "labels": {"a": "1"}}"#;
        let args = SpecArgs {
            processor: Some("exec".to_owned()),
            max_attempts: Some(5),
            labels: vec![("a".to_owned(), "2".to_owned()), ("b".to_owned(), "3".to_owned())],
            ..SpecArgs::default()
        };
        let spec = spec("job.json", json, args).expect("a good file");
        let retry = spec.retry.expect("a policy");
        assert_eq!((spec.processor.as_str(), retry.max_attempts), ("exec", 5));
        assert!((retry.multiplier - 3.0).abs() < f64::EPSILON);
        assert_eq!(spec.labels.values().collect::<Vec<_>>(), ["2", "3"]);
    }

    #[test]
    fn an_unknown_field_is_a_mistake_and_is_named() {
        let failure = spec("job.toml", "processor = \"exec\"\ntimeout = \"5m\"", SpecArgs::default());
        let block = failure.expect_err("unknown").block();
        assert!(block.contains("timeout") && block.contains("job.toml"), "{block}");
    }

    #[test]
    fn what_is_not_given_is_kept_when_merging() {
        let present = JobSpec { processor: "exec".to_owned(), max_running: 7, ..JobSpec::default() };
        let args = SpecArgs { priority: Some(4), ..SpecArgs::default() };
        let spec = args.build(Some(present)).expect("merges");
        assert_eq!((spec.processor.as_str(), spec.max_running, spec.priority), ("exec", 7, 4));
        assert!(spec.retry.is_none());
    }

    #[test]
    fn a_job_without_a_processor_is_a_mistake() {
        let args = SpecArgs { max_running: Some(2), ..SpecArgs::default() };
        assert!(args.build(None).expect_err("no processor").block().contains("--processor"));
    }
}
