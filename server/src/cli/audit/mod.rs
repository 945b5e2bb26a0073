//! `semel audit`: who changed what, and who was refused, from the files of a data directory, not through a server: it can be read
//! where no server runs, and by nobody who may not read those files.

mod filter;
mod show;
mod verify;

use std::{collections::VecDeque, path::Path, time::Duration};

use clap::Args;
use tokio::time;

use super::{
    config_check::SettingArgs,
    failure::{Done, Failure},
    global::{Global, Output},
    out,
};
use crate::logs::audit::{self, FOLDER, Found, Lines, Link};

use self::filter::{Filter, FilterArgs};

/// How often it is looked whether something has come.
const LOOK: Duration = Duration::from_millis(250);
/// So many lines that cannot be read are told one by one.
const BAD_TOLD_MAX: u64 = 10;

/// What `semel audit` was told.
#[derive(Args, Debug)]
pub(crate) struct AuditArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// Shows only the last so many lines of those that are meant; 0 for all
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    limit: usize,
    /// Goes on showing what comes
    #[arg(long, short)]
    follow: bool,
    /// Checks that no line was changed or taken out, and says where the log ends
    #[arg(long, conflicts_with_all = ["follow", "refused", "principal", "method", "request_id", "since", "until"])]
    verify: bool,
    /// With --verify, also that there is a line with this hash, as a former --verify gave it
    #[arg(long, value_name = "HASH", requires = "verify", value_parser = link)]
    expect: Option<Link>,
    #[command(flatten)]
    settings: SettingArgs,
}

fn link(text: &str) -> Result<Link, String> {
    Link::parse(text).ok_or_else(|| format!("{text:?} is no hash; it has 64 digits, as --verify gives it"))
}

pub(crate) fn run(args: &AuditArgs, global: &Global) -> Result<Done, Failure> {
    let folder = args.settings.resolve()?.config.data_dir.join(FOLDER);
    if !folder.is_dir() {
        let message = format!("there is no audit log in {}", folder.display());
        let next = "name the data directory with --data-dir; a server writes the log unless audit.events is off";
        return Err(Failure::local(message, next));
    }
    if args.verify {
        return verify::run(&folder, args.expect, global);
    }
    let filter = Filter::new(&args.filter, &global.app)?;
    let mut reading = Reading { lines: Lines::new(&folder), folder: &folder, filter, output: global.output, bad: 0 };
    reading.past(args.limit)?;
    if args.follow { follow(&mut reading) } else { Ok(Done::OK) }
}

/// Shows what comes, until nobody reads it any more.
fn follow(reading: &mut Reading<'_>) -> Result<Done, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(Failure::runtime)?;
    runtime.block_on(async {
        loop {
            time::sleep(LOOK).await;
            reading.news()?;
        }
    })
}

/// Goes through the lines that are meant.
struct Reading<'a> {
    lines: Lines,
    folder: &'a Path,
    filter: Filter,
    output: Output,
    bad: u64,
}

/// A line that is meant: as it stands in its file, and as it was read.
type Meant = (String, audit::Line);

impl Reading<'_> {
    /// The last so many of those that are there.
    fn past(&mut self, limit: usize) -> Result<(), Failure> {
        let mut kept: VecDeque<Meant> = VecDeque::new();
        let mut left_out = 0_u64;
        while let Some(meant) = self.next()? {
            if limit == 0 {
                // All are shown as they come, so that memory stays bounded.
                self.show(&[meant])?;
                continue;
            }
            kept.push_back(meant);
            if kept.len() > limit {
                kept.pop_front();
                left_out += 1;
            }
        }
        match self.output {
            Output::Table if limit > 0 => out::text(&show::table(kept.make_contiguous()))?,
            _ => self.show(kept.make_contiguous())?,
        }
        if left_out > 0 && self.output == Output::Table {
            out::note(&format!("{left_out} earlier lines are not shown; --limit 0 shows all"));
        }
        if self.bad > 0 {
            let advice = "`semel audit --verify` tells what a crash has cut off from what was changed";
            out::note(&format!("lines that could not be read: {}; {advice}", self.bad));
        }
        Ok(())
    }

    /// What has come since.
    fn news(&mut self) -> Result<(), Failure> {
        while let Some(meant) = self.next()? {
            self.show(&[meant])?;
        }
        Ok(())
    }

    /// One after the other, each on its line.
    fn show(&self, all: &[Meant]) -> Result<(), Failure> {
        for (text, line) in all {
            match self.output {
                Output::Json => out::text(text)?,
                Output::Table => out::text(&show::row(line).join("  "))?,
            }
        }
        Ok(())
    }

    fn next(&mut self) -> Result<Option<Meant>, Failure> {
        loop {
            let found = self.lines.next_whole();
            let found = found.map_err(|error| Failure::file("read", self.folder, &error))?;
            let Some(found) = found else { return Ok(None) };
            match audit::read(&found) {
                Ok(line) if self.filter.means(&line) => {
                    let text = String::from_utf8_lossy(&found.bytes).into_owned();
                    return Ok(Some((text, line)));
                }
                Ok(_) => {}
                Err(problem) => self.pass_over(&found, problem),
            }
        }
    }

    /// A line that cannot be shown is told, and the others are shown all the same.
    fn pass_over(&mut self, found: &Found, problem: &str) {
        self.bad += 1;
        if self.bad <= BAD_TOLD_MAX {
            out::note(&format!("{} line {}: {problem}; it is passed over", found.file.display(), found.number));
        }
    }
}
