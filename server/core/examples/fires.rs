//! Answers when expressions fire: reads lines `expression<TAB>zone<TAB>seconds since 1970<TAB>n` and writes for each the next
//! n fires in seconds since 1970, with spaces between them. What cannot be read is an answer too: `error` and why.
//!
//! With any argument it writes the version of its time zone data and ends.
//!
//! `tests/cron/compare.py` asks it and another implementation the same.

use std::io::{self, BufRead, Write};

use semel_core::{
    id::{Millis, Timestamp},
    schedule::{Fold, Gap, Misfire, Overlap, Schedule, TriggerSpec, When, zone_data_version},
};

fn main() -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    if std::env::args().len() > 1 {
        return writeln!(out, "{}", zone_data_version());
    }
    for line in io::stdin().lock().lines() {
        match answer(&line?) {
            Ok(fires) => writeln!(out, "{}", fires.join(" "))?,
            Err(problem) => writeln!(out, "error {problem}")?,
        }
    }
    out.flush()
}

fn answer(line: &str) -> Result<Vec<String>, String> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [expression, zone, after, count] = fields[..] else { return Err("write four fields".to_owned()) };
    let after: i64 = after.parse().map_err(|_| format!("{after} is no number of seconds"))?;
    let count: usize = count.parse().map_err(|_| format!("{count} is no number of fires"))?;
    let schedule = Schedule::compile(&trigger(expression, zone), Timestamp(0)).map_err(|error| error.to_string())?;
    let fires = schedule.upcoming(Timestamp(after.saturating_mul(1000))).take(count);
    Ok(fires.map(|at| (at.0 / 1000).to_string()).collect())
}

fn trigger(expression: &str, zone: &str) -> TriggerSpec {
    TriggerSpec {
        when: When::Cron { expression: expression.to_owned() },
        zone: zone.to_owned(),
        gap: Gap::default(),
        fold: Fold::default(),
        exclude: Vec::new(),
        start_time: None,
        end_time: None,
        max_fires: None,
        jitter: Millis(0),
        overlap: Overlap::default(),
        misfire: Misfire::default(),
        catch_up: Millis(0),
        pause_after_failures: None,
        payload: None,
        labels: std::collections::BTreeMap::new(),
    }
}
