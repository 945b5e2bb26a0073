//! What a driver has at hand: its clients, what is under way, and what can be stopped. It is the only owner of that; nothing
//! here waits.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use semel_client::{Client, Credentials, Options, RetryOptions, Tls};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use crate::words::{self, Ended, fault, span, text};

/// See the module.
pub(crate) struct Driver {
    lines: mpsc::Sender<Value>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    clients: HashMap<String, Client>,
    under_way: HashMap<u64, Arc<UnderWay>>,
    /// Watches and workers by kind and name.
    stops: HashMap<String, watch::Sender<bool>>,
    /// Handlers that wait to be let go on, by run.
    blocked: HashMap<String, watch::Sender<bool>>,
}

/// A command under way.
pub(crate) struct UnderWay {
    request_id: String,
    cancel: watch::Sender<bool>,
}

impl UnderWay {
    pub(crate) fn of(command: &Value) -> Self {
        let request_id = command["request_id"].as_str().unwrap_or_default().to_owned();
        Self { request_id, cancel: watch::Sender::new(false) }
    }

    /// Ready when somebody cancelled it.
    pub(crate) async fn cancelled(&self) {
        // The sender stands beside the receiver, so waiting cannot fail.
        let _ = self.cancel.subscribe().wait_for(|cancelled| *cancelled).await;
    }

    /// How it ends then.
    pub(crate) fn as_cancelled(&self) -> Ended {
        Ended::Error(words::cancelled(&self.request_id))
    }
}

impl Driver {
    pub(crate) fn new(lines: mpsc::Sender<Value>) -> Self {
        Self { lines, state: Mutex::default() }
    }

    /// Writes a line.
    pub(crate) async fn say(&self, line: Value) {
        // It fails only when nobody reads any more.
        let _ = self.lines.send(line).await;
    }

    pub(crate) fn enter(&self, id: u64, under_way: Arc<UnderWay>) {
        self.state().under_way.insert(id, under_way);
    }

    pub(crate) fn leave(&self, id: u64) {
        self.state().under_way.remove(&id);
    }

    /// Cancels everything, for nobody is there to hear of it.
    pub(crate) fn end(&self) {
        let state = std::mem::take(&mut *self.state());
        state.under_way.values().for_each(|under_way| {
            under_way.cancel.send_replace(true);
        });
    }

    pub(crate) fn cancel(&self, command: &Value) -> Result<Value, Ended> {
        let target = words::number(command, "target")?;
        if let Some(under_way) = self.state().under_way.get(&target) {
            under_way.cancel.send_replace(true);
        }
        Ok(json!({}))
    }

    pub(crate) fn connect(&self, command: &Value) -> Result<Value, Ended> {
        let options = &command["options"];
        let mut retry = RetryOptions::default();
        if let Some(attempts) = options["attempts_max"].as_u64() {
            retry.attempts_max = u32::try_from(attempts).unwrap_or(u32::MAX);
        }
        retry.backoff_first = span(options, "backoff_first").unwrap_or(retry.backoff_first);
        retry.backoff_max = span(options, "backoff_max").unwrap_or(retry.backoff_max);
        let credentials = match (&command["credentials"]["token"], &command["credentials"]["secret"]) {
            (Value::String(token), _) => Credentials::Token(token.clone()),
            (_, Value::String(secret)) => {
                let app = text(&command["credentials"], "app")?.to_owned();
                Credentials::Secret { app, secret: secret.clone() }
            }
            _ => Credentials::None,
        };
        let mut made = Options::new(text(command, "endpoint")?)
            .app(command["app"].as_str().unwrap_or_default())
            .credentials(credentials)
            .retry(retry)
            .clock_offset_ms(options["clock_offset"].as_i64().unwrap_or_default())
            .tls(tls(&options["tls"])?);
        if let Some(timeout) = span(options, "request_timeout") {
            made = made.request_timeout(timeout);
        }
        if let Some(timeout) = span(options, "overall_timeout") {
            made = made.overall_timeout(timeout);
        }
        self.state().clients.insert(text(command, "client")?.to_owned(), Client::connect_lazy(made)?);
        Ok(json!({}))
    }

    pub(crate) fn close(&self, command: &Value) -> Result<Value, Ended> {
        self.state().clients.remove(text(command, "client")?);
        Ok(json!({}))
    }

    /// The client that a command names.
    pub(crate) fn client(&self, command: &Value) -> Result<Client, Ended> {
        let name = text(command, "client")?;
        self.state().clients.get(name).cloned().ok_or_else(|| fault(format!("there is no client {name:?}")))
    }

    /// Notes something that can be stopped by its name.
    pub(crate) fn stoppable(&self, kind: &str, name: &str) -> watch::Receiver<bool> {
        let (stop, stopped) = watch::channel(false);
        self.state().stops.insert(format!("{kind} {name}"), stop);
        stopped
    }

    pub(crate) fn stop(&self, kind: &str, command: &Value) -> Result<Value, Ended> {
        let name = text(command, kind)?;
        let stop = self.state().stops.remove(&format!("{kind} {name}"));
        stop.ok_or_else(|| fault(format!("there is no {kind} {name:?}")))?.send_replace(true);
        Ok(json!({}))
    }

    /// Notes a handler that waits to be let go on.
    pub(crate) fn block(&self, worker: &str, run_id: &str) -> watch::Receiver<bool> {
        let mut state = self.state();
        state.blocked.entry(format!("{worker} {run_id}")).or_default().subscribe()
    }

    pub(crate) fn release(&self, command: &Value) -> Result<Value, Ended> {
        let key = format!("{} {}", text(command, "worker")?, text(command, "run_id")?);
        self.state().blocked.entry(key).or_default().send_replace(true);
        Ok(json!({}))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What TLS is set up with: the contents of the files that the command names.
fn tls(files: &Value) -> Result<Tls, Ended> {
    let read = |name: &str| {
        let path = files[name].as_str();
        path.map(|path| std::fs::read(path).map_err(|error| fault(format!("cannot read {path}: {error}")))).transpose()
    };
    let mut tls = Tls::new();
    if let Some(pem) = read("ca")? {
        tls = tls.ca_certificates(pem);
    }
    if let (Some(chain), Some(key)) = (read("cert")?, read("key")?) {
        tls = tls.client_certificate(chain, key);
    }
    Ok(tls)
}
