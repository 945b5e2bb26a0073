//! The table of docs/ATTACKS.md, made of what was measured. Its figures are never written by hand.

use std::{fmt::Write as _, path::Path, time::Duration};

use super::ground::{Ground, Row};

const BEGIN: &str = "<!-- attacks: made by tests/e2e/attack -->\n";
const END: &str = "<!-- end of attacks -->\n";

/// Puts the table into the page, between its marks.
pub(crate) fn write(page: &Path, ground: &Ground, memory_max: u64) {
    let text = std::fs::read_to_string(page).expect("the page is there");
    let (before, rest) = text.split_once(BEGIN).expect("the page has the mark");
    let (_, after) = rest.split_once(END).expect("the page has the end mark");
    let text = format!("{before}{BEGIN}{}{END}{after}", table(ground, memory_max));
    std::fs::write(page, text).expect("the page can be written");
}

fn table(ground: &Ground, memory_max: u64) -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let profile = if cfg!(debug_assertions) { "without optimisation" } else { "with optimisation" };
    let mut text = format!(
        "Measured on {cores} cores, which server, honest callers and attacker share; built {profile}. Before the first attack \
         the server had {} in memory. The bound that is held: {} more.\n\n",
        mib(ground.memory_quiet),
        mib(memory_max),
    );
    text.push_str("| attack | what was sent | for | what the server did | honest p50, quiet / under | honest p99, quiet / under | memory at most |\n");
    text.push_str("|---|---|---|---|---|---|---|\n");
    for Row { attack, did, server, quiet, under, took, memory_peak } in &ground.rows {
        let _ = writeln!(
            text,
            "| {attack} | {did} | {:.1} s | {server} | {} / {} ms | {} / {} ms | {} |",
            took.as_secs_f64(),
            ms(quiet.p50),
            ms(under.p50),
            ms(quiet.p99),
            ms(under.p99),
            mib(*memory_peak),
        );
    }
    text
}

fn ms(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1000.0)
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}
