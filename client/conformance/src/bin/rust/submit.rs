//! Runs in volume: by calls of their own that are made together, and over the client's stream.

use std::{sync::Arc, time::Instant};

use semel_client::{Client, Error, v1};
use semel_conformance::json;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::{
    state::Driver,
    words::{Ended, fault, number, of_error, span},
};

/// Makes `count` calls, `concurrency` of them at a time.
pub(crate) async fn call_many(driver: &Driver, command: &Value) -> Result<Value, Ended> {
    let (client, request) = prepared(driver, command)?;
    let places = Arc::new(Semaphore::new(usize::try_from(number(command, "concurrency")?).unwrap_or(1)));
    let mut calls = Vec::new();
    for _ in 0..number(command, "count")? {
        let place = places.clone().acquire_owned().await.map_err(|error| fault(error.to_string()))?;
        let (client, request) = (client.clone(), request.clone());
        calls.push(tokio::spawn(async move {
            let result = client.run_job(request).await;
            drop(place);
            result
        }));
    }
    let mut results = Vec::with_capacity(calls.len());
    for call in calls {
        results.push(of_result(call.await.map_err(|error| fault(error.to_string()))?));
    }
    Ok(json!({"results": results}))
}

/// Submits `count` runs, each with its number as its payload.
pub(crate) async fn submit_many(driver: &Driver, command: &Value) -> Result<Value, Ended> {
    let (client, request) = prepared(driver, command)?;
    let runs = (0..number(command, "count")?).map(move |number| {
        let mut run = request.clone();
        run.payload.get_or_insert_default().data = number.to_string().into();
        run
    });
    let mut submitted = client.submit_many(runs);
    let mut results = Vec::new();
    while let Some(result) = submitted.next().await {
        results.push(of_result(result));
    }
    Ok(json!({"results": results}))
}

/// Submits as many as go through in a time.
pub(crate) async fn bench(driver: &Driver, command: &Value) -> Result<Value, Ended> {
    let (client, request) = prepared(driver, command)?;
    let begun = Instant::now();
    let until = begun + span(command, "duration").ok_or_else(|| fault("duration must be a number"))?;
    let mut submitted =
        client.submit_many(std::iter::from_fn(move || (Instant::now() < until).then(|| request.clone())));
    let mut items = 0_u64;
    while let Some(result) = submitted.next().await {
        result?;
        items += 1;
    }
    Ok(json!({"items": items, "elapsed": begun.elapsed().as_millis() as u64}))
}

fn prepared(driver: &Driver, command: &Value) -> Result<(Client, v1::RunJobRequest), Ended> {
    Ok((driver.client(command)?, json::to("RunJobRequest", &command["request"])?))
}

fn of_result(result: Result<v1::RunJobResponse, Error>) -> Value {
    match result {
        Ok(answer) => {
            let header = answer.header.unwrap_or_default();
            let disposition = header.disposition().as_str_name();
            json!({"request_id": header.request_id, "run_id": answer.run_id, "disposition": disposition})
        }
        Err(error) => json!({"request_id": error.request_id(), "error": of_error(&error)}),
    }
}
