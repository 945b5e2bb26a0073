//! The Rust client is held to every case here, so that its column is part of the workspace's tests; and a driver that lies
//! is caught.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use semel_conformance::{
    storm,
    suite::{self, Cell, Column, STUB},
};

const DRIVER: &str = env!("CARGO_BIN_EXE_semel-conformance-rust");

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

/// A driver that is a script, with the command of the real one at hand as `RUST`.
fn script(folder: &Path, body: &str) -> String {
    let path = folder.join("driver.py");
    let text = format!("#!/usr/bin/env python3\nimport json, subprocess, sys\nRUST = {DRIVER:?}\n{body}\n");
    fs::write(&path, text).expect("the script is written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it can be run");
    path.display().to_string()
}

/// Passes every line to the real driver, and its answers back, both through a function of the liar's.
const THROUGH: &str = r#"
import threading
real = subprocess.Popen([RUST], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
def back():
    for line in real.stdout:
        for answer in answers(json.loads(line)):
            print(json.dumps(answer), flush=True)
threading.Thread(target=back, daemon=True).start()
for line in sys.stdin:
    for command in commands(json.loads(line)):
        real.stdin.write(json.dumps(command) + "\n")
        real.stdin.flush()
real.stdin.close()
real.wait()
"#;

/// The cell of one case for a driver that lies so.
async fn cell_of(client: &str, lie: &str, case: &str) -> Cell {
    let folder = tempfile::tempdir().expect("a folder");
    let command = script(folder.path(), &format!("{lie}{THROUGH}"));
    let entries = suite::run(&[column(client, &command)], case, 1).await;
    assert_eq!(entries.len(), 1, "{case} is one case");
    entries[0].cell.clone()
}

const HONEST: &str = "def commands(command): return [command]\ndef answers(answer): return [answer]\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_passes_everything_through_holds() {
    assert_eq!(cell_of("rust", HONEST, "once/served").await, Cell::Holds);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_makes_every_call_twice_fails_even_as_a_stub() {
    let doubling = "
def commands(command):
    again = dict(command, id=command['id'] + 1000000)
    return [command, again] if command['op'] == 'call' else [command]
def answers(answer):
    return [answer] if answer.get('id', 0) < 1000000 else []
";
    for client in ["go", STUB] {
        let cell = cell_of(client, doubling, "once/served").await;
        assert!(matches!(&cell, Cell::Fails(why) if why.contains("runs")), "{cell:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_tells_of_a_run_that_is_not_fails_even_as_a_stub() {
    let inventing = "
def commands(command): return [command]
def answers(answer):
    response = answer.get('ok', {}).get('response')
    if response: response['run_id'] = '0190163d-8694-739b-aea5-966c26f8ad91'
    return [answer]
";
    let cell = cell_of(STUB, inventing, "once/served").await;
    assert!(matches!(&cell, Cell::Fails(why) if why.contains("does not have")), "{cell:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_gives_up_is_safe_as_a_stub_and_fails_as_a_client() {
    let giving_up = "
def commands(command):
    if command['op'] == 'connect': command['options'] = {'attempts_max': 1}
    return [command]
def answers(answer): return [answer]
";
    let cell = cell_of(STUB, giving_up, "retries/unavailable").await;
    assert!(matches!(cell, Cell::Safe(_)), "{cell:?}");
    let cell = cell_of("go", giving_up, "retries/unavailable").await;
    assert!(matches!(cell, Cell::Fails(_)), "{cell:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_breaks_its_protocol_fails_and_its_last_words_are_shown() {
    let body = "print('oh dear', file=sys.stderr, flush=True)\nprint('rubbish', flush=True)\nsys.stdin.read()";
    let folder = tempfile::tempdir().expect("a folder");
    let entries = suite::run(&[column("go", &script(folder.path(), body))], "once/served", 1).await;
    assert!(
        matches!(&entries[0].cell, Cell::Fails(why) if why.contains("rubbish") && why.contains("oh dear")),
        "{entries:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_hangs_is_killed() {
    let hanging = "
def commands(command): return [] if command['op'] == 'call' else [command]
def answers(answer): return [answer]
";
    let cell = cell_of("go", hanging, "once/served").await;
    assert!(matches!(&cell, Cell::Fails(why) if why.contains("did not end")), "{cell:?}");
}
