//! What each client gets through: durable runs by `submit_many` against a server with its store on disk, beside what its
//! bare stub gets through against a server that only answers.

use std::{sync::Arc, time::Duration};

use semel_server::server::Data;
use serde_json::{Value, json};

use crate::{
    answer::{Short, Verdict},
    case::Cx,
    driver::Driver,
    echo,
    ground::JOB,
    suite::Column,
};

/// The bound of the store.
const MAP_BYTES: usize = 4 << 30;
/// Items in a message of the echo, as many as clients put into one of theirs.
const PER_MESSAGE: u64 = 100;

/// What a client gets through.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Figures {
    /// The client.
    pub client: String,
    /// Runs a second, durable.
    pub items_per_second: f64,
    /// Items a second of the bare stub.
    pub echo_per_second: f64,
    /// The one by the other.
    pub ratio: f64,
    /// Why there are no figures.
    pub fault: Option<String>,
}

/// Measures each client for so long, twice.
pub async fn run(columns: &[Column], span: Duration) -> Vec<Figures> {
    let mut figures = Vec::new();
    for column in columns {
        let (client, nothing) = (column.name.clone(), 0.0);
        figures.push(match measure(column, span).await {
            Ok((items, echo)) => {
                let ratio = if echo > 0.0 { items / echo } else { nothing };
                Figures { client, items_per_second: items, echo_per_second: echo, ratio, fault: None }
            }
            Err(short) => {
                let fault = Some(format!("{short:?}"));
                Figures { client, items_per_second: nothing, echo_per_second: nothing, ratio: nothing, fault }
            }
        });
    }
    figures
}

async fn measure(column: &Column, span: Duration) -> Verdict<(f64, f64)> {
    let broken = |error: std::io::Error| Short::Gap(error.to_string());
    let driver = Arc::new(Driver::start(&column.command).map_err(broken)?);
    let folder = tempfile::tempdir().map_err(broken)?;
    let mut cx = Cx::new(driver.clone(), &column.command);
    let path = folder.path().to_owned();
    let data = Data::Directory { path, map_size: MAP_BYTES };
    let ground = cx.ground_with(move |settings| settings.data = data).await;
    let (endpoint, secret) = (ground.get().await.endpoint(), ground.get().await.by_secret());
    let client = cx.connect(&endpoint, secret, json!({})).await?;
    let duration = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let fields = json!({"request": {"job": JOB}, "duration": duration});
    let items = rate(&client.ask("bench_submit", fields).await.ok()?)?;
    ground.stop().await;
    let fields = json!({
        "endpoint": format!("http://{}", echo::start().await), "duration": duration, "per_message": PER_MESSAGE,
    });
    let echo = rate(&driver.ask("bench_echo", fields).await.ok()?)?;
    Ok((items, echo))
}

fn rate(ok: &Value) -> Verdict<f64> {
    match (ok["items"].as_f64(), ok["elapsed"].as_f64()) {
        (Some(items), Some(elapsed)) if elapsed > 0.0 => Ok(items * 1000.0 / elapsed),
        _ => crate::answer::gap(format!("expected items and the time they took, got {ok}")),
    }
}

/// The figures for people.
pub fn table(figures: &[Figures]) -> String {
    let mut text = String::from("| client | durable runs/s | bare echo/s | ratio |\n|---|---|---|---|\n");
    for Figures { client, items_per_second, echo_per_second, ratio, fault } in figures {
        text.push_str(&match fault {
            None => format!("| {client} | {items_per_second:.0} | {echo_per_second:.0} | {ratio:.2} |\n"),
            Some(fault) => format!("| {client} | – | – | {fault} |\n"),
        });
    }
    text
}
