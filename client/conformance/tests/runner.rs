//! The Rust client is held to every case here, so that its column is part of the workspace's tests; and drivers that lie are
//! caught.

use semel_conformance::{
    storm,
    suite::{self, Cell, Column, STUB},
};

const DRIVER: &str = env!("CARGO_BIN_EXE_semel-conformance-rust");
const LIAR: &str = env!("CARGO_BIN_EXE_semel-conformance-liar");

fn column(name: &str, command: &str) -> Column {
    Column { name: name.to_owned(), command: command.to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rust_client_holds_to_every_case_and_comes_through_a_short_storm() {
    let entries = suite::run(&[column("rust", DRIVER)], "", 2).await;
    let gaps: Vec<_> = entries.iter().filter(|entry| entry.is_gap()).collect();
    assert!(gaps.is_empty(), "{gaps:#?}");
    assert!(entries.len() > 150, "only {} cases were run", entries.len());
    let outcomes = storm::run(&[column("rust", DRIVER)], 1000, 7).await;
    assert_eq!(outcomes[0].gap, None, "{outcomes:?}");
    assert_eq!(outcomes[0].runs, 1000);
}

/// The cell of one case for a driver that lies so.
async fn cell_of(client: &str, lie: &str, case: &str) -> Cell {
    let entries = suite::run(&[column(client, &format!("{LIAR} {lie} {DRIVER}"))], case, 1).await;
    assert_eq!(entries.len(), 1, "{case} is one case");
    entries[0].cell.clone()
}

fn assert_fails(cell: &Cell, words: &[&str]) {
    let Cell::Fails(why) = cell else { panic!("{cell:?}") };
    assert!(words.iter().all(|word| why.contains(word)), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_passes_everything_through_holds() {
    assert_eq!(cell_of("go", "none", "once/served").await, Cell::Holds);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_makes_every_call_twice_fails_even_as_a_stub() {
    for client in ["go", STUB] {
        assert_fails(&cell_of(client, "doubling", "once/served").await, &["has 2 runs", "at most 1"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_tells_of_a_run_that_is_not_fails_even_as_a_stub() {
    assert_fails(&cell_of(STUB, "inventing", "once/served").await, &["the server does not have"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_gives_up_is_safe_as_a_stub_and_fails_as_a_client() {
    let cell = cell_of(STUB, "giving-up", "retries/unavailable").await;
    assert!(matches!(cell, Cell::Safe(_)), "{cell:?}");
    assert_fails(&cell_of("go", "giving-up", "retries/unavailable").await, &["expected success", "UNAVAILABLE"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_breaks_its_protocol_fails_and_its_last_words_are_shown() {
    assert_fails(&cell_of("go", "rubbish", "once/served").await, &["rubbish", "these are my last words"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_hangs_is_killed() {
    assert_fails(&cell_of("go", "hanging", "once/served").await, &["did not end within"]);
}
