//! `semel token`: short-lived credentials.

use std::time::Duration;

use clap::{Args, Subcommand};
use semel_proto::v1::{
    AuthStatus, CheckAuthRequest, IssueTokenRequest, RevokeTokenRequest, Role, revoke_token_request::Target,
};

use super::{
    failure::{Done, Failure},
    hints::Exit,
    out, parse,
    session::{Mutation, Session},
    show,
};

/// See the module.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Issues a token for the secret that is given with --secret or --secret-file; prints the token alone
    Issue {
        /// How long it shall live, at most 24h
        #[arg(long, value_name = "SPAN", value_parser = parse::duration)]
        lifetime: Option<Duration>,
        /// Narrows it to this role; may be given more than once
        #[arg(long = "role", value_name = "ROLE", value_parser = parse::role)]
        roles: Vec<Role>,
    },
    /// Says what the server makes of the credentials, and what they may do; code 4 if they are not good
    Check,
    /// Takes back one token, or all that were issued until now
    Revoke(RevokeArgs),
}

#[derive(Args, Debug)]
pub(crate) struct RevokeArgs {
    /// The id of the token, as its issue showed it
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    token_id: Option<String>,
    /// Every token of the app that was issued until now
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    mutation: Mutation,
}

pub(crate) async fn run(command: TokenCommand, session: &Session) -> Result<Done, Failure> {
    match command {
        TokenCommand::Issue { lifetime, roles } => issue(lifetime, &roles, session).await,
        TokenCommand::Check => check(session).await,
        TokenCommand::Revoke(args) => {
            let target = args.token_id.map_or(Target::All(true), Target::TokenId);
            let request = RevokeTokenRequest { target: Some(target), ..Default::default() };
            session.show(&session.mutate(args.mutation, |_| request.clone()).await?)?;
            Ok(Done::OK)
        }
    }
}

async fn issue(lifetime: Option<Duration>, roles: &[Role], session: &Session) -> Result<Done, Failure> {
    let request = IssueTokenRequest {
        lifetime: lifetime.and_then(|lifetime| lifetime.try_into().ok()),
        roles: roles.iter().map(|role| i32::from(*role)).collect(),
        ..Default::default()
    };
    let answer = session.read(request).await?;
    session.show(&answer)?;
    let end = show::time_cell(answer.expire_time.as_ref());
    session.remark(&format!("token {} ends {end}", out::cell(&answer.token_id)));
    Ok(Done::OK)
}

async fn check(session: &Session) -> Result<Done, Failure> {
    let answer = session.read(CheckAuthRequest::default()).await?;
    session.show(&answer)?;
    let status = answer.auth.as_ref().map_or(AuthStatus::Unspecified, |auth| auth.status());
    Ok(Done::with(exit_of(status)))
}

fn exit_of(status: AuthStatus) -> Exit {
    match status {
        AuthStatus::Passed | AuthStatus::NotRequired | AuthStatus::Expiring => Exit::Done,
        AuthStatus::Unavailable => Exit::Later,
        AuthStatus::Unspecified => Exit::General,
        _ => Exit::Denied,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_a_code() {
        assert_eq!(exit_of(AuthStatus::Passed), Exit::Done);
        assert_eq!(exit_of(AuthStatus::NotRequired), Exit::Done);
        for status in [AuthStatus::Missing, AuthStatus::Invalid, AuthStatus::Expired, AuthStatus::Revoked] {
            assert_eq!(exit_of(status), Exit::Denied);
        }
        assert_eq!(exit_of(AuthStatus::Unavailable), Exit::Later);
        assert_eq!(exit_of(AuthStatus::Unspecified), Exit::General);
    }
}
