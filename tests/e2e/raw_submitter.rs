//! The one submitter of these tests that does only what a test tells it: no retry, no renewal, no packing. It checks that
//! every message says what became of the credentials, and nothing else.

use std::collections::VecDeque;

use semel_client::v1::{
    self, AuthStatus, SubmitRunsRequest, SubmitRunsResponse, job_service_client::JobServiceClient,
    submit_result::Outcome,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::{
    harness::{in_time, run_job},
    wire::{Refused, Wire, auth_status, fresh},
};

/// Refusals are larger than runs.
const MESSAGE_BYTES_MAX: usize = 8 << 20;

/// See the module. Dropping it ends its stream.
pub(crate) struct RawSubmitter {
    pub(crate) opened_header: v1::ResponseHeader,
    pub(crate) up: mpsc::Sender<SubmitRunsRequest>,
    messages: Streaming<SubmitRunsResponse>,
    results: VecDeque<v1::SubmitResult>,
    notices: VecDeque<v1::AuthResult>,
    expected: AuthStatus,
    pub(crate) is_going_away: bool,
}

impl RawSubmitter {
    /// Opens the stream.
    pub(crate) async fn open(wire: &Wire) -> Result<Self, Status> {
        Self::open_as(wire, AuthStatus::Passed).await
    }

    /// The same where the server is to say something else of the credentials.
    pub(crate) async fn open_as(wire: &Wire, expected: AuthStatus) -> Result<Self, Status> {
        let (up, outgoing) = mpsc::channel(4);
        let client = JobServiceClient::new(wire.channel.clone());
        let mut client = client.max_decoding_message_size(MESSAGE_BYTES_MAX).max_encoding_message_size(usize::MAX);
        let opening = in_time(client.submit_runs(wire.request(ReceiverStream::new(outgoing)))).await?;
        let mut submitter = Self {
            opened_header: v1::ResponseHeader::default(),
            up,
            messages: opening.into_inner(),
            results: VecDeque::new(),
            notices: VecDeque::new(),
            expected,
            is_going_away: false,
        };
        let first = submitter.hear().await?.expect("a first message");
        assert!(first.results.is_empty() && first.auth_notice.is_none() && first.going_away.is_none());
        submitter.opened_header = first.header.expect("a header");
        Ok(submitter)
    }

    /// Says something, whatever it is.
    pub(crate) async fn say(&self, message: SubmitRunsRequest) {
        in_time(self.up.send(message)).await.expect("the stream is open");
    }

    /// Sends items in one message.
    pub(crate) async fn send(&self, runs: Vec<v1::RunJobRequest>) {
        self.say(SubmitRunsRequest { runs, ..Default::default() }).await;
    }

    /// Sends fresh credentials.
    pub(crate) async fn reauthenticate(&self, token: &str) {
        let fresh = Some(v1::Reauthenticate { token: token.to_owned() });
        self.say(SubmitRunsRequest { reauthenticate: fresh, ..Default::default() }).await;
    }

    /// The next result.
    pub(crate) async fn result(&mut self) -> v1::SubmitResult {
        while self.results.is_empty() {
            self.take().await.expect("the stream goes on").expect("the stream goes on");
        }
        self.results.pop_front().expect("there is one")
    }

    /// The next result; none once the stream has ended, however it did.
    pub(crate) async fn next(&mut self) -> Option<v1::SubmitResult> {
        while self.results.is_empty() {
            self.take().await.ok()??;
        }
        self.results.pop_front()
    }

    /// The next result, which is to be that of this item, and to be good.
    pub(crate) async fn served(&mut self, id: &str) -> v1::SubmittedRun {
        run_of(self.result().await, id)
    }

    /// The next result, which is to be that of this item, and a refusal.
    pub(crate) async fn refused(&mut self, id: &str) -> Refused {
        refusal_of(self.result().await, id)
    }

    /// Sends one item and waits for what became of it.
    pub(crate) async fn submit(&mut self, id: &str) -> v1::SubmittedRun {
        self.send(vec![item(id)]).await;
        self.served(id).await
    }

    /// The next verdict on the credentials that was not asked for.
    pub(crate) async fn notice(&mut self) -> v1::AuthResult {
        while self.notices.is_empty() {
            self.take().await.expect("the stream goes on").expect("the stream goes on");
        }
        self.notices.pop_front().expect("there is one")
    }

    /// Says that nothing more comes.
    pub(crate) fn close(&mut self) {
        self.up = mpsc::channel(1).0;
    }

    /// The end of the stream: all results before it, and the status.
    pub(crate) async fn end(&mut self) -> (Vec<v1::SubmitResult>, Result<(), Status>) {
        loop {
            match self.take().await {
                Ok(Some(())) => {}
                Ok(None) => return (self.results.drain(..).collect(), Ok(())),
                Err(status) => return (self.results.drain(..).collect(), Err(status)),
            }
        }
    }

    async fn take(&mut self) -> Result<Option<()>, Status> {
        let Some(message) = self.hear().await? else { return Ok(None) };
        self.results.extend(message.results);
        self.notices.extend(message.auth_notice.and_then(|notice| notice.auth));
        self.is_going_away |= message.going_away.is_some();
        Ok(Some(()))
    }

    async fn hear(&mut self) -> Result<Option<SubmitRunsResponse>, Status> {
        let message = in_time(self.messages.message()).await?;
        if let Some(message) = &message {
            let header = message.header.as_ref();
            let notice = message.auth_notice.as_ref().and_then(|notice| notice.auth.as_ref());
            // The last word before the end is the verdict that ends it.
            let ends = notice.is_some_and(|auth| auth.status() != AuthStatus::Expiring);
            let expected = if ends { notice.expect("a verdict").status() } else { self.expected };
            assert_eq!(auth_status(header), expected, "{message:?}");
            let header = header.expect("a header");
            assert_eq!((header.request_id.as_str(), header.disposition()), ("", v1::Disposition::Unspecified));
        }
        Ok(message)
    }
}

/// The run in a result.
pub(crate) fn run_of(result: v1::SubmitResult, id: &str) -> v1::SubmittedRun {
    assert_eq!(result.request_id, id, "results come in the order of the items");
    match result.outcome {
        Some(Outcome::Run(run)) => run,
        other => panic!("{id} was not served: {other:?}"),
    }
}

/// The refusal in a result.
pub(crate) fn refusal_of(result: v1::SubmitResult, id: &str) -> Refused {
    assert_eq!(result.request_id, id, "results come in the order of the items");
    match result.outcome {
        Some(Outcome::Refused(status)) => {
            let refused = Refused::of_rpc(&status);
            assert_eq!(refused.header.request_id, id, "the refusal names the request");
            refused
        }
        other => panic!("{id} was not refused: {other:?}"),
    }
}

/// Runs `settle` under this id.
pub(crate) fn item(id: &str) -> v1::RunJobRequest {
    under(id, run_job("settle"))
}

/// Any run under this id.
pub(crate) fn under(id: &str, request: v1::RunJobRequest) -> v1::RunJobRequest {
    let header = Some(v1::RequestHeader { request_id: id.to_owned(), ..Default::default() });
    v1::RunJobRequest { header, ..request }
}

/// Fresh ids.
pub(crate) fn ids(count: usize) -> Vec<String> {
    (0..count).map(|_| fresh()).collect()
}

/// An item for each id.
pub(crate) fn items(ids: &[String]) -> Vec<v1::RunJobRequest> {
    ids.iter().map(|id| item(id)).collect()
}
