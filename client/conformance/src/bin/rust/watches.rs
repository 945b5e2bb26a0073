//! Watches: what the runner asks for, and each item as an event.

use std::time::Duration;

use semel_client::{
    WatchOptions,
    v1::{EventKind, WatchRequest, watch_request::Start},
    watch::{Item, Told},
};
use semel_conformance::json;
use serde_json::{Value, json};

use crate::{
    state::Driver,
    words::{Ended, fault, of_error, text},
};

/// Tells what a watch tells, until it is stopped or ends.
pub(crate) async fn watch(driver: &Driver, command: &Value) -> Result<Value, Ended> {
    let name = text(command, "watch")?;
    let request = json::to("WatchRequest", &command["request"])?;
    let mut options = options(&request)?;
    if let Some(token) = command["token"].as_str() {
        options = options.resume(token.parse()?);
    }
    let mut stopped = driver.stoppable("watch", name);
    let mut watch = driver.client(command)?.watch(options);
    loop {
        let item = tokio::select! {
            item = watch.next() => item,
            _ = stopped.wait_for(|stopped| *stopped) => return Ok(json!({})),
        };
        match item {
            Some(item) => driver.say(of_item(name, &item?)).await,
            None => return Err(fault("the watch ended without a word")),
        }
    }
}

fn options(request: &WatchRequest) -> Result<WatchOptions, Ended> {
    let mut options = WatchOptions::new().app(&request.app).apps(&request.apps);
    options = request.jobs.iter().fold(options, |options, job| options.job(job));
    options = request.run_ids.iter().fold(options, |options, run| options.run(run));
    options = request.labels.iter().fold(options, |options, (key, value)| options.label(key, value));
    for kind in &request.kinds {
        options = options.kind(EventKind::try_from(*kind).map_err(|error| fault(error.to_string()))?);
    }
    if request.terminal_only {
        options = options.terminal_only();
    }
    match &request.start {
        Some(Start::FromRevision(revision)) => options = options.start_at(*revision),
        Some(Start::ResumeToken(token)) => options = options.resume(token.parse()?),
        None if request.snapshot != 0 => options = options.snapshot(request.snapshot()),
        None => {}
    }
    if let Some(interval) = request.progress_interval {
        options = options.progress_interval(Duration::try_from(interval).map_err(|error| fault(error.to_string()))?);
    }
    Ok(options)
}

fn of_item(name: &str, item: &Item) -> Value {
    let mut event = match &item.told {
        Told::Opened { revision, .. } => json!({"told": "opened", "revision": revision}),
        Told::SnapshotBegin(_) => json!({"told": "snapshot_begin"}),
        Told::Run(run) => json!({"told": "run", "message": json::of("Run", &**run)}),
        Told::Job(job) => json!({"told": "job", "message": json::of("Job", &**job)}),
        Told::Worker(worker) => json!({"told": "worker", "message": json::of("Worker", &**worker)}),
        Told::SnapshotEnd { revision } => json!({"told": "snapshot_end", "revision": revision}),
        Told::Event(event) => {
            json!({"told": "event", "revision": event.revision, "message": json::of("Event", &**event)})
        }
        Told::Progress { revision } => json!({"told": "progress", "revision": revision}),
        Told::CredentialsExpiring { .. } => json!({"told": "expiring"}),
        Told::Lost(error) => json!({"told": "lost", "error": of_error(error)}),
        other => json!({"told": format!("{other:?}")}),
    };
    event["watch"] = json!(name);
    event["token"] = json!(item.resume_token().map(|token| token.to_string()));
    event
}
