//! On which threads and in which memory the commands run. The only place that knows the machine.

use super::Failure;

/// A runtime for a server. One core is left to the engine's thread. Where that leaves only one, tasks take turns strictly
/// in the order in which they became ready: a pool of threads runs a task that another one wakes next, and so writes each
/// answer to its connection by itself, where this way all answers of a commit go into one write for each connection.
/// Measured on two cores, callers likewise, a pool of one thread beside this: `RunJob` 44.1k and 59.1k a second at 64 in
/// flight, 49.8k and 58.1k at 512; the bare echo 125k and 203k.
pub(super) fn server_runtime() -> Result<tokio::runtime::Runtime, Failure> {
    match cores() {
        0..=2 => {
            keep_pages_small();
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::runtime)
        }
        _ => busy_runtime(),
    }
}

/// A runtime for what works all the time and may do so for long at a stretch. On a small machine one worker thread is
/// faster than two, which then take turns with the engine.
pub(super) fn busy_runtime() -> Result<tokio::runtime::Runtime, Failure> {
    keep_pages_small();
    let threads = if cores() <= 2 { 1 } else { cores() - 1 };
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(threads).enable_all().build().map_err(Failure::runtime)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Asks the system to hand out memory of this process, and of those that it starts, in pages of the usual size.
///
/// Context: the allocator asks for huge pages wherever the system has them on request, and what an engine takes in a second
/// is many hundred pieces of some kilobytes. Each huge page is filled with zeros as a whole at its first touch, and on a
/// virtual machine whose host has to find the memory meanwhile that took 3 ms: a quarter of the engine's time, and stalls that
/// every caller saw. Choice: none of them. Measured on two cores, in turns: `SubmitRuns` 250k and 320k a second, its p99
/// 25 ms and 10 ms; `RunJob` at 512 in flight 54k and 60k; a burst to 10,000 watchers 0.73 M and 2.6 M deliveries a second.
/// Rejected: the allocator's own option, which is read from the environment or set by a call that is not safe. Where the
/// system has no such switch, nothing is lost but speed.
fn keep_pages_small() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "huge pages stay on");
    }
}
