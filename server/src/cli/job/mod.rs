//! `semel job`: definitions of what is run, and how.

mod export;
pub(crate) mod form;
mod spec;
pub(crate) mod tree;

use clap::{Args, Subcommand};
use semel_proto::v1::{
    CreateJobRequest, DeleteJobRequest, GetJobRequest, JobSpec, ListJobsRequest, PauseJobRequest, ResumeJobRequest,
    UpdateJobRequest,
};

use self::{export::ExportArgs, spec::SpecArgs};
use super::{
    failure::{Done, Failure},
    pages::{self, PageArgs},
    parse,
    session::{Mutation, Session},
};

/// See the module.
#[derive(Debug, Subcommand)]
pub(crate) enum JobCommand {
    /// Creates a job
    Create {
        /// Its name, unique in its app
        name: String,
        #[command(flatten)]
        spec: Box<SpecArgs>,
        #[command(flatten)]
        mutation: Mutation,
    },
    /// Shows a job
    Get {
        /// Its name
        name: String,
    },
    /// Lists the jobs of an app
    List(ListArgs),
    /// Writes jobs as YAML that `semel apply` takes
    Export(ExportArgs),
    /// Replaces the definition of a job, all of it; runs that exist keep theirs
    Update(UpdateArgs),
    /// Deletes a job that has no unfinished runs
    Delete {
        /// Its name
        name: String,
        /// Only if it is still what was read
        #[arg(long, default_value = "", hide_default_value = true)]
        etag: String,
        #[command(flatten)]
        mutation: Mutation,
    },
    /// Holds back the runs of a job: new ones are taken and wait
    Pause {
        /// Its name
        name: String,
        /// Why, for people
        #[arg(long, default_value = "", hide_default_value = true)]
        note: String,
        #[command(flatten)]
        mutation: Mutation,
    },
    /// Lets the runs of a job start again
    Resume {
        /// Its name
        name: String,
        #[command(flatten)]
        mutation: Mutation,
    },
}

#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    /// Only those whose name begins so
    #[arg(long, default_value = "", hide_default_value = true)]
    prefix: String,
    /// Only those that bear this label; may be given more than once
    #[arg(short, long = "label", value_name = "KEY=VALUE", value_parser = parse::label)]
    labels: Vec<(String, String)>,
    /// Only those that are paused
    #[arg(long, conflicts_with = "active")]
    paused: bool,
    /// Only those that are not paused
    #[arg(long)]
    active: bool,
    #[command(flatten)]
    page: PageArgs,
}

#[derive(Args, Debug)]
pub(crate) struct UpdateArgs {
    /// Its name
    name: String,
    #[command(flatten)]
    spec: Box<SpecArgs>,
    /// Only if it is still what was read
    #[arg(long, default_value = "", hide_default_value = true)]
    etag: String,
    /// Keeps what is not given: reads the job first, and fails if it is changed meanwhile
    #[arg(long, conflicts_with_all = ["etag", "request_id", "file"])]
    merge: bool,
    #[command(flatten)]
    mutation: Mutation,
}

pub(crate) async fn run(command: JobCommand, session: &Session) -> Result<Done, Failure> {
    match command {
        JobCommand::Create { name, spec, mutation } => {
            let request = CreateJobRequest { job: name, spec: Some(spec.build(None)?), ..Default::default() };
            session.show(&session.mutate(mutation, |_| request.clone()).await?)?;
        }
        JobCommand::Get { name } => {
            session.show(&session.read(GetJobRequest { job: name, ..Default::default() }).await?)?;
        }
        JobCommand::List(args) => list(args, session).await?,
        JobCommand::Export(args) => export::run(args, session).await?,
        JobCommand::Update(args) => update(args, session).await?,
        JobCommand::Delete { name, etag, mutation } => {
            let request = DeleteJobRequest { job: name, etag, ..Default::default() };
            session.show(&session.mutate(mutation, |_| request.clone()).await?)?;
        }
        JobCommand::Pause { name, note, mutation } => {
            let request = PauseJobRequest { job: name, note, ..Default::default() };
            session.show(&session.mutate(mutation, |_| request.clone()).await?)?;
        }
        JobCommand::Resume { name, mutation } => {
            let request = ResumeJobRequest { job: name, ..Default::default() };
            session.show(&session.mutate(mutation, |_| request.clone()).await?)?;
        }
    }
    Ok(Done::OK)
}

async fn list(args: ListArgs, session: &Session) -> Result<(), Failure> {
    let paused = if args.paused { Some(true) } else { args.active.then_some(false) };
    let build = |page| ListJobsRequest {
        prefix: args.prefix.clone(),
        labels: parse::labels(&args.labels),
        paused,
        page: Some(page),
        ..Default::default()
    };
    pages::show(session, &args.page, build).await
}

async fn update(args: UpdateArgs, session: &Session) -> Result<(), Failure> {
    let mut etag = args.etag;
    let mut present: Option<JobSpec> = None;
    if args.merge {
        let answer = session.read(GetJobRequest { job: args.name.clone(), ..Default::default() }).await?;
        let job = answer.job.unwrap_or_default();
        etag = job.etag;
        present = job.spec;
    }
    let request =
        UpdateJobRequest { job: args.name, etag, spec: Some(args.spec.build(present)?), ..Default::default() };
    session.show(&session.mutate(args.mutation, |_| request.clone()).await?)
}
