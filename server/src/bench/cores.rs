//! On which core each side of a measurement runs, on a machine of two.
//!
//! Context: callers and server share the machine, and each is one thread that sleeps whenever it has sent what it had. The
//! scheduler takes the waking of a peer by a write for a sign that the writer is about to sleep, and puts the two onto one core,
//! in turns of some 10 us, while the other core has nothing to do but the engine's short work. How often it does so changes
//! from minute to minute, and the figures with it. Choice: the callers' thread and the thread that serves get a core each, in
//! the echo as in Semel, as if they were machines; the engine's and the disk's threads go where there is room. Measured, not
//! apart and apart, in turns: `RunJob` at 512 in flight 0.44 and 0.53 of the echo, 0.33 and 0.27 at one.
//! Rejected: a core for the callers alone, for then the server's thread still joins them (0.40 to 0.43). With more cores than
//! two nobody has to share, and nothing is done.

use std::io;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cores {
    callers: usize,
    server: usize,
}

impl Cores {
    /// A core for each side; none where there are not just two, or where the system does not let them be chosen.
    pub(crate) fn apart() -> Option<Self> {
        match *allowed().as_slice() {
            [callers, server] => Some(Self { callers, server }),
            _ => None,
        }
    }

    /// Puts this thread on the callers' core. One that cannot be moved stays where it is.
    pub(crate) fn join_callers(self) {
        _ = pin(None, self.callers);
    }

    /// Puts the first thread of a process, which is the one that serves, on the server's core.
    ///
    /// # Errors
    /// If the system refuses it.
    pub(super) fn join_server(self, process: u32) -> io::Result<()> {
        pin(Some(process), self.server)
    }
}

#[cfg(target_os = "linux")]
fn allowed() -> Vec<usize> {
    use rustix::thread::{CpuSet, sched_getaffinity};
    sched_getaffinity(None).map(|set| (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect()).unwrap_or_default()
}

#[cfg(target_os = "linux")]
fn pin(thread: Option<u32>, core: usize) -> io::Result<()> {
    use rustix::thread::{CpuSet, sched_setaffinity};
    let mut set = CpuSet::new();
    set.set(core);
    let thread = thread.and_then(|id| rustix::process::Pid::from_raw(i32::try_from(id).ok()?));
    Ok(sched_setaffinity(thread, &set)?)
}

#[cfg(not(target_os = "linux"))]
fn allowed() -> Vec<usize> {
    Vec::new()
}

#[cfg(not(target_os = "linux"))]
fn pin(_: Option<u32>, _: usize) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_thread_goes_to_the_core_that_it_is_given() {
        let all = allowed();
        let core = *all.last().expect("this thread runs somewhere");
        std::thread::spawn(move || {
            pin(None, core).expect("it is a core of ours");
            assert_eq!(allowed(), [core]);
            assert_eq!(Cores::apart(), None, "there is nothing to share out on one");
        })
        .join()
        .expect("it ends well");
        assert_eq!(allowed(), all, "others stay where they are");
    }
}
