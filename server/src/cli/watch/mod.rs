//! `semel watch`: what happens, as it happens: a line for each event, an object a line for programs, or a live table.
//!
//! This file owns how it begins and ends; [`lines`] writes, [`top`] draws. Whatever ends it, it says where to go on.

mod filter;
mod lines;
mod top;

use std::time::{Duration, Instant};

use clap::Args;
use semel_client::watch::{Item, ResumeToken, Told};

use self::{filter::FilterArgs, lines::Lines};
use super::{
    failure::{Done, Failure},
    global::Output,
    hints::Exit,
    out, parse,
    session::Session,
    signal,
};

/// What to watch, and for how long.
#[derive(Args, Debug)]
pub(crate) struct WatchArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// Ends after so many events
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Ends when nothing was told for so long
    #[arg(long, value_name = "SPAN", value_parser = parse::duration)]
    until_idle: Option<Duration>,
    /// Ends after so long; code 5 if there were fewer events than --count by then
    #[arg(long, value_name = "SPAN", value_parser = parse::duration)]
    up_to: Option<Duration>,
    /// Shows a live table of what runs, waits and has just ended, until q is pressed
    #[arg(
        long,
        conflicts_with_all = ["count", "until_idle", "up_to", "kinds", "terminal_only", "snapshot", "from", "bridge"]
    )]
    top: bool,
}

/// What ends a watch.
enum End {
    /// The program's own will: so many events, long enough silent, long enough on the whole, or a signal.
    Enough(Exit),
    /// It cannot go on.
    Failed(Failure),
}

pub(crate) async fn run(args: WatchArgs, session: &Session) -> Result<Done, Failure> {
    if args.top {
        return top::run(&args.filter, session).await;
    }
    let options = args.filter.options();
    let mut watch = session.client().await?.watch(options);
    let mut limits = Limits::new(&args, Instant::now());
    let mut lines = Lines::new(session.output == Output::Json);
    let stop = signal::stop();
    tokio::pin!(stop);
    let end = loop {
        let wake = limits.next_wake();
        tokio::select! {
            item = watch.next() => match item {
                Some(Ok(item)) => {
                    if let Err(failure) = lines.write(&item) {
                        break End::Failed(failure);
                    }
                    if limits.count(&item) {
                        break End::Enough(Exit::Done);
                    }
                }
                Some(Err(error)) => break End::Failed(Failure::read(error)),
                None => break End::Enough(Exit::Done),
            },
            () = sleep_until(wake) => {
                let now = Instant::now();
                if !limits.stood_still(now) {
                    break End::Enough(limits.end(now));
                }
            }
            _ = &mut stop => break End::Enough(Exit::Done),
        }
    };
    // A token that was only brought along says nothing new.
    finish(end, watch.resume_token().filter(|_| limits.has_begun))
}

/// Says where to go on, whatever the end was: what was told is behind the caller.
fn finish(end: End, token: Option<ResumeToken>) -> Result<Done, Failure> {
    if let (Some(token), false) = (token, matches!(end, End::Failed(Failure::OutputClosed))) {
        out::note(&format!("go on with --from {token}"));
    }
    match end {
        End::Enough(exit) => Ok(Done::with(exit)),
        End::Failed(failure) => Err(failure),
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// A timer that goes off so late was not late by itself: the process did not run.
const STILL_MIN: Duration = Duration::from_secs(1);

/// For how long a watch goes on.
struct Limits {
    /// Whether anything was told.
    has_begun: bool,
    /// How many events are still to come.
    left: Option<u64>,
    idle: Option<Duration>,
    idle_at: Option<Instant>,
    end_at: Option<Instant>,
}

impl Limits {
    fn new(args: &WatchArgs, now: Instant) -> Self {
        let end_at = args.up_to.and_then(|up_to| now.checked_add(up_to));
        Self { has_begun: false, left: args.count, idle: args.until_idle, idle_at: None, end_at }
    }

    /// Takes note of an item; whether it was the last one that is wanted.
    fn count(&mut self, item: &Item) -> bool {
        self.count_at(&item.told, Instant::now())
    }

    fn count_at(&mut self, told: &Told, now: Instant) -> bool {
        self.has_begun = true;
        match told {
            // That nothing happened, or that nobody could tell, is no news.
            Told::Progress { .. } | Told::Lost(_) => {}
            _ => self.idle_at = self.idle.and_then(|idle| now.checked_add(idle)),
        }
        if matches!(told, Told::Lost(_)) {
            self.idle_at = None;
        }
        if let (Told::Event(_), Some(left)) = (told, &mut self.left) {
            *left = left.saturating_sub(1);
        }
        self.left == Some(0)
    }

    fn next_wake(&self) -> Option<Instant> {
        self.idle_at.into_iter().chain(self.end_at).min()
    }

    /// Whether the idle time is over only because this process did not run meanwhile, stopped or on a machine that slept:
    /// what was told to it lies unread then. It has its idle time again.
    fn stood_still(&mut self, now: Instant) -> bool {
        let is_overdue = |at: &Instant| now.saturating_duration_since(*at) > STILL_MIN;
        let stood_still = self.idle_at.as_ref().is_some_and(is_overdue) && self.end_at.is_none_or(|end| end > now);
        if stood_still {
            self.idle_at = self.idle.and_then(|idle| now.checked_add(idle));
        }
        stood_still
    }

    /// How the command ends whose time is up.
    fn end(&self, now: Instant) -> Exit {
        let out_of_time = self.end_at.is_some_and(|end| end <= now);
        if out_of_time && self.left.is_some() { Exit::Later } else { Exit::Done }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(flags: &[&str], now: Instant) -> Limits {
        use clap::Parser;
        #[derive(Parser)]
        struct Only {
            #[command(flatten)]
            watch: WatchArgs,
        }
        let arguments = std::iter::once("watch").chain(flags.iter().copied());
        Limits::new(&Only::try_parse_from(arguments).expect("good flags").watch, now)
    }

    fn event() -> Told {
        Told::Event(Box::default())
    }

    #[test]
    fn it_ends_after_so_many_events_of_which_rows_and_progress_are_none() {
        let now = Instant::now();
        let mut limits = limits(&["--count=2"], now);
        let rows = [Told::Run(Box::default()), Told::Progress { revision: 1 }];
        assert!(rows.iter().all(|told| !limits.count_at(told, now)));
        assert!(!limits.count_at(&event(), now));
        assert!(limits.count_at(&event(), now));
        assert_eq!(limits.next_wake(), None);
    }

    #[test]
    fn a_process_that_stood_still_has_its_idle_time_again() {
        let (begun, idle) = (Instant::now(), Duration::from_secs(10));
        let mut limits = limits(&["--until-idle=10s"], begun);
        assert!(!limits.count_at(&event(), begun));
        assert!(!limits.stood_still(begun + idle), "it ran all the time");
        let woken = begun + idle * 6;
        assert!(limits.stood_still(woken));
        assert_eq!(limits.next_wake(), Some(woken + idle));
        assert!(!limits.stood_still(woken + idle), "nothing came");
    }

    #[test]
    fn it_ends_when_nothing_was_told_for_so_long_but_not_while_it_is_deaf() {
        let begun = Instant::now();
        let second = |second| begun + Duration::from_secs(second);
        let mut limits = limits(&["--until-idle=10s"], begun);
        assert_eq!(limits.next_wake(), None, "it begins when the stream is open");
        limits.count_at(&Told::Opened { revision: 1, oldest_revision: 1 }, second(1));
        limits.count_at(&event(), second(5));
        limits.count_at(&Told::Progress { revision: 1 }, second(9));
        assert_eq!((limits.next_wake(), limits.end(second(15))), (Some(second(15)), Exit::Done));
        limits.count_at(&Told::Lost(an_error()), second(12));
        assert_eq!(limits.next_wake(), None);
    }

    #[test]
    fn time_that_runs_out_before_the_count_is_full_has_its_code() {
        let begun = Instant::now();
        let end = begun + Duration::from_secs(60);
        for (flags, exit) in [(&["--up-to=1m"] as &[&str], Exit::Done), (&["--up-to=1m", "--count=1"], Exit::Later)] {
            let limits = limits(flags, begun);
            assert_eq!((limits.next_wake(), limits.end(end)), (Some(end), exit), "{flags:?}");
        }
    }

    fn an_error() -> semel_client::Error {
        "".parse::<ResumeToken>().expect_err("it is empty")
    }
}
