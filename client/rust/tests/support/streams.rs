//! The streams of the fake: how each of them goes. What an item is answered is what the script says of a call.

use std::pin::Pin;

use prost::Message as _;
use semel_client::Code;
use semel_proto::{rpc, v1::*};
use tokio::sync::mpsc;
use tokio_stream::{Stream as Items, wrappers::ReceiverStream};
use tonic::{Request, Status, Streaming, metadata::MetadataMap};

use super::{calls::Fake, header, header_with, refusals::Refuse};

pub(crate) type Outgoing = Pin<Box<dyn Items<Item = Result<SubmitRunsResponse, Status>> + Send>>;

/// How a stream of runs goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stream {
    /// The server does not know the method.
    Unknown,
    /// A proxy refuses it.
    Proxy(Code),
    /// The server refuses the credentials by which it is opened.
    Unauthenticated,
    /// It never opens.
    Hang,
    /// It opens without a header, as no Semel server does.
    NoHeader,
    /// It opens, and nothing comes back.
    Mute,
    /// Every item is answered.
    Serve,
    /// So many items are answered; then the stream ends, and what it did with the others nobody learns.
    Cut(usize),
    /// Answers come in another order.
    Swapped,
}

impl Stream {
    pub(crate) async fn open(
        self,
        fake: Fake,
        request: Request<Streaming<SubmitRunsRequest>>,
    ) -> Result<Outgoing, Status> {
        match self {
            Self::Unknown => return Err(Status::unimplemented("")),
            Self::Proxy(code) => return Err(Status::new(code, "upstream connect error")),
            Self::Unauthenticated => {
                let refuse = Refuse::new(Code::Unauthenticated, "CREDENTIALS_EXPIRED").auth(AuthStatus::Expired);
                return Err(refuse.to_grpc(&header_with(refuse.auth, "", fake.now_ms())));
            }
            Self::Hang => return std::future::pending().await,
            _ => {}
        }
        let metadata = request.metadata().clone();
        let (tx, outgoing) = mpsc::channel(16);
        tokio::spawn(async move { self.live(fake, metadata, request.into_inner(), tx).await });
        Ok(Box::pin(ReceiverStream::new(outgoing)))
    }

    async fn live(
        self,
        fake: Fake,
        mut metadata: MetadataMap,
        mut inbox: Streaming<SubmitRunsRequest>,
        tx: mpsc::Sender<Result<SubmitRunsResponse, Status>>,
    ) -> Option<()> {
        let head = (!matches!(self, Self::NoHeader)).then(|| header("", fake.now_ms()));
        let message =
            |results| SubmitRunsResponse { header: head.clone(), results, auth_notice: None, going_away: None };
        tx.send(Ok(message(Vec::new()))).await.ok()?;
        let mut answered = 0;
        while let Ok(Some(request)) = inbox.message().await {
            if let Some(fresh) = request.reauthenticate {
                metadata.insert("authorization", format!("Bearer {}", fresh.token).parse().unwrap());
            }
            let mut results = Vec::new();
            for run in &request.runs {
                if matches!(self, Self::Cut(after) if answered >= after) {
                    tx.send(Ok(message(results))).await.ok()?;
                    return None;
                }
                results.push(result(&fake, &metadata, run).await);
                answered += 1;
            }
            if matches!(self, Self::Swapped) {
                results.reverse();
            }
            if !matches!(self, Self::Mute) {
                tx.send(Ok(message(results))).await.ok()?;
            }
        }
        Some(())
    }
}

async fn result(fake: &Fake, metadata: &MetadataMap, run: &RunJobRequest) -> SubmitResult {
    let outcome = match fake.act(metadata, run.header.as_ref(), &run.app).await {
        Ok(_) => submit_result::Outcome::Run(SubmittedRun {
            run_id: "run-1".to_owned(),
            disposition: Disposition::Executed.into(),
            arrivals: 1,
            revision: 7,
            ..Default::default()
        }),
        Err(status) => submit_result::Outcome::Refused(rpc::Status::decode(status.details()).unwrap()),
    };
    let request_id = run.header.as_ref().unwrap().request_id.clone();
    SubmitResult { request_id, outcome: Some(outcome) }
}
