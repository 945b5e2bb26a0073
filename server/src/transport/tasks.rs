//! The tasks of calls. hyper has one for each call of HTTP/2, from its head until its whole answer has been handed to its
//! connection.
//!
//! Context: the end of a connection wakes all its calls at once, and whoever else is ready waits behind them: a thousand of
//! strangers took 7 to 8 ms, and whoever sends that many calls again and again lets everybody wait so long each time. Choice:
//! calls take turns if nobody waits for their answers: those whose connection has ended, and those of strangers, who may all be
//! refused at one moment. Consequence: they take longer by the runtime's looks at the network, and hold their memory so long.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use hyper::rt::Executor;
use pin_project_lite::pin_project;

use super::{
    listen::Peer,
    open::{Open, OpenCalls},
    turns::{Turn, Turns, Wait},
};

/// Runs the tasks of a connection's calls, and counts them. A clone is the same.
#[derive(Clone)]
pub(super) struct Tasks {
    open: Arc<OpenCalls>,
    lines: Lines,
    /// Of this connection.
    peer: Arc<Peer>,
}

/// Those in which calls wait for their turn. A clone is the same.
#[derive(Clone)]
pub(super) struct Lines {
    strangers: Turns,
    ended: Turns,
}

impl Lines {
    pub(super) fn new() -> Self {
        Self { strangers: Turns::of_half_the_threads(), ended: Turns::of_half_the_threads() }
    }
}

impl Tasks {
    pub(super) fn new(open: Arc<OpenCalls>, lines: Lines, peer: Arc<Peer>) -> Self {
        Self { open, lines, peer }
    }

    /// Where calls have to wait, if they do.
    fn line(&self) -> Option<&Turns> {
        if self.peer.has_ended() {
            Some(&self.lines.ended)
        } else if self.peer.is_stranger() {
            Some(&self.lines.strangers)
        } else {
            None
        }
    }
}

impl<F> Executor<F> for Tasks
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    fn execute(&self, call: F) {
        let _open = self.open.open();
        tokio::spawn(Task { call: Some(call), of: self.clone(), waits: None, _open });
    }
}

pin_project! {
    /// See the module.
    struct Task<F> {
        // None once it has ended: to drop it is a part of the work.
        #[pin]
        call: Option<F>,
        of: Tasks,
        waits: Option<Wait>,
        _open: Open,
    }
}

impl<F: Future> Future for Task<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut me = self.project();
        let turn = match me.of.line() {
            Some(line) => Some(ready!(line.poll_take(context, me.waits))),
            None => {
                *me.waits = None;
                None
            }
        };
        let done = me.call.as_mut().as_pin_mut().map_or(Poll::Ready(()), |call| call.poll(context).map(drop));
        if done.is_ready() {
            me.call.set(None);
        }
        turn.map(Turn::end);
        done
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use tokio::{sync::watch, task::yield_now};

    use super::*;
    use crate::clock::Stopwatch;

    type Count = Arc<AtomicUsize>;

    /// Those of a connection, and its place.
    fn calls() -> (Tasks, impl Send) {
        let (peer, place) = Peer::stranger();
        (Tasks::new(OpenCalls::new(1000), Lines::new(), peer), place)
    }

    /// How many of a hundred calls, which end at once and have a bit to do then, do so at most while one more task waits for its
    /// turn of the runtime.
    async fn ended_together(tasks: &Tasks, end: impl FnOnce()) -> usize {
        let ((all, wait), begun, ended) = (watch::channel(()), Count::default(), Count::default());
        for _ in 0..100 {
            let (mut wait, begun, ended) = (wait.clone(), begun.clone(), ended.clone());
            tasks.execute(async move {
                begun.fetch_add(1, Ordering::Relaxed);
                let _ = wait.changed().await;
                let work = Stopwatch::start();
                while work.elapsed() < Duration::from_micros(100) {}
                ended.fetch_add(1, Ordering::Relaxed);
            });
        }
        while begun.load(Ordering::Relaxed) < 100 {
            yield_now().await;
        }
        end();
        drop(all);
        let (mut most, mut before) = (0, 0);
        while before < 100 {
            yield_now().await;
            let now = ended.load(Ordering::Relaxed);
            most = most.max(now - before);
            before = now;
        }
        most
    }

    #[tokio::test]
    async fn a_call_is_open_until_its_task_has_ended() {
        let (tasks, _place) = calls();
        let (stop, mut stopped) = watch::channel(());
        tasks.execute(async move { stopped.changed().await });
        assert_eq!(tasks.open.count(), 1);
        drop(stop);
        while tasks.open.count() > 0 {
            yield_now().await;
        }
    }

    #[tokio::test]
    async fn calls_of_strangers_and_of_a_connection_that_has_ended_take_turns() {
        let (tasks, place) = calls();
        let strangers = ended_together(&tasks, || {}).await;
        assert!(strangers < 20, "{strangers} of strangers");
        tasks.peer.called(true);
        let known = ended_together(&tasks, || {}).await;
        assert!(known > 50, "{known} of a known caller, which go as they come");
        let ended = ended_together(&tasks, || drop(place)).await;
        assert!(ended < 20, "{ended} of a connection that has ended");
    }

    #[tokio::test]
    async fn who_is_recognised_waits_for_no_stranger() {
        let (tasks, _place) = calls();
        let mut context = Context::from_waker(std::task::Waker::noop());
        let Poll::Ready(turn) = tasks.lines.strangers.poll_take(&mut context, &mut None) else { panic!("it is free") };
        tasks.execute(async {});
        yield_now().await;
        assert_eq!(tasks.open.count(), 1, "it waits in line");
        tasks.peer.called(true);
        tasks.execute(async {});
        while tasks.open.count() > 1 {
            yield_now().await;
        }
        turn.end();
        while tasks.open.count() > 0 {
            yield_now().await;
        }
    }
}
