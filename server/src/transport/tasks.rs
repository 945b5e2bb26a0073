//! The tasks of calls. hyper has one for each call of HTTP/2, from its head until its whole answer has been handed to its
//! connection.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use hyper::rt::Executor;
use pin_project_lite::pin_project;

use super::{
    lines::{ConnectionLines, Place},
    open::{Open, OpenCalls},
};

/// Runs the tasks of a connection's calls, and counts them. A clone is the same.
#[derive(Clone)]
pub(super) struct Tasks {
    open: Arc<OpenCalls>,
    lines: ConnectionLines,
}

impl Tasks {
    /// Those of a connection that has these lines.
    pub(super) fn new(open: Arc<OpenCalls>, lines: ConnectionLines) -> Self {
        Self { open, lines }
    }
}

impl<F> Executor<F> for Tasks
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    fn execute(&self, call: F) {
        let place = self.lines.place_of_call();
        tokio::spawn(Task { call: Some(call), place, _open: self.open.open() });
    }
}

pin_project! {
    /// See the module.
    struct Task<F> {
        // None once it has ended: to drop it is a part of the work.
        #[pin]
        call: Option<F>,
        place: Place,
        _open: Open,
    }
}

impl<F: Future> Future for Task<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let me = self.project();
        let mut call = me.call;
        me.place.poll(context, |context| {
            let done = call.as_mut().as_pin_mut().map_or(Poll::Ready(()), |call| call.poll(context).map(drop));
            if done.is_ready() {
                call.set(None);
            }
            done
        })
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
    use crate::{
        clock::Stopwatch,
        transport::{lines::Lines, listen::Standing},
    };

    type Count = Arc<AtomicUsize>;

    /// Those of a connection of which nobody knows anything.
    fn calls() -> (Tasks, Arc<Standing>) {
        let standing = Arc::<Standing>::default();
        (Tasks::new(OpenCalls::new(1000), Lines::new().of(standing.clone())), standing)
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
        let (tasks, _) = calls();
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
        let (tasks, standing) = calls();
        let strangers = ended_together(&tasks, || {}).await;
        assert!(strangers < 20, "{strangers} of strangers");
        standing.recognise();
        let known = ended_together(&tasks, || {}).await;
        assert!(known > 50, "{known} of a known caller, which go as they come");
        let ended = ended_together(&tasks, || assert!(standing.end())).await;
        assert!(ended < 20, "{ended} of a connection that has ended");
    }
}
