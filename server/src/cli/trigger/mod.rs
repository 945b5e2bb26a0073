//! `semel trigger`: when jobs start by themselves, what became of it, and what is done about it. What a trigger says is a part
//! of its job's definition: `semel job update --file` changes it.

mod preview;

use std::time::SystemTime;

use clap::{Args, Subcommand};
use semel_proto::v1::{
    BackfillTriggerRequest, CancelBackfillRequest, FireTriggerRequest, GetTriggerRequest, ListTriggersRequest, Overlap,
    PauseTriggerRequest, ResumeTriggerRequest, TriggerState,
};

use self::preview::PreviewArgs;
use super::{
    failure::{Done, Failure},
    pages::{self, PageArgs},
    parse,
    session::{Mutation, Session},
    trigger_file,
};

/// See the module.
#[derive(Debug, Subcommand)]
pub(crate) enum TriggerCommand {
    /// Lists triggers: how they stand, when they fire next, and what became of their times
    List(ListArgs),
    /// Shows a trigger, with its last fires and what is counted
    Get(Which),
    /// Says when a trigger would fire: one that is there, or one that is only thought of
    Preview(Box<PreviewArgs>),
    /// Keeps a trigger from firing; its times are counted as missed
    Pause {
        #[command(flatten)]
        which: Which,
        /// Why, for people
        #[arg(long, default_value = "", hide_default_value = true)]
        note: String,
        #[command(flatten)]
        mutation: Mutation,
    },
    /// Lets a trigger fire again, from its next time on
    Resume {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        mutation: Mutation,
    },
    /// Fires a trigger now
    Fire {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        overlap: OverlapArgs,
        #[command(flatten)]
        mutation: Mutation,
    },
    /// Makes up for times that passed: each scheduled time of a range gets its run, in order
    Backfill(BackfillArgs),
}

/// Which trigger.
#[derive(Args, Debug)]
pub(crate) struct Which {
    /// The job
    job: String,
    /// The trigger
    trigger: String,
}

#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    /// Only those of this job
    #[arg(default_value = "", hide_default_value = true)]
    job: String,
    /// Only those that stand so: active, paused, ended; may be given more than once
    #[arg(long = "state", value_name = "STATE", value_parser = state)]
    states: Vec<TriggerState>,
    #[command(flatten)]
    page: PageArgs,
}

/// An overlap rule, if another than that of the trigger is wished.
#[derive(Args, Debug)]
pub(crate) struct OverlapArgs {
    /// What happens while runs of earlier fires are not finished: skip, buffer-one, buffer-all, cancel-other, parallel
    #[arg(long, value_name = "RULE")]
    overlap: Option<String>,
    /// How many: with buffer-all that may wait, with parallel that may be unfinished at a time
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true, requires = "overlap")]
    overlap_max: i32,
}

#[derive(Args, Debug)]
pub(crate) struct BackfillArgs {
    #[command(flatten)]
    which: Which,
    /// The first moment of the range, or a span before now such as 2h
    #[arg(long, value_name = "WHEN", value_parser = parse::past, required_unless_present = "cancel")]
    from: Option<SystemTime>,
    /// The first moment after it; now if it is not given
    #[arg(long, value_name = "WHEN", value_parser = parse::past)]
    to: Option<SystemTime>,
    #[command(flatten)]
    overlap: OverlapArgs,
    /// Ends the backfill that is under way; runs that it made go on
    #[arg(long, conflicts_with_all = ["from", "to", "overlap"])]
    cancel: bool,
    #[command(flatten)]
    mutation: Mutation,
}

impl OverlapArgs {
    fn build(&self) -> Result<Option<Overlap>, Failure> {
        let given = self.overlap.as_ref();
        let parsed = given.map(|name| trigger_file::overlap(name, self.overlap_max)).transpose();
        parsed.map_err(|problem| Failure::usage(format!("--overlap: {problem}")))
    }
}

pub(crate) async fn run(command: TriggerCommand, session: &Session) -> Result<Done, Failure> {
    match command {
        TriggerCommand::List(args) => list(args, session).await?,
        TriggerCommand::Get(Which { job, trigger }) => {
            session.show(&session.read(GetTriggerRequest { job, trigger, ..Default::default() }).await?)?;
        }
        TriggerCommand::Preview(args) => preview::run(*args, session).await?,
        TriggerCommand::Pause { which: Which { job, trigger }, note, mutation } => {
            let request = PauseTriggerRequest { job, trigger, note, ..Default::default() };
            session.show(&session.mutate(mutation, |_| request.clone()).await?)?;
        }
        TriggerCommand::Resume { which: Which { job, trigger }, mutation } => {
            let request = ResumeTriggerRequest { job, trigger, ..Default::default() };
            session.show(&session.mutate(mutation, |_| request.clone()).await?)?;
        }
        TriggerCommand::Fire { which: Which { job, trigger }, overlap, mutation } => {
            let request = FireTriggerRequest { job, trigger, overlap: overlap.build()?, ..Default::default() };
            session.show(&session.mutate(mutation, |_| request.clone()).await?)?;
        }
        TriggerCommand::Backfill(args) => backfill(args, session).await?,
    }
    Ok(Done::OK)
}

async fn list(args: ListArgs, session: &Session) -> Result<(), Failure> {
    let build = |page| ListTriggersRequest {
        job: args.job.clone(),
        states: args.states.iter().map(|state| i32::from(*state)).collect(),
        page: Some(page),
        ..Default::default()
    };
    pages::show(session, &args.page, build).await
}

async fn backfill(args: BackfillArgs, session: &Session) -> Result<(), Failure> {
    let Which { job, trigger } = args.which;
    if args.cancel {
        let request = CancelBackfillRequest { job, trigger, ..Default::default() };
        return session.show(&session.mutate(args.mutation, |_| request.clone()).await?);
    }
    let request = BackfillTriggerRequest {
        job,
        trigger,
        from_time: args.from.map(Into::into),
        to_time: args.to.map(Into::into),
        overlap: args.overlap.build()?,
        ..Default::default()
    };
    session.show(&session.mutate(args.mutation, |_| request.clone()).await?)
}

fn state(text: &str) -> Result<TriggerState, String> {
    let name = format!("TRIGGER_STATE_{}", text.to_uppercase());
    let state = TriggerState::from_str_name(&name).filter(|state| *state != TriggerState::Unspecified);
    state.ok_or_else(|| format!("{text:?} is no state of a trigger; they are active, paused, ended"))
}
