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
