//! What the system tells of a process, on Linux; elsewhere it is absent, and never guessed.

use std::{fs, sync::OnceLock, time::Duration};

use semel_core::id::Timestamp;

/// What this process takes just now. What the system does not tell is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Process {
    /// Time of processors that was used so far, in user and kernel mode.
    pub(crate) cpu: Option<Duration>,
    /// Memory that is resident, in bytes: its own, and pages of files such as the store's map.
    pub(crate) resident_bytes: Option<u64>,
    /// Files and sockets that are open, and how many may be.
    pub(crate) open_files: Option<u64>,
    pub(crate) open_files_max: Option<u64>,
    /// Threads.
    pub(crate) threads: Option<u64>,
    /// When it started, to a second or so.
    pub(crate) start_time: Option<Timestamp>,
}

/// When this process started, as it was first told: the system tells it anew by the time since it booted, and says another one
/// when somebody has set the clock meanwhile. Who counts restarts by it would see one.
static STARTED: OnceLock<Timestamp> = OnceLock::new();

impl Process {
    /// This one. Reads some small files, which wait for nothing.
    pub(crate) fn of_self() -> Self {
        let id = std::process::id();
        let status = format!("/proc/{id}/status");
        let limit = |text: String| {
            let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?.to_owned();
            line.split_whitespace().next()?.parse().ok()
        };
        Self {
            cpu: cpu(id),
            resident_bytes: field(&status, "VmRSS:").map(|kib| kib * 1024),
            open_files: fs::read_dir(format!("/proc/{id}/fd")).ok().map(|files| files.count() as u64),
            open_files_max: fs::read_to_string(format!("/proc/{id}/limits")).ok().and_then(limit),
            threads: field(&status, "Threads:"),
            start_time: STARTED.get().copied().or_else(|| start_time(id).map(|told| *STARTED.get_or_init(|| told))),
        }
    }
}

/// Time of processors that process `id` has used, in user and kernel mode, to one clock tick (10 ms).
pub(crate) fn cpu(id: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let used = stat_field(&stat, 14)?.checked_add(stat_field(&stat, 15)?)?;
    Some(Duration::from_millis(ticks_as_millis(used)?))
}

/// The first number behind `name` in a file of lines.
pub(crate) fn field(path: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    // Some have a fraction, which is not wanted.
    line.split_whitespace().next()?.split('.').next()?.parse().ok()
}

fn start_time(id: u32) -> Option<Timestamp> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let after_boot = ticks_as_millis(stat_field(&stat, 22)?)?;
    let booted = field("/proc/stat", "btime ")?.checked_mul(1000)?;
    Some(Timestamp(i64::try_from(booted.checked_add(after_boot)?).ok()?))
}

/// A field of `/proc/PID/stat`, counted from one as in proc(5), from the fourth on. The name of the program stands in brackets
/// before them, and may hold anything.
fn stat_field(stat: &str, number: usize) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

fn ticks_as_millis(ticks: u64) -> Option<u64> {
    ticks.checked_mul(1000)?.checked_div(rustix::param::clock_ticks_per_second())
}

#[cfg(test)]
mod tests {
    use semel_core::id::Millis;

    use super::*;

    #[test]
    fn the_fields_are_found_behind_any_name() {
        let stat = "71 (a ) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 4 0 100";
        assert_eq!([14, 15, 20, 22].map(|number| stat_field(stat, number)), [250, 50, 4, 100].map(Some));
        assert_eq!((stat_field(stat, 23), stat_field("nonsense", 14)), (None, None));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_takes_something() {
        let taken = Process::of_self();
        assert!(taken.cpu.is_some() && taken.resident_bytes > Some(0) && taken.threads > Some(0), "{taken:?}");
        assert!(taken.open_files > Some(2) && taken.open_files <= taken.open_files_max, "{taken:?}");
        let booted = Timestamp(i64::try_from(field("/proc/stat", "btime ").expect("a number") * 1000).expect("small"));
        let up = Millis::from_secs(i64::try_from(field("/proc/uptime", "").expect("a number")).unwrap_or(0));
        let started = taken.start_time.expect("it started");
        assert!(booted <= started && started <= booted.plus(up).plus(Millis(2000)), "{booted:?} {started:?} {up:?}");
    }

    #[test]
    fn what_cannot_be_told_is_absent() {
        assert!(field("no such file", "a:").is_none() && cpu(u32::MAX).is_none());
    }
}
