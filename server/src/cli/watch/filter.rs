//! Which events `semel watch` shows, and from where: flags, made into the options of a watch.

use clap::{Args, ValueEnum};
use semel_client::{WatchOptions, watch::ResumeToken};
use semel_proto::v1::{EventKind, SnapshotScope};

use crate::cli::parse;

/// What to watch; of the values of one option one must hold, of the options all.
#[derive(Args, Debug)]
pub(super) struct FilterArgs {
    /// Instead of one app all below this one, such as pay for pay/settle and pay/refund; may be given more than once
    #[arg(long = "prefix", value_name = "APP")]
    prefixes: Vec<String>,
    /// Instead of one app all that the credentials may view
    #[arg(short = 'A', long, conflicts_with = "prefixes")]
    all_apps: bool,
    /// Only this job and its runs; may be given more than once
    #[arg(long = "job", value_name = "JOB")]
    jobs: Vec<String>,
    /// Only this run; may be given more than once
    #[arg(long = "run", value_name = "RUN")]
    runs: Vec<String>,
    /// Only runs and jobs that bear this label and all others that are given
    #[arg(short, long = "label", value_name = "KEY=VALUE", value_parser = parse::label)]
    labels: Vec<(String, String)>,
    /// Only events of this kind, such as run-failed or job-paused; may be given more than once
    #[arg(long = "kind", value_name = "KIND", value_parser = kind)]
    kinds: Vec<EventKind>,
    /// Only ends of runs
    #[arg(long)]
    terminal_only: bool,
    /// Shows first how things stand: what is not finished (live), or all that is kept (all)
    #[arg(long, value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "live")]
    snapshot: Option<Scope>,
    /// From where: now, a revision, or what the end of the last watch says
    #[arg(long, value_name = "now|REVISION|TOKEN", default_value = "now", value_parser = from, conflicts_with = "snapshot")]
    from: From,
    /// Goes on from how things stand if what happened next is no longer kept, instead of failing
    #[arg(long)]
    bridge: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Scope {
    Live,
    All,
}

#[derive(Clone, Debug, PartialEq)]
enum From {
    Now,
    Revision(i64),
    Token(ResumeToken),
}

impl FilterArgs {
    /// The options of the watch.
    pub(super) fn options(&self) -> WatchOptions {
        let options = self.filtered();
        let options = match (&self.from, self.snapshot) {
            (_, Some(Scope::Live)) => options.snapshot(SnapshotScope::Live),
            (_, Some(Scope::All)) => options.snapshot(SnapshotScope::All),
            (From::Now, None) => options,
            (From::Revision(revision), None) => options.start_at(*revision),
            (From::Token(token), None) => options.resume(token.clone()),
        };
        if self.bridge { options.bridge_gaps(SnapshotScope::All) } else { options }
    }

    /// The same for a table, which begins with how things stand and bears every gap.
    pub(super) fn table_options(&self) -> WatchOptions {
        self.filtered().snapshot(SnapshotScope::Live).bridge_gaps(SnapshotScope::Live)
    }

    fn filtered(&self) -> WatchOptions {
        let mut options = WatchOptions::new();
        if self.all_apps {
            options = options.everything();
        }
        options = options.apps(self.prefixes.iter().map(|prefix| pattern(prefix)));
        options = self.jobs.iter().fold(options, |options, job| options.job(job));
        options = self.runs.iter().fold(options, |options, run| options.run(run));
        options = self.labels.iter().fold(options, |options, (key, value)| options.label(key, value));
        options = self.kinds.iter().fold(options, |options, kind| options.kind(*kind));
        if self.terminal_only { options.terminal_only() } else { options }
    }

    /// What is watched, in a few words; `app` is that of the command line.
    pub(super) fn words(&self, app: &str) -> String {
        let mut words = match (self.all_apps, self.prefixes.is_empty(), app) {
            (true, ..) => vec!["all apps".to_owned()],
            (_, false, _) => self.prefixes.iter().map(|prefix| pattern(prefix)).collect(),
            (_, true, "") => vec!["the app of the credentials".to_owned()],
            (_, true, app) => vec![app.to_owned()],
        };
        words.extend(self.jobs.iter().map(|job| format!("job {job}")));
        words.extend(self.runs.iter().map(|run| format!("run {run}")));
        words.extend(self.labels.iter().map(|(key, value)| format!("{key}={value}")));
        words.join(", ")
    }
}

/// All apps below one; what is a pattern already stays one.
fn pattern(prefix: &str) -> String {
    if prefix.ends_with('*') { prefix.to_owned() } else { format!("{}/*", prefix.trim_end_matches('/')) }
}

fn from(text: &str) -> Result<From, String> {
    if text == "now" {
        return Ok(From::Now);
    }
    match text.parse::<i64>() {
        Ok(revision) if revision >= 1 => return Ok(From::Revision(revision)),
        Ok(_) => return Err("revisions count from 1".to_owned()),
        Err(_) => {}
    }
    text.parse().map(From::Token).map_err(|error: semel_client::Error| error.to_string())
}

fn kind(text: &str) -> Result<EventKind, String> {
    let name = format!("EVENT_KIND_{}", text.to_uppercase().replace('-', "_"));
    let known = EventKind::from_str_name(&name).filter(|kind| *kind != EventKind::Unspecified);
    known.ok_or_else(|| {
        let names = KINDS.map(spelt).join(", ");
        format!("{text:?} is no kind of event; they are {names}")
    })
}

/// As people write it.
fn spelt(kind: EventKind) -> String {
    kind.as_str_name().trim_start_matches("EVENT_KIND_").to_lowercase().replace('_', "-")
}

const KINDS: [EventKind; 25] = [
    EventKind::RunCreated,
    EventKind::RunQueued,
    EventKind::RunStarted,
    EventKind::RunRetrying,
    EventKind::RunCancelling,
    EventKind::RunSucceeded,
    EventKind::RunFailed,
    EventKind::RunCancelled,
    EventKind::RunExpired,
    EventKind::JobCreated,
    EventKind::JobUpdated,
    EventKind::JobDeleted,
    EventKind::JobPaused,
    EventKind::JobResumed,
    EventKind::WorkerConnected,
    EventKind::WorkerDraining,
    EventKind::WorkerDisconnected,
    EventKind::WorkerLost,
    EventKind::WorkersReset,
    EventKind::TriggerFired,
    EventKind::TriggerSkipped,
    EventKind::TriggerPaused,
    EventKind::TriggerResumed,
    EventKind::TriggerBackfillStarted,
    EventKind::TriggerBackfillEnded,
];

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        filter: FilterArgs,
    }

    fn parse(flags: &[&str]) -> Result<FilterArgs, clap::Error> {
        Only::try_parse_from(std::iter::once(&"watch").chain(flags)).map(|only| only.filter)
    }

    #[test]
    fn a_start_is_now_a_revision_or_a_token() {
        assert_eq!(from("now"), Ok(From::Now));
        assert_eq!(from("17"), Ok(From::Revision(17)));
        assert_eq!(from("AbC~pay:7:1").map(|from| matches!(from, From::Token(_))), Ok(true));
        assert!(from("0").is_err() && from("").is_err() && from("AbC~pay").is_err());
    }

    #[test]
    fn kinds_are_spelt_as_people_do_and_all_of_them_are_listed() {
        for kind in KINDS {
            assert_eq!(self::kind(&spelt(kind)), Ok(kind));
            assert_eq!(self::kind(&spelt(kind).to_uppercase().replace('-', "_")), Ok(kind));
        }
        let known = (0..100).filter(|number| EventKind::try_from(*number).is_ok()).count();
        assert_eq!(known, KINDS.len() + 1, "and the one that is never sent");
        assert!(kind("unspecified").is_err());
        assert!(kind("run-done").is_err_and(|error| error.contains("run-succeeded")));
    }

    #[test]
    fn what_is_watched_is_said_in_a_few_words() {
        let words = |flags: &[&str], app| parse(flags).expect("good flags").words(app);
        assert_eq!(words(&[], "pay"), "pay");
        assert_eq!(words(&["-A"], "pay"), "all apps");
        assert_eq!(words(&["--prefix=pay/", "--job=settle", "-l", "a=b"], ""), "pay/*, job settle, a=b");
        assert_eq!(pattern("*"), "*");
    }

    #[test]
    fn what_contradicts_itself_is_a_mistake() {
        for flags in [&["-A", "--prefix=pay"] as &[&str], &["--snapshot", "--from=7"], &["--snapshot=some"]] {
            assert!(parse(flags).is_err(), "{flags:?}");
        }
        assert!(parse(&["--snapshot", "--job=settle"]).is_ok());
    }
}
