//! A driver that lies on purpose, for the tests of the runner: it passes commands and answers of a real driver through, and
//! does one wrong thing to them. `semel-conformance-liar LIE REAL_DRIVER`.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
    thread,
};

use serde_json::{Value, json};

/// Ids of commands that the runner did not send.
const OWN_IDS: u64 = 1_000_000;

/// What it does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    /// Nothing.
    None,
    /// Every call is made twice.
    Doubling,
    /// It tells of a run that is not.
    Inventing,
    /// It gives up at once.
    GivingUp,
    /// It never answers a call.
    Hanging,
    /// It says what is no answer.
    Rubbish,
}

fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    let (lie, real) = (args.next().unwrap_or_default(), args.next().unwrap_or_default());
    let lie = match lie.as_str() {
        "none" => Lie::None,
        "doubling" => Lie::Doubling,
        "inventing" => Lie::Inventing,
        "giving-up" => Lie::GivingUp,
        "hanging" => Lie::Hanging,
        "rubbish" => Lie::Rubbish,
        other => return Err(io::Error::other(format!("there is no lie {other:?}"))),
    };
    if lie == Lie::Rubbish {
        eprintln!("these are my last words");
        println!("rubbish");
        return io::copy(&mut io::stdin(), &mut io::sink()).map(drop);
    }
    let mut real = Command::new(real).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let (Some(mut input), Some(output)) = (real.stdin.take(), real.stdout.take()) else { return Ok(()) };
    let answering = thread::spawn(move || -> io::Result<()> {
        for line in BufReader::new(output).lines() {
            for answer in answers(lie, serde_json::from_str(&line?)?) {
                println!("{answer}");
            }
        }
        Ok(())
    });
    for line in io::stdin().lines() {
        for command in commands(lie, serde_json::from_str(&line?)?) {
            writeln!(input, "{command}")?;
        }
        input.flush()?;
    }
    drop(input);
    real.wait()?;
    answering.join().map_err(|_| io::Error::other("the answers broke off"))?
}

/// What becomes of a command.
fn commands(lie: Lie, mut command: Value) -> Vec<Value> {
    let is_call = command["op"] == "call";
    match lie {
        Lie::Doubling if is_call => {
            let mut again = command.clone();
            again["id"] = json!(command["id"].as_u64().unwrap_or_default() + OWN_IDS);
            vec![command, again]
        }
        Lie::GivingUp if command["op"] == "connect" => {
            command["options"] = json!({"attempts_max": 1});
            vec![command]
        }
        Lie::Hanging if is_call => Vec::new(),
        _ => vec![command],
    }
}

/// What becomes of an answer.
fn answers(lie: Lie, mut answer: Value) -> Vec<Value> {
    if answer["id"].as_u64().is_some_and(|id| id >= OWN_IDS) {
        return Vec::new();
    }
    if let (Lie::Inventing, Some(response)) = (lie, answer.pointer_mut("/ok/response")) {
        response["run_id"] = json!("0190163d-8694-739b-aea5-966c26f8ad91");
    }
    vec![answer]
}
