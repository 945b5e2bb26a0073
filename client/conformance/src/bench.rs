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
    /// The one by the other, round by round.
    pub ratio: f64,
    /// Why there are no figures.
    pub fault: Option<String>,
}

/// Measures each client, its runs and then its stub, for so long each, in so many rounds through all of them.
pub async fn run(columns: &[Column], rounds: u32, span: Duration) -> Vec<Figures> {
    let mut measured: Vec<Result<Vec<(f64, f64)>, Short>> = columns.iter().map(|_| Ok(Vec::new())).collect();
    for _ in 0..rounds {
        for (column, so_far) in columns.iter().zip(&mut measured) {
            // One that could not is not asked again: it has a fault to show.
            if let Ok(samples) = so_far {
                match measure(column, span).await {
                    Ok(sample) => samples.push(sample),
                    Err(short) => *so_far = Err(short),
                }
            }
        }
    }
    columns.iter().zip(measured).map(|(column, measured)| Figures::of(column.name.clone(), measured)).collect()
}

impl Figures {
    fn of(client: String, measured: Result<Vec<(f64, f64)>, Short>) -> Self {
        let (samples, fault) = match measured {
            Ok(samples) => (samples, None),
            Err(short) => (Vec::new(), Some(format!("{short:?}"))),
        };
        Self {
            client,
            items_per_second: median(samples.iter().map(|(items, _)| *items)),
            echo_per_second: median(samples.iter().map(|(_, echo)| *echo)),
            ratio: median(samples.iter().map(|(items, echo)| if *echo > 0.0 { items / echo } else { 0.0 })),
            fault,
        }
    }
}

/// The middle one; of an even number, the lower of the two in the middle. Zero if there is none.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.len().checked_sub(1).map_or(0.0, |last| values[last / 2])
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

/// The part of the page.
pub fn section(figures: &[Figures], rounds: u32, seconds: u64) -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "\n## What the clients get through\n\n`submit_many` of each client with its durable runs, {PER_MESSAGE} or fewer a message, \
         against a server with its store on disk; beside it the plain stub of the same language with {PER_MESSAGE} items a \
         message, against a server that only answers. Client and server share {cores} cores; a release build, medians of \
         {rounds} rounds of {seconds} s. The ratio is of the same round. Made by `semel-conformance bench --table`; the gate \
         does not compare figures.\n\n{}\n",
        table(figures),
    )
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_medians_and_ratios_are_of_one_round() {
        let figures = Figures::of("go".to_owned(), Ok(vec![(10.0, 100.0), (30.0, 60.0), (20.0, 80.0)]));
        assert_eq!((figures.items_per_second, figures.echo_per_second, figures.ratio), (20.0, 80.0, 0.25));
        assert!(section(&[figures], 3, 2).contains("| go | 20 | 80 | 0.25 |"));
        let none = Figures::of("go".to_owned(), Err(Short::Gap("it hangs".to_owned())));
        assert!(none.ratio == 0.0 && table(&[none]).contains("it hangs"));
    }
}
