//! A worker of a driver's, as a case sees it: what it told of its handlers, and its end.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::{
    answer::{Answer, Failed, Short, Verdict, gap},
    case::{name, next_event},
    client::Client,
    driver::Pending,
    ground::PATIENCE,
};

/// A client without workers says so within this.
const UNSUPPORTED_WITHIN: Duration = Duration::from_millis(50);

/// See the module.
#[derive(Debug)]
pub struct Working {
    client: Client,
    name: String,
    events: mpsc::Receiver<Value>,
    end: Pending,
    /// What it told so far, but for `connected`.
    pub told: Vec<Value>,
}

impl Working {
    /// Begins to work.
    ///
    /// # Errors
    /// When the client has no workers.
    pub async fn start(client: &Client, processors: &[&str], slots: u32) -> Verdict<Self> {
        Self::with(client, processors, slots, 10_000).await
    }

    /// The same with a time for its drain, in milliseconds.
    ///
    /// # Errors
    /// When the client has no workers.
    pub async fn with(client: &Client, processors: &[&str], slots: u32, drain_timeout: u32) -> Verdict<Self> {
        let name = name("worker");
        let events = client.driver().events(&name);
        let fields = json!({"worker": name, "processors": processors, "slots": slots, "drain_timeout": drain_timeout});
        let mut end = client.send("worker", fields).await;
        if let Ok(Answer::Unsupported(why)) = tokio::time::timeout(UNSUPPORTED_WITHIN, end.wait()).await {
            return Err(Short::Unsupported(why));
        }
        Ok(Self { client: client.clone(), name, events, end, told: Vec::new() })
    }

    /// What it tells of a run next: `started`, `cancelled` or `ended`; what it tells of others is kept.
    ///
    /// # Errors
    /// When it does not come.
    pub async fn until(&mut self, told: &str, run_id: &str) -> Verdict<Value> {
        loop {
            let event = tokio::select! {
                biased;
                event = next_event(&mut self.events) => event?,
                answer = self.end.wait() => return Err(answer.too_early()),
            };
            if event["told"] == "connected" {
                continue;
            }
            self.told.push(event.clone());
            if event["told"] == told && event["run_id"] == run_id {
                return Ok(event);
            }
        }
    }

    /// How often a handler was entered for a run, as far as was looked.
    pub fn started(&self, run_id: &str) -> usize {
        self.told.iter().filter(|event| event["told"] == "started" && event["run_id"] == run_id).count()
    }

    /// Lets a handler of `block` go on.
    ///
    /// # Errors
    /// When the driver does not do so.
    pub async fn release(&self, run_id: &str) -> Verdict {
        let fields = json!({"worker": self.name, "run_id": run_id});
        self.client.driver().ask("release", fields).await.ok().map(drop)
    }

    /// Has it begin its drain.
    ///
    /// # Errors
    /// When the driver does not do so.
    pub async fn begin_drain(&self) -> Verdict {
        self.client.driver().ask("stop_worker", json!({"worker": self.name})).await.ok().map(drop)
    }

    /// Its summary, once it has been drained.
    ///
    /// # Errors
    /// When it does not end, or with an error.
    pub async fn stop(self) -> Verdict<Value> {
        self.begin_drain().await?;
        self.ended().await?.ok()
    }

    /// Its end, which must be an error.
    ///
    /// # Errors
    /// When it does not end, or otherwise.
    pub async fn fails(self) -> Verdict<Failed> {
        self.ended().await?.failed()
    }

    /// Its end.
    ///
    /// # Errors
    /// When it does not come.
    pub async fn ended(self) -> Verdict<Answer> {
        match tokio::time::timeout(PATIENCE, self.end.answer()).await {
            Ok(answer) => Ok(answer),
            Err(_) => gap("expected the worker to end, and it goes on"),
        }
    }
}
