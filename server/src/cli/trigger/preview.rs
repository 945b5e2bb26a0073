//! `semel trigger preview`: when a trigger would fire. Works without a job: `--cron '0 2 * * *' --zone Europe/Berlin`.

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use clap::Args;
use semel_proto::v1::{CronTimes, FixedRate, PreviewTriggerRequest, TimeList, TriggerSpec, trigger_spec::When};

use crate::cli::{
    failure::Failure,
    files,
    job_file::{Form, put_span},
    parse,
    session::Session,
    trigger_file::TriggerFile,
};

/// What to look ahead on, and how far.
#[derive(Args, Debug, Default)]
pub(crate) struct PreviewArgs {
    /// The job, if the trigger is there
    #[arg(requires = "trigger")]
    job: Option<String>,
    /// The trigger, if it is there
    trigger: Option<String>,
    /// A cron expression, such as '30 2 * * MON-FRI'
    #[arg(long, value_name = "EXPRESSION", group = "when", conflicts_with = "job")]
    cron: Option<String>,
    /// In even steps, such as 15m
    #[arg(long, value_name = "SPAN", value_parser = parse::duration, group = "when", conflicts_with = "job")]
    rate: Option<Duration>,
    /// At this moment; may be given more than once
    #[arg(long = "at", value_name = "WHEN", value_parser = parse::time, group = "when", conflicts_with = "job")]
    times: Vec<SystemTime>,
    /// All of a trigger from a file, as YAML or JSON if its name ends so, else as TOML: what stands below triggers.NAME in that of a job
    #[arg(short, long, value_name = "FILE", group = "when", conflicts_with = "job")]
    file: Option<PathBuf>,
    /// The zone whose clocks the times are read on, such as Europe/Berlin
    #[arg(long, value_name = "ZONE", conflicts_with = "job")]
    zone: Option<String>,
    /// From when on; now if it is not given
    #[arg(long, value_name = "WHEN", value_parser = parse::time)]
    from: Option<SystemTime>,
    /// How many
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    count: i32,
}

impl PreviewArgs {
    fn request(self) -> Result<PreviewTriggerRequest, Failure> {
        let spec = self.spec()?;
        if spec.is_none() && self.job.is_none() {
            let what = "say what to look ahead on: JOB and TRIGGER, or one of --cron, --rate, --at and --file";
            return Err(Failure::usage(what));
        }
        Ok(PreviewTriggerRequest {
            job: self.job.unwrap_or_default(),
            trigger: self.trigger.unwrap_or_default(),
            spec,
            from_time: self.from.map(Into::into),
            count: self.count,
            ..Default::default()
        })
    }

    fn spec(&self) -> Result<Option<TriggerSpec>, Failure> {
        let mut spec = match &self.file {
            Some(path) => read(path)?,
            None => TriggerSpec::default(),
        };
        if let Some(expression) = self.cron.clone() {
            spec.when = Some(When::Cron(CronTimes { expression }));
        } else if let Some(period) = self.rate {
            let mut rate = FixedRate::default();
            put_span(&mut rate.period, Some(period));
            spec.when = Some(When::Rate(rate));
        } else if !self.times.is_empty() {
            spec.when = Some(When::Times(TimeList { times: self.times.iter().map(|at| (*at).into()).collect() }));
        }
        if let Some(zone) = &self.zone {
            spec.zone.clone_from(zone);
        }
        Ok(spec.when.is_some().then_some(spec))
    }
}

fn read(path: &Path) -> Result<TriggerSpec, Failure> {
    let text = files::read_text(path)?;
    let file: Result<TriggerFile, String> = Form::of(path).read(&text);
    let folder = path.parent().unwrap_or(Path::new(""));
    let spec = file.and_then(|file| file.into_spec(folder).map_err(|wrong| wrong.to_string()));
    spec.map_err(|problem| Failure::usage(format!("{}: {problem}", path.display())))
}

pub(super) async fn run(args: PreviewArgs, session: &Session) -> Result<(), Failure> {
    session.show(&session.read(args.request()?).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_look_ahead_on_is_said_in_one_of_two_ways() {
        let of_job = PreviewArgs { job: Some("a".to_owned()), trigger: Some("b".to_owned()), ..PreviewArgs::default() };
        let request = of_job.request().expect("it is said");
        assert_eq!((request.job.as_str(), request.spec), ("a", None));
        let zone = Some("Europe/Berlin".to_owned());
        let cron = PreviewArgs { cron: Some("0 2 * * *".to_owned()), zone, ..PreviewArgs::default() };
        let spec = cron.request().expect("it is said").spec.expect("a trigger");
        assert_eq!(spec.zone, "Europe/Berlin");
        let nothing = PreviewArgs::default().request().expect_err("nothing is said");
        assert!(nothing.block().contains("--cron"));
    }
}
