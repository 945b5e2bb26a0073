//! `semel run list`.

use std::time::SystemTime;

use clap::{Args, ValueEnum};
use semel_proto::v1::{ListRunsRequest, RunState, TimeRange};

use crate::cli::{
    failure::Failure,
    pages::{self, PageArgs},
    parse,
    session::Session,
};

/// Which runs.
#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    /// Only runs of this job
    #[arg(long, default_value = "", hide_default_value = true)]
    job: String,
    /// Only runs in this state; may be given more than once
    #[arg(long = "state", value_enum, ignore_case = true)]
    states: Vec<State>,
    /// Only runs that have not ended
    #[arg(long, conflicts_with = "states")]
    live: bool,
    /// Only runs that bear this label; may be given more than once
    #[arg(short, long = "label", value_name = "KEY=VALUE", value_parser = parse::label)]
    labels: Vec<(String, String)>,
    /// Only runs created since then: a moment, or a span before now such as 2h
    #[arg(long, value_name = "WHEN", value_parser = parse::past)]
    since: Option<SystemTime>,
    /// Only runs created before then
    #[arg(long, value_name = "WHEN", value_parser = parse::past)]
    until: Option<SystemTime>,
    #[command(flatten)]
    page: PageArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum State {
    Scheduled,
    Queued,
    Running,
    Retrying,
    Cancelling,
    Succeeded,
    Failed,
    Cancelled,
    Expired,
}

const LIVE: [State; 5] = [State::Scheduled, State::Queued, State::Running, State::Retrying, State::Cancelling];

impl From<State> for i32 {
    fn from(state: State) -> Self {
        let state = match state {
            State::Scheduled => RunState::Scheduled,
            State::Queued => RunState::Queued,
            State::Running => RunState::Running,
            State::Retrying => RunState::Retrying,
            State::Cancelling => RunState::Cancelling,
            State::Succeeded => RunState::Succeeded,
            State::Failed => RunState::Failed,
            State::Cancelled => RunState::Cancelled,
            State::Expired => RunState::Expired,
        };
        state.into()
    }
}

pub(super) async fn run(args: ListArgs, session: &Session) -> Result<(), Failure> {
    let states = if args.live { &LIVE[..] } else { &args.states };
    let bounded = args.since.is_some() || args.until.is_some();
    let span = TimeRange { start_time: args.since.map(Into::into), end_time: args.until.map(Into::into) };
    let build = |page| ListRunsRequest {
        job: args.job.clone(),
        states: states.iter().map(|state| i32::from(*state)).collect(),
        labels: parse::labels(&args.labels),
        create_time: bounded.then_some(span),
        page: Some(page),
        ..Default::default()
    };
    pages::show(session, &args.page, build).await
}
