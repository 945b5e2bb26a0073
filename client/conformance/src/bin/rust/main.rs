//! The driver of the Rust client; its protocol stands in `client/conformance/DRIVER.md`. This file owns the way of a
//! command in and of its answer out; what each does stands in the other files, by theme.

mod calls;
mod echo;
mod handlers;
mod state;
mod submit;
mod watches;
mod words;
mod workers;

use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use semel_client::RequestId;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    sync::mpsc,
};

use crate::{
    state::{Driver, UnderWay},
    words::{Ended, fault},
};

/// Lines that may wait to be written.
const LINES_MAX: usize = 8192;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> std::io::Result<()> {
    let (lines, mut written) = mpsc::channel::<Value>(LINES_MAX);
    let writer = tokio::spawn(async move {
        let mut out = tokio::io::stdout();
        while let Some(line) = written.recv().await {
            out.write_all(format!("{line}\n").as_bytes()).await?;
            out.flush().await?;
        }
        Ok::<_, std::io::Error>(())
    });
    let driver = Arc::new(Driver::new(lines));
    let mut input = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = input.next_line().await? {
        if let Err(mistake) = take(&driver, &line) {
            driver.say(json!({"id": null, "fault": mistake})).await;
        }
    }
    driver.end();
    drop(driver);
    writer.await.map_err(std::io::Error::other)?
}

/// Starts what a line asks for.
fn take(driver: &Arc<Driver>, line: &str) -> Result<(), String> {
    let command: Value = serde_json::from_str(line).map_err(|error| format!("this is no JSON: {error}"))?;
    let id = command["id"].as_u64().ok_or("a command has a number as its id")?;
    let under_way = Arc::new(UnderWay::of(&command));
    driver.enter(id, under_way.clone());
    let driver = driver.clone();
    tokio::spawn(async move {
        let answer = tokio::select! {
            answer = execute(&driver, &command) => answer,
            () = under_way.cancelled() => Err(under_way.as_cancelled()),
        };
        driver.leave(id);
        let line = match answer {
            Ok(ok) => json!({"id": id, "ok": ok}),
            Err(Ended::Error(error)) => json!({"id": id, "error": error}),
            Err(Ended::Fault(what)) => json!({"id": id, "fault": what}),
        };
        driver.say(line).await;
    });
    Ok(())
}

/// The library draws the random bits itself.
fn uuid(command: &Value) -> Value {
    let time = UNIX_EPOCH + Duration::from_millis(command["unix_ms"].as_u64().unwrap_or_default());
    json!({"uuid": RequestId::mint(time).to_string(), "own_random": true})
}

async fn execute(driver: &Arc<Driver>, command: &Value) -> Result<Value, Ended> {
    match command["op"].as_str().unwrap_or_default() {
        "hello" => Ok(json!({
            "client": "semel-client", "version": env!("CARGO_PKG_VERSION"), "language": "rust",
            "runtime": "tokio", "grpc": "tonic 0.14",
        })),
        "connect" => driver.connect(command),
        "close" => driver.close(command),
        "mint" => Ok(json!({"request_id": driver.client(command)?.mint_request_id().to_string()})),
        "uuid" => Ok(uuid(command)),
        "call" => calls::call(driver, command).await,
        "cancel" => driver.cancel(command),
        "call_many" => submit::call_many(driver, command).await,
        "submit_many" => submit::submit_many(driver, command).await,
        "wait" => calls::wait(driver, command).await,
        "watch" => watches::watch(driver, command).await,
        "stop_watch" => driver.stop("watch", command),
        "worker" => workers::work(driver, command).await,
        "stop_worker" => driver.stop("worker", command),
        "release" => driver.release(command),
        "bench_submit" => submit::bench(driver, command).await,
        "bench_echo" => echo::bench(command).await,
        other => Err(fault(format!("there is no command {other:?}"))),
    }
}
