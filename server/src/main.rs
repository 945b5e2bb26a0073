//! The one binary. It only hands over to the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    semel_server::cli::main()
}
