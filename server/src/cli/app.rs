//! `semel app`: tenants, their grants and their secrets.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};
use semel_proto::v1::{
    App, CreateAppRequest, DeleteAppRequest, GetAppRequest, Grant, ListAppsRequest, RotateAppSecretRequest,
    UpdateAppRequest,
};

use super::{
    failure::{Done, Failure},
    files::SecretFile,
    out,
    pages::{self, PageArgs},
    parse,
    session::{Mutation, Session},
    show::Show,
};

/// See the module.
#[derive(Debug, Subcommand)]
pub(crate) enum AppCommand {
    /// Creates an app and shows its secret
    Create(CreateArgs),
    /// Shows an app; that of the credentials, if none is named
    Get {
        /// Its name
        #[arg(default_value = "", hide_default_value = true)]
        name: String,
    },
    /// Lists the apps that the credentials may see
    List {
        /// Only those whose name begins so
        #[arg(long, default_value = "", hide_default_value = true)]
        prefix: String,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Replaces the description and the grants of an app
    Update(UpdateArgs),
    /// Deletes an app that has no jobs left, and ends its credentials
    Delete {
        /// Its name
        name: String,
        /// Only if it is still what was read
        #[arg(long, default_value = "", hide_default_value = true)]
        etag: String,
        #[command(flatten)]
        mutation: Mutation,
    },
    /// Makes a new secret for an app and shows it
    RotateSecret(RotateArgs),
}

#[derive(Args, Debug)]
pub(crate) struct CreateArgs {
    /// Its name, for instance `pay/settle`
    name: String,
    /// What it is, for people
    #[arg(long, default_value = "", hide_default_value = true)]
    description: String,
    /// What it may do beyond its own bounds, for instance `submitter:pay/*`; may be given more than once
    #[arg(long = "grant", value_name = "ROLE:APPS", value_parser = parse::grant)]
    grants: Vec<Grant>,
    #[command(flatten)]
    secret: SecretOut,
    #[command(flatten)]
    mutation: Mutation,
}

#[derive(Args, Debug)]
pub(crate) struct UpdateArgs {
    /// Its name
    name: String,
    /// The new description
    #[arg(long)]
    description: Option<String>,
    /// The new grants, all of them; may be given more than once
    #[arg(long = "grant", value_name = "ROLE:APPS", value_parser = parse::grant)]
    grants: Vec<Grant>,
    /// Only if it is still what was read
    #[arg(long, default_value = "", hide_default_value = true)]
    etag: String,
    /// Keeps what is not given: reads the app first, and fails if it is changed meanwhile
    #[arg(long, conflicts_with_all = ["etag", "request_id"])]
    merge: bool,
    #[command(flatten)]
    mutation: Mutation,
}

#[derive(Args, Debug)]
pub(crate) struct RotateArgs {
    /// The app; that of the credentials if left out
    #[arg(default_value = "", hide_default_value = true)]
    name: String,
    /// How long the former secret stays good; it ends at once if left out
    #[arg(long, value_name = "SPAN", value_parser = parse::duration)]
    grace: Option<Duration>,
    #[command(flatten)]
    secret: SecretOut,
    #[command(flatten)]
    mutation: Mutation,
}

#[derive(Args, Debug)]
struct SecretOut {
    /// Writes the secret into a new file that only its owner may read, instead of showing it
    #[arg(long, value_name = "FILE")]
    secret_out: Option<PathBuf>,
}

impl SecretOut {
    fn open(&self) -> Result<Option<SecretFile>, Failure> {
        self.secret_out.as_deref().map(SecretFile::create).transpose()
    }
}

/// Takes the secret out of an answer, if it goes into a file.
fn put_away(secret: &mut String, file: Option<SecretFile>) -> Result<(), Failure> {
    let Some(mut file) = file else { return Ok(()) };
    file.write(secret)?;
    secret.clear();
    out::note(&format!("the secret is in {}", file.path().display()));
    Ok(())
}

pub(crate) async fn run(command: AppCommand, session: &Session) -> Result<Done, Failure> {
    match command {
        AppCommand::Create(args) => create(args, session).await?,
        AppCommand::Get { name } => {
            session.show(&session.read(GetAppRequest { app: name, ..Default::default() }).await?)?;
        }
        AppCommand::List { prefix, page } => {
            let build = |page| ListAppsRequest { prefix: prefix.clone(), page: Some(page), ..Default::default() };
            pages::show(session, &page, build).await?;
        }
        AppCommand::Update(args) => update(args, session).await?,
        AppCommand::Delete { name, etag, mutation } => {
            let request = DeleteAppRequest { app: name, etag, ..Default::default() };
            session.show(&session.mutate(mutation, |_| request.clone()).await?)?;
        }
        AppCommand::RotateSecret(args) => rotate(args, session).await?,
    }
    Ok(Done::OK)
}

async fn create(args: CreateArgs, session: &Session) -> Result<(), Failure> {
    let file = args.secret.open()?;
    let request =
        CreateAppRequest { app: args.name, description: args.description, grants: args.grants, ..Default::default() };
    let mut answer = session.mutate(args.mutation, |_| request.clone()).await?;
    put_away(&mut answer.secret, file)?;
    show_secret(session, &answer, &answer.secret)
}

async fn rotate(args: RotateArgs, session: &Session) -> Result<(), Failure> {
    let file = args.secret.open()?;
    let request = RotateAppSecretRequest {
        app: args.name,
        grace: args.grace.and_then(|grace| grace.try_into().ok()),
        ..Default::default()
    };
    let mut answer = session.mutate(args.mutation, |_| request.clone()).await?;
    put_away(&mut answer.secret, file)?;
    show_secret(session, &answer, &answer.secret)
}

fn show_secret(session: &Session, answer: &impl Show, secret: &str) -> Result<(), Failure> {
    session.show(answer)?;
    if !secret.is_empty() {
        session
            .remark("keep the secret: the server stores only a hash of it, and shows it again only to this request id");
    }
    Ok(())
}

async fn update(args: UpdateArgs, session: &Session) -> Result<(), Failure> {
    let mut etag = args.etag;
    let mut present = App::default();
    if args.merge {
        let answer = session.read(GetAppRequest { app: args.name.clone(), ..Default::default() }).await?;
        present = answer.app.unwrap_or_default();
        etag.clone_from(&present.etag);
    }
    let request = UpdateAppRequest {
        app: args.name,
        etag,
        description: args.description.unwrap_or(present.description),
        grants: if args.grants.is_empty() { present.grants } else { args.grants },
        ..Default::default()
    };
    session.show(&session.mutate(args.mutation, |_| request.clone()).await?)
}
