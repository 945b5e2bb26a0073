//! What a run asks `exec` to start, read from its payload and checked. It decides nothing about what is allowed, and it
//! never touches the disk but to see that the folder to work in is there.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use semel_proto::v1::TraceContext;
use serde::Deserialize;

use crate::worker::payload;

/// Arguments of one command: enough for every list of files that fits into a payload with sense.
const ARGUMENTS_MAX: usize = 4096;
/// Environment variables of one command.
const VARIABLES_MAX: usize = 256;

/// Where programs find further programs. Fixed, for whoever sets it chooses what runs.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Plain messages in a known form, whatever the worker's own language is.
const LANG: &str = "C.UTF-8";

/// Variables that a payload may not set, for they make ordinary programs load or start something else. A list like this
/// is never complete: an operator who allows a program answers for what that program reads from its environment.
const KEPT: &[&str] = &[
    "PATH",
    "IFS",
    "ENV",
    "CDPATH",
    "PS4",
    "SHELLOPTS",
    "BASHOPTS",
    "GLOBIGNORE",
    "GCONV_PATH",
    "GETCONF_DIR",
    "HOSTALIASES",
    "LOCPATH",
    "NLSPATH",
    "RES_OPTIONS",
    "LOCALDOMAIN",
    "TERMCAP",
    "TERMINFO",
    "EDITOR",
    "VISUAL",
    "PAGER",
    "BROWSER",
    "CLASSPATH",
    "JAVA_TOOL_OPTIONS",
    "_JAVA_OPTIONS",
    "JDK_JAVA_OPTIONS",
];
/// The same, by how their names begin.
const KEPT_PREFIXES: &[&str] = &[
    "LD_", "DYLD_", "GLIBC_", "MALLOC_", "BASH_", "ZSH_", "PYTHON", "PERL", "RUBY", "NODE_", "GIT_", "LESS", "SEMEL_",
];

/// A command, as the payload of a run states it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Invocation {
    /// The program and its arguments.
    pub(super) argv: Vec<String>,
    /// Where it works; nothing for the operator's folder.
    #[serde(default)]
    pub(super) cwd: Option<PathBuf>,
    /// What is added to its environment.
    #[serde(default)]
    pub(super) env: BTreeMap<String, String>,
    /// What it reads from its standard input; nothing for an empty one.
    #[serde(default)]
    pub(super) stdin: Option<String>,
}

/// What is wrong with an invocation.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum Error {
    #[error(transparent)]
    Payload(#[from] payload::Error),
    #[error("`argv` is empty: give the program, as an absolute path, and its arguments")]
    NoProgram,
    #[error("`argv` has {0} arguments; at most {ARGUMENTS_MAX} are taken, give the rest by `stdin` or a file")]
    ArgumentCount(usize),
    #[error("`env` has {0} variables; at most {VARIABLES_MAX} are taken")]
    VariableCount(usize),
    #[error("`{0}` holds a NUL byte, which no command can take")]
    Nul(&'static str),
    #[error("`env` has a variable {0:?}; a name is not empty and holds no `=`")]
    VariableName(String),
    #[error("`env` sets {0}, which would let a run choose what is loaded or started; leave it out")]
    VariableKept(String),
    #[error("`cwd` is {0:?}; give an absolute path")]
    RelativeFolder(PathBuf),
}

impl Invocation {
    /// Reads a payload. All that is wrong with one stays wrong, however often it is tried.
    pub(super) fn parse(content_type: &str, data: &[u8]) -> Result<Self, Error> {
        let invocation: Self = payload::parse(content_type, data)?;
        invocation.check()?;
        Ok(invocation)
    }

    fn check(&self) -> Result<(), Error> {
        if self.argv.first().is_none_or(String::is_empty) {
            return Err(Error::NoProgram);
        }
        if self.argv.len() > ARGUMENTS_MAX {
            return Err(Error::ArgumentCount(self.argv.len()));
        }
        if self.env.len() > VARIABLES_MAX {
            return Err(Error::VariableCount(self.env.len()));
        }
        if self.argv.iter().any(|argument| argument.contains('\0')) {
            return Err(Error::Nul("argv"));
        }
        for (name, value) in &self.env {
            check_variable(name, value)?;
        }
        match &self.cwd {
            Some(folder) if !folder.is_absolute() => Err(Error::RelativeFolder(folder.clone())),
            Some(folder) if folder.as_os_str().as_encoded_bytes().contains(&0) => Err(Error::Nul("cwd")),
            _ => Ok(()),
        }
    }

    /// The whole environment of the command: nothing of the worker's own is in it.
    pub(super) fn environment(&self, ids: &Ids) -> BTreeMap<String, String> {
        let mut environment = BTreeMap::from([("LANG".to_owned(), LANG.to_owned())]);
        environment.extend(self.env.clone());
        environment.extend([
            ("PATH".to_owned(), PATH.to_owned()),
            ("SEMEL_RUN_ID".to_owned(), ids.run_id.clone()),
            ("SEMEL_ATTEMPT".to_owned(), ids.attempt.to_string()),
            ("SEMEL_ATTEMPT_ID".to_owned(), ids.attempt_id.clone()),
        ]);
        if let Some((trigger, scheduled_time)) = &ids.trigger {
            environment.insert("SEMEL_TRIGGER".to_owned(), trigger.clone());
            environment.insert("SEMEL_SCHEDULED_TIME".to_owned(), scheduled_time.clone());
        }
        if let Some(context) = &ids.trace {
            environment.insert("TRACEPARENT".to_owned(), context.traceparent.clone());
            let state = Some(context.tracestate.clone()).filter(|state| !state.is_empty());
            environment.extend(state.map(|state| ("TRACESTATE".to_owned(), state)));
        }
        environment
    }
}

/// What the command is told of the attempt, so that it can make its own effects idempotent.
#[derive(Clone, Debug)]
pub(super) struct Ids {
    pub(super) run_id: String,
    pub(super) attempt: i64,
    pub(super) attempt_id: String,
    /// The trigger that made the run, and the time that it was made for.
    pub(super) trigger: Option<(String, String)>,
    /// The span of the attempt, if the run is in a trace.
    pub(super) trace: Option<TraceContext>,
}

fn check_variable(name: &str, value: &str) -> Result<(), Error> {
    if name.is_empty() || name.contains('=') {
        return Err(Error::VariableName(name.to_owned()));
    }
    if name.contains('\0') || value.contains('\0') {
        return Err(Error::Nul("env"));
    }
    if KEPT.contains(&name) || KEPT_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
        return Err(Error::VariableKept(name.to_owned()));
    }
    // Shells take functions out of variables whose values look like this.
    if value.starts_with("() {") {
        return Err(Error::VariableKept(name.to_owned()));
    }
    Ok(())
}

/// Whether a command can work in a folder.
pub(super) async fn folder_exists(folder: &Path) -> bool {
    tokio::fs::metadata(folder).await.is_ok_and(|found| found.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Invocation, Error> {
        Invocation::parse("application/json", text.as_bytes())
    }

    #[test]
    fn a_payload_is_read_whole() {
        let text = r#"{"argv":["/bin/a","b c"],"cwd":"/tmp","env":{"K":"V"},"stdin":"in"}"#;
        let invocation = parse(text).unwrap();
        assert_eq!(invocation.argv, ["/bin/a", "b c"]);
        assert_eq!(invocation.cwd.as_deref(), Some(Path::new("/tmp")));
        assert_eq!(invocation.stdin.as_deref(), Some("in"));
    }

    #[test]
    fn what_is_wrong_with_a_payload_is_said() {
        for (text, part) in [
            (r#"{"argv":[]}"#, "`argv` is empty"),
            (r#"{"argv":[""]}"#, "`argv` is empty"),
            (r#"{"argv":"/bin/sh -c id"}"#, "invalid type"),
            (r#"{"argv":["/bin/a"],"shell":true}"#, "unknown field"),
            (r#"{"argv":["/bin/a","b\u0000"]}"#, "NUL"),
            (r#"{"argv":["/bin/a"],"cwd":"etc"}"#, "absolute"),
            (r#"{"argv":["/bin/a"],"env":{"A=B":"c"}}"#, "holds no `=`"),
            (r#"{"argv":["/bin/a"],"env":{"":"c"}}"#, "not empty"),
            (r#"{"argv":["/bin/a"],"env":{"A":"() { :; }; id"}}"#, "env` sets A"),
        ] {
            let message = parse(text).unwrap_err().to_string();
            assert!(message.contains(part), "{text}: {message}");
        }
    }

    #[test]
    fn a_payload_cannot_choose_what_is_loaded() {
        for name in
            ["LD_PRELOAD", "LD_LIBRARY_PATH", "PATH", "BASH_ENV", "PYTHONPATH", "GIT_SSH_COMMAND", "SEMEL_RUN_ID"]
        {
            let error = parse(&format!(r#"{{"argv":["/bin/a"],"env":{{"{name}":"x"}}}}"#)).unwrap_err();
            assert_eq!(error, Error::VariableKept(name.to_owned()));
        }
    }

    #[test]
    fn the_environment_holds_only_what_is_known() {
        let invocation = parse(r#"{"argv":["/bin/a"],"env":{"K":"V","LANG":"de_DE.UTF-8"}}"#).unwrap();
        let ids = Ids { run_id: "r".to_owned(), attempt: 2, attempt_id: "r/2".to_owned(), trigger: None, trace: None };
        let environment = invocation.environment(&ids);
        let pairs: Vec<(&str, &str)> = environment.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let expected = [
            ("K", "V"),
            ("LANG", "de_DE.UTF-8"),
            ("PATH", PATH),
            ("SEMEL_ATTEMPT", "2"),
            ("SEMEL_ATTEMPT_ID", "r/2"),
            ("SEMEL_RUN_ID", "r"),
        ];
        assert_eq!(pairs, expected);
        let trigger = Some(("nightly".to_owned(), "2026-01-31T02:00:00Z".to_owned()));
        let context = TraceContext { traceparent: "00-a-b-01".to_owned(), tracestate: String::new() };
        let environment = invocation.environment(&Ids { trigger, trace: Some(context), ..ids });
        assert_eq!(environment["TRACEPARENT"], "00-a-b-01");
        assert!(!environment.contains_key("TRACESTATE"));
        assert_eq!(environment["SEMEL_TRIGGER"], "nightly");
        assert_eq!(environment["SEMEL_SCHEDULED_TIME"], "2026-01-31T02:00:00Z");
    }
}
