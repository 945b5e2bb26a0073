//! What the bare generated stub gets through against a server that only answers: the measure for everything above it.

use std::time::Instant;

use semel_client::v1::{self, job_service_client::JobServiceClient};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::words::{Ended, fault, number, span, text};

/// Items without an answer.
const OUTSTANDING: u64 = 4096;

pub(crate) async fn bench(command: &Value) -> Result<Value, Ended> {
    let per_message = number(command, "per_message")?.max(1);
    let duration = span(command, "duration").ok_or_else(|| fault("duration must be a number"))?;
    let broken = |error: &dyn std::fmt::Display| fault(format!("the echo broke off: {error}"));
    let mut stub = JobServiceClient::connect(text(command, "endpoint")?.to_owned()).await.map_err(|e| broken(&e))?;
    let run = v1::RunJobRequest {
        header: Some(v1::RequestHeader {
            request_id: "0190163d-8694-739b-aea5-966c26f8ad91".to_owned(),
            ..Default::default()
        }),
        job: "echo".to_owned(),
        ..Default::default()
    };
    let count = usize::try_from(per_message).unwrap_or(usize::MAX);
    let message = v1::SubmitRunsRequest { runs: vec![run; count], ..Default::default() };
    let (sender, messages) = mpsc::channel(usize::try_from(OUTSTANDING).unwrap_or(1));
    let begun = Instant::now();
    let (mut sent, mut items) = (0, 0);
    while sent + per_message <= OUTSTANDING {
        sender.send(message.clone()).await.map_err(|e| broken(&e))?;
        sent += per_message;
    }
    let mut answers = stub.submit_runs(ReceiverStream::new(messages)).await.map_err(|e| broken(&e))?.into_inner();
    while begun.elapsed() < duration {
        let answer = answers.message().await.map_err(|e| broken(&e))?.ok_or_else(|| broken(&"it ended"))?;
        items += answer.results.len() as u64;
        while sent + per_message <= items + OUTSTANDING {
            sender.send(message.clone()).await.map_err(|e| broken(&e))?;
            sent += per_message;
        }
    }
    Ok(json!({"items": items, "elapsed": begun.elapsed().as_millis() as u64}))
}
