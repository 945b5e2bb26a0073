//! What the driver's workers can do, by name, and what they tell of it.

use std::{sync::Arc, time::Duration};

use semel_client::{
    v1::{LogStream, Payload},
    worker::{Context, Outcome, ProcessError, Processor},
};
use serde_json::json;

use crate::state::Driver;

/// Makes the handlers of one worker.
pub(crate) struct Handlers {
    driver: Arc<Driver>,
    worker: Arc<str>,
}

/// One of them.
pub(crate) struct Handler {
    driver: Arc<Driver>,
    worker: Arc<str>,
    name: String,
}

impl Handlers {
    pub(crate) fn new(driver: Arc<Driver>, worker: &str) -> Self {
        Self { driver, worker: worker.into() }
    }

    pub(crate) fn named(&self, name: &str) -> Handler {
        Handler { driver: self.driver.clone(), worker: self.worker.clone(), name: name.to_owned() }
    }
}

impl Processor for Handler {
    async fn process(&self, cx: Context) -> Outcome {
        self.tell(&cx, "started", None).await;
        let outcome = tokio::select! {
            biased;
            () = cx.cancelled() => {
                self.tell(&cx, "cancelled", None).await;
                Err(ProcessError::failed("it was told to stop"))
            }
            outcome = self.work(&cx) => outcome,
        };
        let word = match &outcome {
            Ok(_) => "succeeded",
            Err(_) if cx.is_cancelled() => "cancelled",
            Err(_) => "failed",
        };
        self.tell(&cx, "ended", Some(word)).await;
        outcome
    }
}

impl Handler {
    async fn tell(&self, cx: &Context, told: &str, outcome: Option<&str>) {
        let (worker, run_id, attempt) = (&*self.worker, cx.run_id(), cx.attempt());
        let event = json!({
            "worker": worker, "told": told, "run_id": run_id, "attempt": attempt, "outcome": outcome,
        });
        self.driver.say(event).await;
    }

    /// What it does unless it is told to stop, which drops it.
    async fn work(&self, cx: &Context) -> Outcome {
        let text = String::from_utf8_lossy(&cx.payload().data).into_owned();
        match self.name.strip_prefix("conformance.").unwrap_or(&self.name) {
            "echo" => Ok(cx.payload().clone()),
            "fail" => Err(ProcessError::failed(text)),
            "permanent" => Err(ProcessError::permanent(text)),
            "log" => {
                cx.log(LogStream::Stdout, &cx.payload().data).await;
                Ok(Payload::default())
            }
            "sleep" => {
                let half = Duration::from_millis(text.parse::<u64>()? / 2);
                tokio::time::sleep(half).await;
                cx.progress(0.5, "half");
                tokio::time::sleep(half).await;
                Ok(Payload::default())
            }
            "block" => {
                let mut released = self.driver.block(&self.worker, cx.run_id());
                // The sender stays with the driver, so waiting cannot fail.
                let _ = released.wait_for(|released| *released).await;
                Ok(Payload::default())
            }
            other => Err(ProcessError::permanent(format!("there is no processor {other:?}"))),
        }
    }
}
