//! The report as a table for people: on a terminal, or in the documentation. Reads the JSON of a report, this one or an
//! earlier one, and knows no figure of its own.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, TableStyle, presets};
use serde_json::Value;

use super::report::FORMAT;

const HEAD: [&str; 10] = [
    "",
    "per second (min..max)",
    "ratio",
    "to",
    "p50 ms",
    "p99 ms",
    "p999 ms",
    "max ms",
    "server CPU us/op",
    "device B/op",
];

/// For a terminal.
///
/// # Errors
/// If it is no report.
pub(crate) fn text(report: &Value) -> Result<String, String> {
    render(report, presets::NOTHING, "")
}

/// For the documentation.
///
/// # Errors
/// If it is no report.
pub(crate) fn markdown(report: &Value) -> Result<String, String> {
    render(report, presets::ASCII_MARKDOWN, "\n")
}

fn render(report: &Value, preset: TableStyle, gap: &str) -> Result<String, String> {
    match report["semel_bench"].as_u64() {
        Some(FORMAT) => {}
        Some(other) => return Err(format!("it is a report of form {other}, and this program knows form {FORMAT}")),
        None => return Err("it is no report of `semel bench -o json`".to_owned()),
    }
    let mut out = conditions(report);
    let mut table = Table::new();
    table.load_style(preset).set_header(HEAD);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for point in list(&report["points"]) {
        table.add_row(row(point));
    }
    if table.row_count() > 0 {
        _ = writeln!(out, "{gap}{}", table.to_string().trim_end());
    }
    let once =
        steady(&report["steady"]).into_iter().chain(watch(&report["watch"])).chain(triggers(&report["triggers"]));
    for line in once.chain(growth(&report["growth"])) {
        _ = writeln!(out, "{gap}{line}");
    }
    Ok(out)
}

/// What the steady load says, beside the disk.
fn steady(steady: &Value) -> Option<String> {
    let sent = figure(median(&steady["sent_per_s"])?);
    let latency = |name: &str| median(&steady[name]).map_or_else(String::new, |micros| figure(micros / 1e3));
    let probe = &steady["disk_probe"];
    let disk = |name: &str| probe[name].as_f64().map_or_else(|| "unknown".to_owned(), |micros| figure(micros / 1e3));
    let forgets = steady["forgets_meanwhile"] == true;
    let expiry =
        if forgets { "while requests, runs and events are forgotten" } else { "nothing is forgotten meanwhile" };
    Some(format!(
        "Steady load of whole runs, {sent} a second (half the peak) for {} s, {expiry}: RunJob counted from when it was due, \
         p50 {} ms, p99 {} ms, p999 {} ms, max {} ms. The disk alone meanwhile (4 KiB, fdatasync): p50 {} ms, p999 {} ms, max \
         {} ms.",
        steady["seconds"],
        latency("p50_us"),
        latency("p99_us"),
        latency("p999_us"),
        latency("max_us"),
        disk("p50_us"),
        disk("p999_us"),
        disk("max_us"),
    ))
}

/// What the watchers say.
fn watch(watch: &Value) -> Vec<String> {
    let late = |late: &Value| {
        let part = |name: &str| late[name].as_f64().map_or_else(String::new, figure);
        format!("p50 {} ms, p99 {} ms, max {} ms", part("p50_ms"), part("p99_ms"), part("max_ms"))
    };
    let number = |value: &Value| value.as_f64().map_or_else(|| "unknown".to_owned(), figure);
    let memory = |part: &Value| {
        part["memory_per_watcher"].as_f64().map_or_else(|| "unknown".to_owned(), |bytes| figure(bytes / 1024.0))
    };
    let mut lines = Vec::new();
    for apart in list(&watch["apart"]) {
        let held = match apart["held_caught_up_ms"].as_f64() {
            Some(millis) => format!(" One more did not read meanwhile, and had all of it {} ms later.", figure(millis)),
            None => String::new(),
        };
        lines.push(format!(
            "{} watchers over {} connections, each of runs of its own, while {} whole runs a second complete: {} deliveries, all in \
             order, {} after the time of the event; {} KiB of the server for each watcher; the server used {} of a core.{held}",
            number(&apart["watchers"]),
            apart["connections"],
            number(&apart["runs_per_s"]),
            number(&apart["deliveries"]),
            late(&apart["late"]),
            memory(apart),
            number(&apart["server_cpu_share"]),
        ));
    }
    lines.extend(list(&watch["together"]).iter().map(|part| {
        let burst = &part["burst"];
        format!(
            "{} watchers over {} connections, all of the same runs: {} KiB of the server for each; one event at a time, {}; a burst \
             of {} deliveries at {} a second, {} us of the server's CPU each, {}. All complete and in order.",
            number(&part["watchers"]),
            part["connections"],
            memory(part),
            late(&part["paced"]),
            number(&burst["deliveries"]),
            number(&burst["deliveries_per_s"]),
            number(&burst["server_cpu_us_per_delivery"]),
            late(&burst["late"]),
        )
    }));
    lines
}

/// What the triggers say.
fn triggers(triggers: &Value) -> Vec<String> {
    let number = |value: &Value| value.as_f64().map_or_else(|| "unknown".to_owned(), figure);
    let waiting = |part: &Value| {
        format!(
            "{} triggers, a hundred in each job, made at {} a second: {} bytes of the server's own memory for each (after a \
             restart {}), {} MB on disk; starts in {} s.",
            number(&part["count"]),
            number(&part["made_per_s"]),
            number(&part["bytes_per_trigger"]),
            number(&part["bytes_per_trigger_after_restart"]),
            part["store_bytes"].as_f64().map_or_else(|| "unknown".to_owned(), |bytes| figure(bytes / 1e6)),
            number(&part["start_seconds"]),
        )
    };
    let lines = triggers["count"].is_u64().then(|| waiting(triggers));
    lines.into_iter().chain(list(&triggers["fires"]).iter().map(|part| fires(triggers, part))).collect()
}

/// What those of them say that fire.
fn fires(triggers: &Value, part: &Value) -> String {
    let number = |value: &Value| value.as_f64().map_or_else(|| "unknown".to_owned(), figure);
    let late = |late: &Value| {
        let part = |name: &str| number(&late[name]);
        format!("p50 {} ms, p99 {} ms, max {} ms", part("p50_ms"), part("p99_ms"), part("max_ms"))
    };
    let when = if part["shape"] == "burst" { "all at one instant of it" } else { "spread evenly over it" };
    format!(
        "{} of them due in each second, {when}, for {} s beside {} whole runs a second: {} fires, each time once; late by {}; a \
         watcher has them after {}; {} us of the server's CPU each, their runs to the end; RunJob meanwhile p99 {} ms (without \
         triggers {} ms).",
        number(&triggers["fires_per_s"]),
        triggers["seconds"],
        number(&triggers["load_per_s"]),
        number(&part["fires"]),
        late(&part["late"]),
        late(&part["told"]),
        number(&part["server_cpu_us_per_fire"]),
        number(&part["run_job"]["p99_ms"]),
        number(&triggers["alone"]["run_job"]["p99_ms"]),
    )
}

/// What the grown stores say.
fn growth(growth: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    let stages = [
        ("pending_runs", "pending runs"),
        ("records_first", "remembered requests"),
        ("records", "remembered requests"),
    ];
    for (name, words) in stages {
        let stage = &growth[name];
        let Some(items) = stage["items"].as_f64() else { continue };
        let mib = |memory: &str, part: &str| stage[memory][part].as_f64().map(|bytes| bytes / f64::from(1 << 20));
        let own = |memory: &str| mib(memory, "own_bytes").map_or_else(|| "unknown".to_owned(), figure);
        let buckets = list(&stage["buckets"]);
        let rate = |bucket: Option<&Value>| bucket.and_then(|bucket| bucket["rate_per_s"].as_f64()).map(figure);
        lines.push(format!(
            "With {} {words}: {} MiB of memory of the server's own (empty {}, after a restart {}), {} MiB of the store in \
             memory, {} on disk; starts in {} s; SubmitRuns from {} a second at first to {} at last.",
            figure(items),
            own("memory"),
            own("memory_empty"),
            own("memory_after_restart"),
            mib("memory", "file_bytes").map_or_else(|| "unknown".to_owned(), figure),
            stage["store_bytes"].as_f64().map_or_else(|| "unknown".to_owned(), |bytes| format!("{} MB", figure(bytes / 1e6))),
            stage["start_seconds"].as_f64().map_or_else(String::new, figure),
            rate(buckets.first()).unwrap_or_default(),
            rate(buckets.last()).unwrap_or_default(),
        ));
        lines.extend(compared(&stage["compared_with_empty"]));
    }
    lines
}

/// Where and how it was measured, in a sentence or two.
fn conditions(report: &Value) -> String {
    let machine = &report["machine"];
    let words = |value: &Value| value.as_str().unwrap_or("unknown").to_owned();
    let quick = if report["settings"]["rounds"] == 1 { " One round: to see that it works, not to quote." } else { "" };
    let debug = if report["build"] == "debug" { " DEBUG BUILD: these figures mean nothing." } else { "" };
    format!(
        "semel {} on {}: {} cores ({}), {} {}, {}; {} rounds of {} s a point, server and callers on the same machine.{quick}{debug}\n",
        words(&report["version"]),
        words(&report["time"]),
        machine["cores"],
        words(&machine["cpu"]),
        words(&machine["os"]),
        words(&machine["kernel"]),
        words(&machine["file_system"]),
        report["settings"]["rounds"],
        report["settings"]["seconds"],
    )
}

fn row(point: &Value) -> Vec<String> {
    let millis = |name: &str| median(&point[name]).map_or_else(String::new, |micros| figure(micros / 1e3));
    let plain = |name: &str| median(&point[name]).map_or_else(String::new, figure);
    let ratios = point["ratios"].as_object();
    let ratio = |(name, spread): (&String, &Value)| Some((median(spread)?, name.clone()));
    let ratios = ratios.into_iter().flatten().filter_map(ratio);
    let commits = median(&point["commits"]).map(|commits| (commits, "commits".to_owned()));
    let ratios: Vec<(f64, String)> = ratios.chain(commits).collect();
    let joined = |parts: Vec<String>| parts.join("; ");
    vec![
        point["title"].as_str().unwrap_or_default().to_owned(),
        spread(&point["rate_per_s"]),
        joined(ratios.iter().map(|(ratio, _)| format!("{ratio:.2}")).collect()),
        joined(ratios.iter().map(|(_, name)| name.clone()).collect()),
        millis("p50_us"),
        millis("p99_us"),
        millis("p999_us"),
        millis("max_us"),
        plain("server_cpu_us_per_op"),
        plain("device_bytes_per_op"),
    ]
}

/// What a grown store does beside an empty one.
fn compared(compared: &Value) -> Option<String> {
    let ratio = |name: &str| median(&compared[name]["ratio"]).map(|ratio| format!("{ratio:.2}"));
    let written = |side: &str| median(&compared["job_1"][side]["device_bytes_per_op"]).map_or_else(String::new, figure);
    Some(format!(
        "Rate on that store over the rate on an empty one, in turns: RunJob at 1 in flight {} (bytes of the disk for each: {}, and \
         {} on the empty one), at 512 in flight {}, SubmitRuns {}.",
        ratio("job_1")?,
        written("grown"),
        written("empty"),
        ratio("job_512")?,
        ratio("submit_100")?,
    ))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn median(spread: &Value) -> Option<f64> {
    spread["median"].as_f64()
}

fn spread(spread: &Value) -> String {
    let part = |name: &str| spread[name].as_f64().map(figure);
    match (part("median"), part("min"), part("max")) {
        (Some(median), Some(min), Some(max)) => format!("{median} ({min}..{max})"),
        _ => String::new(),
    }
}

/// A figure with as many digits as it is good for.
fn figure(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{:.2}M", value / 1e6),
        value if value >= 1e4 => format!("{:.1}k", value / 1e3),
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report() -> Value {
        let spread = |median: f64| json!({ "median": median, "min": median / 2.0, "max": median * 2.0 });
        json!({
            "semel_bench": FORMAT,
            "version": "1.2.3",
            "points": [{
                "title": "RunJob",
                "rate_per_s": spread(20_000.0),
                "ratios": { "echo_1": spread(0.456) },
                "p50_us": spread(1500.0),
                "server_cpu_us_per_op": null,
            }],
        })
    }

    #[test]
    fn a_row_holds_the_medians_and_leaves_out_what_is_not_known() {
        let table = markdown(&report()).expect("a table");
        let row: Vec<&str> = table.lines().last().expect("a row").split('|').map(str::trim).collect();
        assert_eq!(row, ["", "RunJob", "20.0k (10.0k..40.0k)", "0.46", "echo_1", "1.50", "", "", "", "", "", ""]);
    }

    #[test]
    fn what_is_no_report_is_refused() {
        assert!(text(&json!({})).is_err());
        assert!(text(&json!({ "semel_bench": FORMAT + 1 })).is_err_and(|why| why.contains("form 2")));
    }

    #[test]
    fn a_debug_build_says_that_its_figures_mean_nothing() {
        let mut report = report();
        assert!(!text(&report).expect("a table").contains("DEBUG"));
        report["build"] = json!("debug");
        assert!(text(&report).expect("a table").contains("DEBUG BUILD"));
    }
}
