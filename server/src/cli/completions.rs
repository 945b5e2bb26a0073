//! `semel completions`: what a shell needs to complete this command.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{
    Cli,
    failure::{Done, Failure},
    out,
};

/// See the module.
#[derive(Args, Debug)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn run(args: &CompletionsArgs) -> Result<Done, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "semel", &mut script);
    out::bytes(&script)?;
    Ok(Done::OK)
}
