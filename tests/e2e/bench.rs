//! `semel bench` as a person or a script uses it: what it prints, what it refuses, what it leaves behind. Never how fast
//! anything was.

use std::{path::Path, process::Stdio, time::Duration};

use serde_json::Value;

use super::{
    binary::{semel, signal, until},
    harness::in_time,
};

/// A whole bench is dozens of short measurements, which a busy machine stretches. Only a bound.
const PATIENCE: Duration = Duration::from_secs(240);

const POINTS: [&str; 18] = [
    "echo_1",
    "job_1",
    "echo_64",
    "job_64",
    "echo_512",
    "job_512",
    "job_512_metrics",
    "job_512_access",
    "job_512_audit",
    "job_512_sampled",
    "job_512_traced",
    "echo_stream_1",
    "submit_1",
    "echo_stream_100",
    "submit_100",
    "start",
    "noop_1",
    "noop_2",
];

fn command(temporary: &Path, arguments: &[&str]) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(semel());
    // What would break a server of one's own, were it handed on.
    command.env("TMPDIR", temporary).env("SEMEL_LISTEN", "nonsense").current_dir(temporary);
    command.arg("bench").args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    command
}

fn leftovers(folder: &Path) -> usize {
    std::fs::read_dir(folder).expect("it reads").count()
}

#[tokio::test]
async fn a_quick_bench_gives_each_point_its_figures_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let small = ["--full", "--records", "2000", "--pending", "1000"];
    let arguments = [&["--quick", "--seconds", "0.2", "-o", "json"] as &[&str], &small].concat();
    let measured = tokio::time::timeout(PATIENCE, command(folder.path(), &arguments).output());
    let output = measured.await.expect("in time").expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((report["semel_bench"].as_u64(), report["settings"]["rounds"].as_u64()), (Some(1), Some(1)));
    assert!(report["machine"]["cores"].as_u64().is_some_and(|cores| cores > 0));

    let points = report["points"].as_array().expect("points");
    let figure = |point: &Value, name: &str| point[name]["median"].as_f64().unwrap_or_default();
    for name in POINTS {
        let point = points.iter().find(|point| point["name"] == name).unwrap_or_else(|| panic!("no point {name}"));
        assert!(figure(point, "rate_per_s") > 0.0 && figure(point, "p50_us") > 0.0, "{point:#}");
        assert!(figure(point, "p50_us") <= figure(point, "p999_us"), "{point:#}");
        let against = match name.strip_prefix("job_") {
            Some(shape) if shape.parse::<u32>().is_ok() => format!("echo_{shape}"),
            Some(_) => "job_512".to_owned(),
            None => continue,
        };
        assert!(figure(&point["ratios"], &against) > 0.0, "{point:#}");
    }
    let start = points.iter().find(|point| point["name"] == "start").expect("it was measured");
    assert!(start["commits"].is_object() && start["ratios"].is_null(), "{start:#}");
    assert!(figure(&report["steady"], "p999_us") > 0.0, "{:#}", report["steady"]);
    assert!(report["steady"]["disk_probe"]["max_us"].as_f64().is_some(), "{:#}", report["steady"]);
    let watch = &report["watch"];
    let apart = watch["apart"].as_array().expect("without and with one that does not read");
    assert!(apart.iter().all(|part| part["deliveries"].as_u64().is_some_and(|count| count > 0)), "{watch:#}");
    assert_eq!(apart.iter().map(|part| part["held_caught_up_ms"].is_number()).collect::<Vec<_>>(), [false, true]);
    let parts = watch["together"].as_array().expect("parts");
    assert_eq!(parts.iter().map(|part| part["watchers"].as_u64()).collect::<Vec<_>>(), [Some(200), Some(1000)]);
    for part in parts {
        let burst = &part["burst"];
        assert!(burst["deliveries_per_s"].as_f64().is_some_and(|rate| rate > 0.0), "{part:#}");
        assert!(part["paced"]["p99_ms"].as_f64().is_some() && part["memory_per_watcher"].is_u64(), "{part:#}");
    }
    let triggers = &report["triggers"];
    assert!(triggers["bytes_per_trigger"].is_u64() && triggers["start_seconds"].is_f64(), "{triggers:#}");
    let fires = triggers["fires"].as_array().expect("spread, and all at once");
    assert_eq!(fires.iter().map(|part| part["fires"].as_u64()).collect::<Vec<_>>(), [Some(200), Some(1000)]);
    assert!(fires.iter().all(|part| part["told"]["p99_ms"].is_number()), "{triggers:#}");
    let growth = &report["growth"];
    for (name, items) in [("pending_runs", 1000), ("records_first", 200), ("records", 2000)] {
        assert_eq!(growth[name]["items"], items, "{growth:#}");
        assert!(growth[name]["start_seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{growth:#}");
        assert!(growth[name]["store_bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{growth:#}");
    }
    assert!(figure(&growth["records"]["compared_with_empty"]["job_512"], "ratio") > 0.0, "{growth:#}");
    assert_eq!(leftovers(folder.path()), 0);

    // The table is made from the report, then and later.
    std::fs::write(folder.path().join("report.json"), &output.stdout).expect("written");
    let shown = in_time(command(folder.path(), &["--report", "report.json"]).output()).await.expect("it runs");
    let table = String::from_utf8(shown.stdout).expect("text");
    let rows = table.lines().filter(|line| line.starts_with('|')).count();
    assert_eq!(rows, points.len() + 2, "a head, a line, and the points: {table}");
    assert!(
        table.contains("Steady load")
            && table.contains("watchers over")
            && table.contains("fires, each time once")
            && table.contains("1000 pending runs"),
        "{table}"
    );
}

#[tokio::test]
async fn a_bench_that_is_stopped_takes_its_server_and_its_folder_along() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = command(folder.path(), &["--only", "steady", "--seconds", "600"]).spawn().expect("it starts");
    // Both processes are there: the echo's folder, and the server's with its data.
    until(async || (leftovers(folder.path()) == 2).then_some(())).await;
    signal(&child, "TERM").await;
    let status = in_time(child.wait()).await.expect("it ends");
    assert_eq!((status.code(), leftovers(folder.path())), (Some(1), 0));
}

#[tokio::test]
async fn what_a_bench_cannot_do_is_told_clearly() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("file"), "{}").expect("written");
    for (arguments, word) in [
        (&["--only", "job_7"] as &[&str], "job_512"),
        (&["--data-dir", "file"], "--data-dir"),
        (&["--report", "file"], "no report"),
        (&["--address", "http://127.0.0.1:9"], "credentials"),
        (&["--triggers", "10"], "4000"),
        (&["--address", "http://127.0.0.1:9", "--secret", "sk_none", "--timeout", "1s"], "cannot"),
    ] {
        let output = in_time(command(folder.path(), arguments).output()).await.expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(word), "{arguments:?}: {said}");
    }
    assert_eq!(leftovers(folder.path()), 1);
}

#[tokio::test]
async fn the_figures_of_the_documentation_are_those_of_the_report_beside_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let report = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/benchmarks.json");
    let arguments = ["--report", report.to_str().expect("text")];
    let shown = in_time(command(folder.path(), &arguments).output()).await.expect("it runs");
    let figures = String::from_utf8(shown.stdout).expect("text");
    let page = include_str!("../../docs/BENCHMARKS.md");
    let expected = format!("<!-- figures -->\n{figures}<!-- end of figures -->\n");
    assert!(shown.status.success() && page.ends_with(&expected), "run `bash docs/benchmarks.sh`:\n{figures}");
}
