//! A watch of a driver's, as a case sees it: what it told, and the last token. It judges order and form; what should have
//! been told is the case's.

use semel_proto::v1;
use serde_json::{Value, json};
use tokio::{sync::mpsc, time::Instant};

use crate::{
    answer::{Failed, Short, Verdict, claim, gap},
    case::{name, next_event},
    client::Client,
    driver::Pending,
    ground::{PATIENCE, run_event},
    json,
};

/// See the module.
#[derive(Debug)]
pub struct Watching {
    client: Client,
    name: String,
    events: mpsc::Receiver<Value>,
    end: Pending,
    /// Where it would go on.
    pub token: Option<String>,
    /// The events of runs so far: revision, kind, run.
    pub seen: Vec<(i64, i32, String)>,
}

impl Watching {
    /// Begins to watch; `token` is where to go on.
    pub async fn start(client: &Client, request: Value, token: Option<&str>) -> Self {
        let name = name("watch");
        let events = client.driver().events(&name);
        let mut fields = json!({"watch": name, "request": request});
        if let Some(token) = token {
            fields["token"] = json!(token);
        }
        let end = client.send("watch", fields).await;
        Self { client: client.clone(), name, events, end, token: token.map(str::to_owned), seen: Vec::new() }
    }

    /// From the first event on.
    pub async fn from_the_first(client: &Client) -> Self {
        Self::start(client, json!({"from_revision": "1", "progress_interval": "1s"}), None).await
    }

    /// The next item.
    ///
    /// # Errors
    /// When none comes, or the watch has ended.
    pub async fn next(&mut self) -> Verdict<Value> {
        let item = tokio::select! {
            biased;
            item = next_event(&mut self.events) => item?,
            answer = self.end.wait() => return Err(answer.too_early()),
        };
        if let Some(token) = item["token"].as_str() {
            self.token = Some(token.to_owned());
        }
        if item["told"] == "event" {
            let event: v1::Event = json::to("Event", &item["message"]).map_err(Short::Gap)?;
            self.seen.extend(run_event(&event));
        }
        Ok(item)
    }

    /// Items until one is told as this, which is given.
    ///
    /// # Errors
    /// When it does not come.
    pub async fn until(&mut self, told: &str) -> Verdict<Value> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let item = self.next().await?;
            if item["told"] == told {
                return Ok(item);
            }
        }
        gap(format!("expected {told:?} to be told, and other things were"))
    }

    /// Items until so many events of runs were told.
    ///
    /// # Errors
    /// When they do not come.
    pub async fn until_seen(&mut self, count: usize) -> Verdict {
        let until = Instant::now() + PATIENCE;
        while self.seen.len() < count {
            claim(Instant::now() < until, || format!("expected {count} events, got {}", self.seen.len()))?;
            self.next().await.map_err(|short| match short {
                Short::Gap(why) => Short::Gap(format!("expected {count} events, got {}: {why}", self.seen.len())),
                other => other,
            })?;
        }
        Ok(())
    }

    /// It told exactly these events of runs, each once and in order.
    ///
    /// # Errors
    /// When there is a gap, a double, or another order.
    pub fn is_whole(&self, truth: &[(i64, i32, String)]) -> Verdict {
        is_whole(&self.seen, truth)
    }

    /// Its end, which must be an error.
    ///
    /// # Errors
    /// When it does not end, or otherwise.
    pub async fn fails(&mut self) -> Verdict<Failed> {
        let events = &mut self.events;
        let drained = async {
            while events.recv().await.is_some() {}
            std::future::pending().await
        };
        let ended = async {
            tokio::select! {
                answer = self.end.wait() => answer,
                answer = drained => answer,
            }
        };
        match tokio::time::timeout(PATIENCE, ended).await {
            Ok(answer) => answer.failed(),
            Err(_) => gap("expected the watch to end with an error, and it goes on"),
        }
    }

    /// Stops it.
    ///
    /// # Errors
    /// When it does not stop.
    pub async fn stop(mut self) -> Verdict {
        self.client.driver().ask("stop_watch", json!({"watch": self.name})).await.ok()?;
        match tokio::time::timeout(PATIENCE, self.end.wait()).await {
            Ok(answer) => answer.ok().map(drop),
            Err(_) => gap("expected the watch to end when it is stopped, and it goes on"),
        }
    }
}

/// Two lists of events are the same.
///
/// # Errors
/// When they are not, with the first place that differs.
pub fn is_whole(seen: &[(i64, i32, String)], truth: &[(i64, i32, String)]) -> Verdict {
    if seen == truth {
        return Ok(());
    }
    let differs = seen.iter().zip(truth).position(|(seen, truth)| seen != truth);
    let at = differs.unwrap_or(seen.len().min(truth.len()));
    let (expected, got, count) = (truth.get(at), seen.get(at), seen.len());
    Err(Short::Wrong(format!(
        "expected {} events, got {count}; number {at} is {got:?} instead of {expected:?}",
        truth.len()
    )))
}
