//! `semel request`: what became of requests.

use std::time::SystemTime;

use clap::{Args, Subcommand};
use semel_client::RequestId;
use semel_proto::v1::{GetRequestRequest, ListRequestsRequest, TimeRange};

use super::{
    failure::{Done, Failure},
    pages::{self, PageArgs},
    parse,
    session::Session,
};

/// See the module.
#[derive(Debug, Subcommand)]
pub(crate) enum RequestCommand {
    /// Says what became of a request, and what was answered; those about apps are kept under --app system
    Get {
        /// Its id
        id: RequestId,
    },
    /// Lists the requests that took effect within the window, the newest first
    List(ListArgs),
}

#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    /// Only those of this method, for instance `JobService/RunJob`
    #[arg(long, default_value = "", hide_default_value = true)]
    method: String,
    /// Only those of this principal, for instance `app:pay`
    #[arg(long, default_value = "", hide_default_value = true)]
    principal: String,
    /// Only those whose id was minted since then: a moment, or a span before now such as 2h
    #[arg(long, value_name = "WHEN", value_parser = parse::past)]
    since: Option<SystemTime>,
    /// Only those whose id was minted before then
    #[arg(long, value_name = "WHEN", value_parser = parse::past)]
    until: Option<SystemTime>,
    #[command(flatten)]
    page: PageArgs,
}

pub(crate) async fn run(command: RequestCommand, session: &Session) -> Result<Done, Failure> {
    match command {
        RequestCommand::Get { id } => {
            let request = GetRequestRequest { target_request_id: id.to_string(), ..Default::default() };
            session.show(&session.read(request).await?)?;
        }
        RequestCommand::List(args) => {
            let bounded = args.since.is_some() || args.until.is_some();
            let span = TimeRange { start_time: args.since.map(Into::into), end_time: args.until.map(Into::into) };
            let build = |page| ListRequestsRequest {
                method: full_method(&args.method),
                principal: args.principal.clone(),
                mint_time: bounded.then_some(span),
                page: Some(page),
                ..Default::default()
            };
            pages::show(session, &args.page, build).await?;
        }
    }
    Ok(Done::OK)
}

/// The package may be left out, as in the lists that this program shows.
fn full_method(method: &str) -> String {
    if method.is_empty() || method.starts_with("semel.v1.") {
        return method.to_owned();
    }
    format!("semel.v1.{method}")
}
