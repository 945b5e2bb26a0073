//! On which core each side of a closed loop of calls runs, on a machine of two.
//!
//! Context: callers and server share the machine, and each is one thread that sleeps whenever it has sent what it had. The
//! scheduler takes the waking of a peer by a write for a sign that the writer is about to sleep, and puts the two onto one core,
//! in turns of some 10 us, while the other core has nothing to do but the engine's short work. How often it does so changes
//! from minute to minute, and the figures with it. Choice: while many unary calls are under way, the callers' thread and the
//! thread that serves have a core each, in the echo as in Semel, as if they were two machines; the engine's and the disk's
//! threads go where there is room. Rejected: the same for all points, for where the engine's thread is as busy as the other two
//! (streams) there are three to place, and a call that is alone is faster where the answer finds its caller's core. With more
//! cores than two nobody has to share, and nothing is done.

use std::io;

use tokio::task;

/// Both sides, apart for as long as this lives.
#[derive(Debug)]
pub(super) struct Apart {
    all: Vec<usize>,
    server: u32,
}

impl Apart {
    /// Puts callers, which are tasks of this runtime, and the first thread of a server's process on a core each. Does nothing
    /// where there are not just two cores, where the process is not known, or where the system refuses it.
    pub(super) async fn begin(server: Option<u32>) -> Option<Self> {
        let (server, all) = (server?, allowed());
        let [callers, serving] = *all.as_slice() else { return None };
        let apart = Self { all, server };
        pin(Some(server), &[serving]).ok()?;
        on_worker(move || pin(None, &[callers])).await.ok()?;
        Some(apart)
    }

    /// Lets both go where they like again.
    pub(super) async fn end(self) {
        // One that has ended meanwhile needs no place.
        _ = pin(Some(self.server), &self.all);
        _ = on_worker(move || pin(None, &self.all)).await;
    }
}

/// Does it on the thread that runs tasks, which on two cores is one.
async fn on_worker(act: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
    task::spawn(async move { act() }).await.map_err(io::Error::other)?
}

#[cfg(target_os = "linux")]
fn allowed() -> Vec<usize> {
    use rustix::thread::{CpuSet, sched_getaffinity};
    sched_getaffinity(None).map(|set| (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect()).unwrap_or_default()
}

#[cfg(target_os = "linux")]
fn pin(thread: Option<u32>, cores: &[usize]) -> io::Result<()> {
    use rustix::thread::{CpuSet, sched_setaffinity};
    let mut set = CpuSet::new();
    for core in cores {
        set.set(*core);
    }
    let thread = thread.and_then(|id| rustix::process::Pid::from_raw(i32::try_from(id).ok()?));
    Ok(sched_setaffinity(thread, &set)?)
}

#[cfg(not(target_os = "linux"))]
fn allowed() -> Vec<usize> {
    Vec::new()
}

#[cfg(not(target_os = "linux"))]
fn pin(_: Option<u32>, _: &[usize]) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_thread_goes_to_the_core_that_it_is_given_and_is_let_go() {
        let all = allowed();
        let core = *all.last().expect("this thread runs somewhere");
        let own = all.clone();
        std::thread::spawn(move || {
            pin(None, &[core]).expect("it is a core of ours");
            assert_eq!(allowed(), [core]);
            pin(None, &own).expect("they are ours");
            assert_eq!(allowed(), own);
        })
        .join()
        .expect("it ends well");
        assert_eq!(allowed(), all, "others stay where they are");
    }

    #[tokio::test]
    async fn a_server_that_is_not_known_stays_where_it_is() {
        assert!(Apart::begin(None).await.is_none());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn the_callers_thread_and_the_servers_have_a_core_each_meanwhile() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("it starts");
        let apart = Apart::begin(Some(child.id())).await;
        let where_tasks_run = || async { task::spawn(async { allowed() }).await.expect("it ends well") };
        let all = allowed();
        assert_eq!(apart.is_some(), all.len() == 2, "{all:?}");
        if let Some(apart) = apart {
            assert_eq!(where_tasks_run().await, [all[0]]);
            apart.end().await;
        }
        assert_eq!(where_tasks_run().await, all);
        child.kill().expect("it runs");
        child.wait().expect("it has ended");
    }
}
