//! What went wrong, as one clear block for people, as JSON for programs, and as an exit code for scripts. It judges
//! nothing: the client says what a refusal is, [`hints`] says what it means.

mod call;

use std::{io, path::Path, process::ExitCode};

use semel_client::Error;
use serde_json::{Value, json};

use self::call::Call;
pub(crate) use self::call::auth_words;
use super::{
    global::Output,
    hints::{Again, Exit},
    out,
};
use crate::config::Fault;

/// A command that came to its end, which need not be a good one: a run that was waited for may have failed.
#[derive(Debug)]
pub(crate) struct Done(pub(crate) ExitCode);

impl Done {
    /// All is well.
    pub(crate) const OK: Self = Self(ExitCode::SUCCESS);

    /// The answer was shown; it is not what was hoped for.
    pub(crate) fn with(exit: Exit) -> Self {
        Self(exit.into())
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not come to its end.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A call failed.
    Call(Box<Call>),
    /// Something of this machine, or of the command line.
    Local {
        /// How the process ends.
        exit: Exit,
        /// What went wrong.
        message: String,
        /// What to do next.
        next: String,
    },
    /// The settings of a server are wrong.
    Faults(Vec<Fault>),
    /// Nobody reads the output any more, which is no failure of ours.
    OutputClosed,
}

impl Failure {
    /// A call that reads failed.
    #[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
    pub(crate) fn read(error: Error) -> Self {
        Self::Call(Box::new(Call::new(&error, false)))
    }

    /// A call that changes something failed.
    #[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
    pub(crate) fn mutation(error: Error) -> Self {
        Self::Call(Box::new(Call::new(&error, true)))
    }

    /// No connection came about, so nothing was sent.
    #[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
    pub(crate) fn connect(error: Error, server: &str) -> Self {
        let next = format!("check that a server runs at {server} (`semel serve`), or name another with --server");
        Self::Call(Box::new(Call { next: Some(next), ..Call::new(&error, false) }))
    }

    /// The command line says something that cannot be done.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Local { exit: Exit::Usage, message: message.into(), next: "see --help".to_owned() }
    }

    /// Something of this machine does not work.
    pub(crate) fn local(message: impl Into<String>, next: impl Into<String>) -> Self {
        Self::Local { exit: Exit::General, message: message.into(), next: next.into() }
    }

    /// Something of this machine, told with all its causes.
    pub(crate) fn with_causes(error: &dyn std::error::Error, next: &str) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            let words = inner.to_string();
            if !message.contains(&words) {
                message = format!("{message}: {words}");
            }
            cause = inner.source();
        }
        Self::local(message, next)
    }

    /// A file cannot be read or written.
    pub(crate) fn file(doing: &str, path: &Path, error: &io::Error) -> Self {
        let message = format!("cannot {doing} {}: {error}", path.display());
        Self::Local { exit: Exit::Usage, message, next: "check its name and its rights".to_owned() }
    }

    /// The runtime cannot be made.
    #[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
    pub(crate) fn runtime(error: io::Error) -> Self {
        Self::local(format!("cannot start the runtime: {error}"), "check the limits on threads and open files")
    }

    /// Standard output cannot be written.
    #[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
    pub(crate) fn output(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::OutputClosed;
        }
        Self::local(format!("cannot write to standard output: {error}"), "check where it leads")
    }

    /// How the process ends.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Call(call) => call.exit(),
            Self::Local { exit, .. } => *exit,
            Self::Faults(_) => Exit::Usage,
            Self::OutputClosed => Exit::Done,
        }
    }

    /// Tells it, and gives the exit code.
    pub(crate) fn report(self, output: Output) -> ExitCode {
        let exit = self.exit();
        if exit != Exit::Done {
            out::note(&self.block());
            if output == Output::Json {
                // That nothing can be written adds nothing to a failure that was told already.
                _ = out::json(&json!({ "error": self.json() }));
            }
        }
        exit.into()
    }

    /// The block for people.
    pub(crate) fn block(&self) -> String {
        match self {
            Self::Call(call) => call.block(),
            Self::Local { message, next, .. } => block(&out::clean(message), &[("next", next.clone())]),
            Self::Faults(faults) => {
                let lines: Vec<String> =
                    faults.iter().map(|fault| format!("  {}", out::cell(&fault.to_string()))).collect();
                let count = if faults.len() == 1 { "a fault".to_owned() } else { format!("{} faults", faults.len()) };
                format!("semel: the settings have {count}\n{}", lines.join("\n"))
            }
            Self::OutputClosed => String::new(),
        }
    }

    /// The same in one line.
    pub(crate) fn brief(&self) -> String {
        match self {
            Self::Call(call) => call.brief(),
            Self::Local { message, .. } => out::cell(message),
            Self::Faults(_) | Self::OutputClosed => out::cell(&self.block()),
        }
    }

    /// Whether it may be sent again without a look at what became of it.
    pub(crate) fn may_be_sent_again(&self) -> bool {
        !matches!(self, Self::Call(call) if call.hint().is_some_and(|hint| hint.again == Again::LookUpFirst))
    }

    /// The reason of a refusal.
    pub(crate) fn reason(&self) -> Option<&str> {
        match self {
            Self::Call(call) => call.reason(),
            _ => None,
        }
    }

    /// The fields that a refusal finds fault with, and what is wrong with each.
    pub(crate) fn violations(&self) -> impl Iterator<Item = (&str, &str)> {
        let call = if let Self::Call(call) = self { Some(call) } else { None };
        call.into_iter()
            .flat_map(|call| call.violations())
            .map(|wrong| (wrong.field.as_str(), wrong.description.as_str()))
    }

    /// What to do next.
    pub(crate) fn next(&self) -> Option<String> {
        match self {
            Self::Call(call) => call.next(),
            Self::Local { next, .. } => Some(next.clone()),
            Self::Faults(_) | Self::OutputClosed => None,
        }
    }

    /// The same for programs.
    pub(crate) fn json(&self) -> Value {
        let exit = self.exit() as u8;
        match self {
            Self::Call(call) => call.json(),
            Self::Local { message, next, .. } => json!({ "message": message, "next": next, "exit_code": exit }),
            Self::Faults(faults) => {
                let faults: Vec<Value> = faults
                    .iter()
                    .map(|f| json!({ "path": f.path, "origin": f.origin.to_string(), "problem": f.problem }))
                    .collect();
                json!({ "message": "the settings have faults", "faults": faults, "exit_code": exit })
            }
            Self::OutputClosed => Value::Null,
        }
    }
}

/// One block: a headline, and below it what belongs to it.
pub(crate) fn block(headline: &str, rows: &[(&str, String)]) -> String {
    let mut text = format!("semel: {headline}");
    for (name, value) in rows {
        text.push_str(&format!("\n  {name:<12} {value}"));
    }
    text
}

#[cfg(test)]
mod tests;
