//! The triggers of the bench, and their making: through the protocol, a hundred in each job.

use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use semel_proto::v1::{self, job_service_client::JobServiceClient, trigger_spec::When};
use tokio::task::JoinSet;
use tonic::Status;

use super::{
    CONNECTIONS,
    fires::{Plan, to_proto},
};
use crate::bench::{
    Error,
    site::{IDLE_JOB, NOOP_JOB, Site, authorized},
    unary::fresh_id,
};

/// As many as a job may have.
const PER_JOB: u64 = 100;
/// Jobs that are being made at a time.
const MAKING: usize = 64;
/// One in so many of those that wait is a rate; the others are expressions.
const RATE_ONE_IN: u64 = 10;
const DAY_SECS: i64 = 24 * 3600;
/// By which label those that fire are watched.
pub(super) const LABEL: &str = "semel-bench";

/// Makes so many that are at least a month away from firing; gives how long that took.
///
/// # Errors
/// The first that is refused.
pub(super) async fn quiet(site: &Site, count: u64) -> Result<Duration, Error> {
    let month = this_month();
    let jobs = (0..count.div_ceil(PER_JOB)).map(|job| {
        let numbers = job * PER_JOB..count.min((job + 1) * PER_JOB);
        let triggers = numbers.map(|number| (format!("t{number}"), waits(number, month))).collect();
        let spec = v1::JobSpec { processor: IDLE_JOB.to_owned(), triggers, ..Default::default() };
        create(site, format!("waits-{job}"), spec)
    });
    make(site, jobs).await
}

/// Makes those that fire by this plan.
///
/// # Errors
/// The first that is refused.
pub(super) async fn firing(site: &Site, plan: &Plan) -> Result<Duration, Error> {
    let jobs = (0..plan.firing.div_ceil(PER_JOB)).map(|job| {
        let numbers = job * PER_JOB..plan.firing.min((job + 1) * PER_JOB);
        // In a span shorter than their period some of them have no turn.
        let numbers = numbers.filter(|number| plan.first(*number) < plan.end());
        let triggers = numbers.map(|number| (format!("t{number}"), fires(plan, number))).collect();
        let labels = [(LABEL.to_owned(), plan.label())].into();
        let spec = v1::JobSpec { processor: NOOP_JOB.to_owned(), labels, triggers, ..Default::default() };
        create(site, format!("{}-{job}", plan.label()), spec)
    });
    make(site, jobs).await
}

/// One that is far from firing. There are eight months of minutes for the expressions, in two zones.
fn waits(number: u64, month: u64) -> v1::TriggerSpec {
    if number.is_multiple_of(RATE_ONE_IN) {
        let period = Some(prost_types::Duration { seconds: 30 * DAY_SECS, nanos: 0 });
        return v1::TriggerSpec { when: Some(When::Rate(v1::FixedRate { period })), ..Default::default() };
    }
    let (minute, hour, day) = (number % 60, number / 60 % 24, number / 1440 % 28 + 1);
    let month = (month + 1 + number / 40_320 % 8) % 12 + 1;
    let expression = format!("{minute} {hour} {day} {month} *");
    let zone = if number.is_multiple_of(2) { "Europe/Berlin" } else { "" };
    v1::TriggerSpec {
        when: Some(When::Cron(v1::CronTimes { expression })),
        zone: zone.to_owned(),
        ..Default::default()
    }
}

/// One that fires by a plan. Whatever is late fires all the same, and shows as late.
fn fires(plan: &Plan, number: u64) -> v1::TriggerSpec {
    let millis = i64::try_from(plan.period()).unwrap_or(i64::MAX);
    let period = Some(prost_types::Duration {
        seconds: millis / 1000,
        nanos: (millis % 1000 * 1_000_000).try_into().unwrap_or(0),
    });
    v1::TriggerSpec {
        when: Some(When::Rate(v1::FixedRate { period })),
        start_time: Some(to_proto(plan.first(number))),
        end_time: Some(to_proto(plan.end())),
        misfire: v1::MisfireRule::FireAll.into(),
        overlap: Some(v1::Overlap { rule: v1::OverlapRule::Parallel.into(), max: 1000 }),
        ..Default::default()
    }
}

fn create(site: &Site, job: String, spec: v1::JobSpec) -> v1::CreateJobRequest {
    let header = Some(v1::RequestHeader { request_id: fresh_id(), ..Default::default() });
    v1::CreateJobRequest { header, app: site.app.clone(), job, spec: Some(spec) }
}

async fn make(site: &Site, jobs: impl Iterator<Item = v1::CreateJobRequest>) -> Result<Duration, Error> {
    let channels = site.connect(CONNECTIONS).await?;
    let (begun, mut calls) = (Instant::now(), JoinSet::new());
    for (number, job) in jobs.enumerate() {
        if calls.len() >= MAKING {
            settle(calls.join_next().await)?;
        }
        let mut client = JobServiceClient::new(channels[number % channels.len()].clone());
        let request = authorized(&site.authorization(), job);
        calls.spawn(async move { client.create_job(request).await.map(drop) });
    }
    while !calls.is_empty() {
        settle(calls.join_next().await)?;
    }
    Ok(begun.elapsed())
}

fn settle(done: Option<Result<Result<(), Status>, tokio::task::JoinError>>) -> Result<(), Error> {
    done.unwrap_or(Ok(Ok(()))).unwrap_or_else(|error| Err(Status::internal(error.to_string()))).map_err(Error::refused)
}

/// From 1 on.
fn this_month() -> u64 {
    let now = Timestamp::try_from(SystemTime::now()).ok();
    now.and_then(|now| now.strftime("%m").to_string().parse().ok()).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_two_months_away_or_more() {
        for month in 1..=12 {
            for number in (1..1_000_000).step_by(997) {
                let Some(When::Cron(cron)) = waits(number, month).when else { continue };
                let named: u64 = cron.expression.split(' ').nth(3).expect("a month").parse().expect("a number");
                let ahead = (named + 12 - month) % 12;
                assert!((1..=12).contains(&named) && (2..10).contains(&ahead), "{month}: {}", cron.expression);
            }
        }
    }
}
