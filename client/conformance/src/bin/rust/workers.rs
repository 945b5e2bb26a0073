//! Workers: set up as the runner says, and their end.

use std::sync::Arc;

use semel_client::worker::Worker;
use serde_json::{Value, json};

use crate::{
    handlers::Handlers,
    state::Driver,
    words::{Ended, fault, number, span, text},
};

/// Works until it is stopped, and drains.
pub(crate) async fn work(driver: &Arc<Driver>, command: &Value) -> Result<Value, Ended> {
    let name = text(command, "worker")?;
    let slots = usize::try_from(number(command, "slots")?).unwrap_or(usize::MAX);
    let mut builder = Worker::builder(driver.client(command)?).name(name).slots(slots);
    if let Some(timeout) = span(command, "drain_timeout") {
        builder = builder.drain_timeout(timeout);
    }
    let handlers = Handlers::new(driver.clone(), name);
    for processor in command["processors"].as_array().ok_or_else(|| fault("processors must be a list"))? {
        let processor = processor.as_str().ok_or_else(|| fault("a processor is named by a text"))?;
        builder = builder.processor(processor, handlers.named(processor));
    }
    let worker = builder.build()?;
    let mut stopped = driver.stoppable("worker", name);
    let shutdown = async move {
        // The sender goes only with the driver.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    let summary = worker.run(shutdown).await?;
    Ok(json!({
        "succeeded": summary.succeeded, "failed": summary.failed,
        "cancelled": summary.cancelled, "released": summary.released,
    }))
}
