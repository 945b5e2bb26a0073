//! One connection to a server, and the one way in which commands call it. It owns the request id: minted before the call,
//! kept by every retry, and always told, so that a person can send the call again.

use std::time::{Duration, SystemTime};

use clap::Args;
use semel_client::{Answer, CallOptions, Client, Method, RequestId};
use tokio::sync::OnceCell;

use super::{
    failure::Failure,
    global::{Global, Output},
    hints::Exit,
    out,
    show::{self, Show},
};

/// The option of every command that changes something.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct Mutation {
    /// Sends a call again under the id that it had: it takes effect once, however often it arrives
    #[arg(long, value_name = "ID")]
    pub(crate) request_id: Option<RequestId>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) output: Output,
    pub(crate) colors: bool,
    global: Global,
    client: OnceCell<Client>,
}

impl Session {
    /// Prepares to call; connects with the first call, so that a mistake in a file is told before a server that is away.
    pub(crate) fn new(global: &Global) -> Self {
        let (output, colors) = (global.output, global.colors());
        Self { output, colors, global: global.clone(), client: OnceCell::new() }
    }

    /// The app that the command line names; empty if none.
    pub(crate) fn app(&self) -> &str {
        &self.global.app
    }

    /// The client, connected.
    pub(crate) async fn client(&self) -> Result<&Client, Failure> {
        self.client.get_or_try_init(|| self.global.connect()).await
    }

    /// Makes a call that changes nothing.
    pub(crate) async fn read<M: Method>(&self, request: M) -> Result<M::Response, Failure> {
        let answer = self.client().await?.call(request).await.map_err(Failure::read)?;
        if self.global.verbose {
            self.tell(&answer);
        }
        Ok(answer)
    }

    /// Makes a call that changes something. The request is built for the moment at which its id was minted: whatever is
    /// relative in it ("in 5 minutes") counts from there, so that sending it again under the same id says the same.
    pub(crate) async fn mutate<M: Method>(
        &self,
        mutation: Mutation,
        build: impl Fn(SystemTime) -> M,
    ) -> Result<M::Response, Failure> {
        let given = mutation.request_id;
        let client = self.client().await?;
        let mut id = given.unwrap_or_else(|| client.mint_request_id());
        let mut minted_anew = given.is_some();
        loop {
            let request = build(id.time().unwrap_or_else(SystemTime::now));
            match under(client, id, request).await? {
                Ok(answer) => {
                    self.tell(&answer);
                    return Ok(answer);
                }
                // This machine's clock is off, and the server has just told its own. The id was refused at its first
                // arrival, so nothing can have happened under it.
                Err(error) if !minted_anew && error.attempts() == 1 && is_clock(error.reason()) => {
                    minted_anew = true;
                    id = client.mint_request_id();
                }
                Err(error) => return Err(Failure::mutation(error)),
            }
        }
    }

    /// Says what became of a call; in JSON its header says so.
    fn tell(&self, answer: &impl Answer) {
        if self.output == Output::Table
            && let Some(header) = answer.header()
        {
            out::note(&show::header_line(header));
        }
    }

    /// Shows an answer.
    pub(crate) fn show(&self, answer: &impl Show) -> Result<(), Failure> {
        match self.output {
            Output::Table => out::text(&answer.text()),
            Output::Json => out::json(&answer.json()),
        }
    }

    /// Says something to people that a program does not need.
    pub(crate) fn remark(&self, line: &str) {
        if self.output == Output::Table {
            out::note(line);
        }
    }
}

/// Whoever interrupts a call does not take it back: then the id is what they need to know.
async fn under<M: Method>(
    client: &Client,
    id: RequestId,
    request: M,
) -> Result<Result<M::Response, semel_client::Error>, Failure> {
    let call = client.with_options(CallOptions { request_id: Some(id), ..CallOptions::default() });
    tokio::select! {
        answer = call.call(request) => Ok(answer),
        _ = tokio::signal::ctrl_c() => Err(Failure::Local {
            exit: Exit::Later,
            message: format!("interrupted; what became of request {id} is not known"),
            next: format!("send it again with --request-id {id}, which is safe, or ask `semel request get {id}`"),
        }),
    }
}

fn is_clock(reason: Option<&str>) -> bool {
    matches!(reason, Some("REQUEST_ID_IN_FUTURE" | "REQUEST_ID_EXPIRED"))
}

/// A moment that is given as such, or as a span from the moment of the request.
pub(crate) fn moment(at: Option<SystemTime>, after: Option<Duration>, base: SystemTime) -> Option<SystemTime> {
    at.or_else(|| after.and_then(|after| base.checked_add(after)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_moment_is_the_same_for_every_arrival_of_an_id() {
        let id: RequestId = "01980000-0000-7000-8000-000000000000".parse().expect("an id");
        let start = |id: RequestId| moment(None, Some(Duration::from_secs(300)), id.time().expect("a UUIDv7"));
        assert_eq!(start(id), start(id));
        assert_eq!(start(id), id.time().map(|time| time + Duration::from_secs(300)));
    }
}
