//! What the documents say of the code is so.

use std::fmt::Write as _;

use semel_core::run::{Phase, may_follow};

#[test]
fn the_table_of_a_runs_states_is_the_one_in_the_code() {
    let mut table = String::from("| from \\ to |");
    for to in Phase::ALL {
        let _ = write!(table, " {} |", to.as_str());
    }
    table += "\n|---|";
    table += &"---|".repeat(Phase::ALL.len());
    for from in Phase::ALL {
        let _ = write!(table, "\n| {} |", from.as_str());
        for to in Phase::ALL {
            table += if may_follow(from, to) { " yes |" } else { "  |" };
        }
    }
    let page = include_str!("../../ARCHITECTURE.md");
    assert!(page.contains(&table), "put this table into ARCHITECTURE.md:\n{table}");
}

#[test]
fn every_limit_is_told_of_with_its_default() {
    let page = include_str!("../../docs/ATTACKS.md");
    let settings = semel_server::config::Config::default().json();
    for (name, value) in settings["limits"].as_object().expect("there are limits") {
        let value = match value.as_u64() {
            Some(bytes) if bytes >= 1 << 20 => format!("{} MiB", bytes >> 20),
            Some(count) => count.to_string(),
            None => value.as_str().expect("a number or a word").to_owned(),
        };
        let row = format!("| `limits.{name}` | {value} |");
        assert!(page.contains(&row), "docs/ATTACKS.md has no row that begins so: {row}");
    }
}
