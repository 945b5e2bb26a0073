//! How many calls are open on all connections together, and how many may be. A call is open from its head on until its whole
//! answer has been handed to its connection, and costs memory all that time, whatever it does: one that waits, one whose
//! caller says nothing more, one whose caller does not read.
//!
//! Apps share them by the rule of [`super::shares`].
//!
//! Over HTTP/2 each call has a task that lasts just so long (see [`super::tasks`]). Over HTTP/1.1 a connection has one call at a
//! time, and counts itself.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use semel_core::id::AppName;

use super::shares::Shares;

/// Open calls, by default: watchers are such, and of one app there may be 65536.
pub const CALLS_MAX_DEFAULT: usize = 1 << 17;
/// Calls that may be opened when there is room for no others, up to an eighth more: a worker must come to its reports, and who
/// asks for the health would take a refusal for the end.
const ALWAYS: [&str; 3] =
    ["/semel.v1.WorkerService/Work", "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"];

/// See the module.
#[derive(Debug)]
pub(super) struct OpenCalls {
    max: usize,
    open: AtomicUsize,
    /// Of those that were opened when there was room for less than half.
    late: Shares,
}

/// Whose calls have all the places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// Those of all.
    Server,
    /// Those of the caller's own app have as many as any may.
    App,
}

impl OpenCalls {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, open: AtomicUsize::new(0), late: Shares::new(max) })
    }

    /// How many are open.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Counts one more.
    pub(super) fn open(self: &Arc<Self>) -> Open {
        self.open.fetch_add(1, Ordering::Relaxed);
        Open(self.clone())
    }

    /// Whether a caller of this app may open one more, of the method with this path. What comes back is to be kept as long as
    /// the call is open.
    ///
    /// # Errors
    /// If there is no room.
    pub(super) fn enter(self: &Arc<Self>, path: &str, app: Option<&AppName>) -> Result<Option<Share>, Full> {
        let open = self.open.load(Ordering::Relaxed);
        let is_always = || open < self.max + self.max.div_ceil(8) && ALWAYS.contains(&path);
        if !self.late.are_asked(open + 1) || is_always() {
            return Ok(None);
        }
        if open >= self.max {
            return Err(Full::Server);
        }
        if !self.late.take(app, 1, open + 1) {
            return Err(Full::App);
        }
        Ok(Some(Share { calls: self.clone(), app: app.cloned() }))
    }
}

/// A call of an app, beyond the half of which nobody asks.
pub(super) struct Share {
    calls: Arc<OpenCalls>,
    app: Option<AppName>,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.calls.late.give_back(self.app.as_ref(), 1);
    }
}

/// One of those that are open, until it is dropped.
pub(super) struct Open(Arc<OpenCalls>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::watch::WATCHERS_PER_APP_MAX;

    #[test]
    fn workers_find_room_behind_all_others() {
        let calls = OpenCalls::new(8);
        let mut open = Vec::new();
        for count in 0..9 {
            let expected = match count {
                ..7 => Ok(()),
                7 => Err(Full::App),
                _ => Err(Full::Server),
            };
            assert_eq!(calls.enter(RUN_JOB, None).map(drop), expected, "with {count}");
            assert!(ALWAYS.iter().all(|path| calls.enter(path, None).is_ok()));
            open.push(calls.open());
        }
        assert!(calls.enter(ALWAYS[0], None).is_err(), "these are bounded too");
        open.clear();
        assert!(calls.enter(RUN_JOB, None).is_ok());
    }

    #[test]
    fn no_app_takes_the_places_of_all() {
        let calls = OpenCalls::new(8);
        let [a, b] = ["a", "b"].map(|name| AppName::parse(name).expect("a name"));
        assert!(calls.enter(RUN_JOB, Some(&a)).expect("room").is_none(), "nobody asks whose the first are");
        calls.open.store(4, Ordering::Relaxed);
        let mut shares = Vec::new();
        for open in [5, 6] {
            shares.push(calls.enter(RUN_JOB, Some(&a)).expect("a share"));
            calls.open.store(open, Ordering::Relaxed);
        }
        assert_eq!(calls.enter(RUN_JOB, Some(&a)).err(), Some(Full::App));
        assert!(calls.enter(RUN_JOB, Some(&b)).is_ok() && calls.enter(RUN_JOB, None).is_ok());
        drop(shares);
        assert!(calls.enter(RUN_JOB, Some(&a)).is_ok());
    }

    const RUN_JOB: &str = "/semel.v1.JobService/RunJob";

    #[test]
    fn by_default_there_is_room_for_all_watchers_of_an_app() {
        let calls = OpenCalls::new(CALLS_MAX_DEFAULT);
        calls.open.store(CALLS_MAX_DEFAULT / 2, Ordering::Relaxed);
        let app = AppName::parse("a").expect("a name");
        let beyond = WATCHERS_PER_APP_MAX.saturating_sub(CALLS_MAX_DEFAULT / 2) + 1;
        assert!((0..beyond).all(|_| calls.enter("", Some(&app)).map(std::mem::forget).is_ok()));
    }

    #[test]
    fn the_methods_that_always_find_room_are_there() {
        let methods = crate::transport::methods();
        assert!(ALWAYS.iter().all(|path| methods.iter().any(|method| *method == path[1..])), "{methods:?}");
    }
}
