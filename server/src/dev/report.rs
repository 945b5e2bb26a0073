//! What was seen, as plain data: what each answer said, how the runs ended, and whether every promise held. It is what a
//! script reads; nothing here prints or calls.

use std::collections::BTreeSet;

use semel_proto::v1::{Disposition, ResponseHeader, Run, RunJobResponse, RunState};
use serde::Serialize;

/// All of it.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) server: String,
    pub(super) data_dir: String,
    pub(super) app: String,
    pub(super) jobs: Vec<String>,
    /// The id of the call that was made several times.
    pub(super) request_id: String,
    /// What each answer to it said; the last one came from the restarted server.
    pub(super) calls: Vec<Heard>,
    /// The run that came of it.
    pub(super) run: Told,
    /// The run of a real command.
    pub(super) command: Told,
    /// The ids of all runs that bear the label of the call.
    pub(super) runs_found: Vec<String>,
    pub(super) checks: Vec<Check>,
    /// Whether every check held.
    pub(super) held: bool,
    /// What to type next.
    pub(super) next: Vec<String>,
}

/// What one answer said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Heard {
    pub(super) disposition: String,
    pub(super) auth: String,
    pub(super) run_id: String,
    pub(super) arrivals: i64,
    pub(super) safe_retry_until: Option<String>,
}

/// How a run went.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Told {
    pub(super) run_id: String,
    pub(super) job: String,
    pub(super) state: String,
    pub(super) attempts: usize,
    pub(super) reason: String,
    /// As JSON if it is JSON, as text otherwise.
    pub(super) result: serde_json::Value,
    /// Its log, both streams together.
    pub(super) log: String,
}

/// One promise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    pub(super) promise: &'static str,
    pub(super) held: bool,
    /// What was seen.
    pub(super) seen: String,
}

impl Heard {
    pub(super) fn of(answer: &RunJobResponse) -> Self {
        let header = answer.header.clone().unwrap_or_default();
        Self {
            disposition: disposition(&header),
            auth: bare(header.auth.clone().unwrap_or_default().status().as_str_name(), "AUTH_STATUS_"),
            run_id: answer.run_id.clone(),
            arrivals: header.arrivals,
            safe_retry_until: header.safe_retry_until.map(|time| time.to_string()),
        }
    }
}

fn disposition(header: &ResponseHeader) -> String {
    bare(Disposition::try_from(header.disposition).unwrap_or_default().as_str_name(), "DISPOSITION_")
}

/// The state of a run, without its prefix.
pub(super) fn state(run: &Run) -> String {
    bare(run.state().as_str_name(), "RUN_STATE_")
}

fn bare(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_owned()
}

impl Told {
    pub(super) fn of(run: &Run, log: String) -> Self {
        let data = run.result.clone().unwrap_or_default().data;
        let text = || String::from_utf8_lossy(&data).trim_end().to_owned().into();
        Self {
            run_id: run.run_id.clone(),
            job: run.job.clone(),
            state: state(run),
            attempts: run.attempts.len(),
            reason: run.reason.clone(),
            result: serde_json::from_slice(&data).unwrap_or_else(|_| text()),
            log,
        }
    }

    fn succeeded(&self) -> bool {
        self.state == bare(RunState::Succeeded.as_str_name(), "RUN_STATE_")
    }
}

/// Judges what was seen.
pub(super) fn checks(calls: &[Heard], run: &Told, command: &Told, runs_found: &[String]) -> Vec<Check> {
    let count = |disposition: &str| calls.iter().filter(|call| call.disposition == disposition).count();
    let (executed, replayed) = (count("EXECUTED"), count("REPLAYED"));
    let named: BTreeSet<&str> = calls.iter().map(|call| call.run_id.as_str()).collect();
    let passed = calls.iter().filter(|call| call.auth == "PASSED").count();
    let check = |promise, held, seen| Check { promise, held, seen };
    vec![
        check(
            "four calls under one id took effect once",
            calls.len() == 4 && executed == 1 && replayed == 3,
            format!("{executed} EXECUTED, {replayed} REPLAYED"),
        ),
        check("every answer names the same run", named.len() == 1, format!("{} named", named.len())),
        check(
            "exactly one run exists",
            runs_found == [run.run_id.clone()],
            format!("{} found by label", runs_found.len()),
        ),
        check("every answer says that the credentials passed", passed == calls.len(), format!("{passed} PASSED")),
        check("the run ended well", run.succeeded(), run.state.clone()),
        check("the command ended well", command.succeeded(), command.state.clone()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(disposition: &str, run_id: &str) -> Heard {
        let text = |text: &str| text.to_owned();
        Heard {
            disposition: text(disposition),
            auth: text("PASSED"),
            run_id: text(run_id),
            arrivals: 1,
            safe_retry_until: None,
        }
    }

    fn told(state: &str) -> Told {
        Told { run_id: "a".to_owned(), state: state.to_owned(), ..Told::default() }
    }

    fn held(calls: &[Heard], state: &str, found: &[&str]) -> bool {
        let found: Vec<String> = found.iter().map(|id| (*id).to_owned()).collect();
        checks(calls, &told(state), &told("SUCCEEDED"), &found).iter().all(|check| check.held)
    }

    #[test]
    fn only_one_effect_and_one_run_pass() {
        let (first, again) = (heard("EXECUTED", "a"), heard("REPLAYED", "a"));
        let good = [again.clone(), first.clone(), again.clone(), again.clone()];
        assert!(held(&good, "SUCCEEDED", &["a"]));
        assert!(!held(&good, "SUCCEEDED", &["a", "b"]));
        assert!(!held(&good, "SUCCEEDED", &[]));
        assert!(!held(&good, "FAILED", &["a"]));
        assert!(!held(&good[..3], "SUCCEEDED", &["a"]));
        assert!(!held(&[first.clone(), first.clone(), again.clone(), again.clone()], "SUCCEEDED", &["a"]));
        assert!(!held(&[first.clone(), again.clone(), again.clone(), heard("REPLAYED", "b")], "SUCCEEDED", &["a"]));
        let silent = Heard { auth: "UNSPECIFIED".to_owned(), ..again.clone() };
        assert!(!held(&[first, again.clone(), again, silent], "SUCCEEDED", &["a"]));
    }
}
