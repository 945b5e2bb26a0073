//! The proxy as a program, for people and for suites in other languages. It says where it listens on its first line, tells
//! each fault on standard error, and at its end (SIGTERM or SIGINT) what it has done.

use std::{io, net::SocketAddr, process::ExitCode, time::Duration};

use clap::{Parser, ValueEnum};
use semel_faults::{Fault, Plan, Proxy};
use tokio::signal::unix::{SignalKind, signal};

/// A gRPC proxy that does to calls, and to the messages of streams, what networks and proxies do to them.
#[derive(Debug, Parser)]
#[command(name = "semel-faults", after_help = faults())]
struct Arguments {
    /// Where to listen; port 0 takes any free one
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The server
    #[arg(long)]
    to: SocketAddr,
    /// By which faults are drawn: the same seed gives the same faults to the same calls, in the order in which they come
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// `calm`, `storm`, or either or nothing followed by FAULT=ODDS out of a thousand calls (or messages of streams, for
    /// faults of those), separated by commas
    #[arg(long, default_value = "storm")]
    plan: Plan,
    /// After how many further calls a kept one is sent again
    #[arg(long, default_value_t = 500)]
    later_after: u64,
    /// For how many milliseconds a message of a stream is held back
    #[arg(long, default_value_t = 6000, value_name = "MS")]
    hold_ms: u64,
    /// The form of what is written to standard output
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Tells nothing of single faults
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

fn faults() -> String {
    let line = |fault: Fault| format!("\n  {:<18}{}", fault.name(), fault.what());
    let calls: String = Fault::of_calls().map(line).collect();
    let messages: String = Fault::of_messages().map(line).collect();
    let openings: Vec<&str> = Fault::of_openings().map(Fault::name).collect();
    let openings = openings.join(", ");
    format!(
        "Faults of calls:{calls}\n\nOf these for streams too, while they open: {openings}\n\nFaults of messages of streams:{messages}"
    )
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if !arguments.quiet {
        tracing_subscriber::fmt().with_writer(io::stderr).with_target(false).init();
    }
    match run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("semel-faults: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> io::Result<()> {
    let held = Duration::from_millis(arguments.hold_ms);
    let plan = arguments.plan.seed(arguments.seed).later_after(arguments.later_after).hold_for(held);
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let proxy = Proxy::start(arguments.listen, arguments.to, plan).await?;
    match arguments.output {
        Output::Text => println!("listening on {}", proxy.address()),
        Output::Json => println!("{}", serde_json::json!({ "address": proxy.address().to_string() })),
    }
    tokio::select! {
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
    }
    proxy.send_kept().await;
    let counts = proxy.counts();
    match arguments.output {
        Output::Json => println!("{}", counts.to_json()),
        Output::Text => {
            println!(
                "{} calls, {} streams with {} messages, sent {}, unreachable {}",
                counts.calls, counts.streams, counts.messages, counts.sent, counts.unreachable
            );
            for (fault, count) in &counts.faults {
                println!("{fault:<20} {count}");
            }
            for (fault, count) in &counts.openings {
                println!("{fault:<20} {count} of streams that opened");
            }
        }
    }
    Ok(())
}
