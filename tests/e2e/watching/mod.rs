//! Watching with the client library and on the command line, against a real server: through breaks, restarts of server and
//! program, and slowness, each event comes once, in order, and none is left out.

mod client;
mod command;

use std::collections::{BTreeMap, VecDeque};

use semel_client::{
    Client,
    v1::{self, RunState, event::Subject},
    watch::{Item, Told, Watch},
    worker::{Context, ProcessError, Worker},
};
use tokio::task::JoinHandle;

use super::harness::{in_time, run_job};

/// A worker of the app `pay` that gives back what it got. Ends when it is aborted, or with the test.
fn echo(client: &Client) -> JoinHandle<()> {
    let echo = async |cx: Context| Ok::<_, ProcessError>(cx.payload().clone());
    let worker = Worker::builder(client.clone()).name("echo-1").processor("echo", echo).slots(64).build();
    tokio::spawn(async move { drop(worker.expect("a worker").run(std::future::pending()).await) })
}

/// Makes so many runs over one stream; gives their ids.
async fn make(client: &Client, count: usize) -> Vec<String> {
    let submitter = client.submit_runs();
    let mut submissions = VecDeque::new();
    for _ in 0..count {
        submissions.push_back(submitter.submit(run_job("settle")).await.expect("it is in line"));
    }
    let mut ids = Vec::with_capacity(count);
    for submission in submissions {
        ids.push(in_time(submission).await.expect("a run").run_id);
    }
    ids
}

async fn next(watch: &mut Watch) -> Item {
    in_time(watch.next()).await.expect("it goes on").expect("an item")
}

/// Waits until the stream is open, so that nothing is missed that happens from then on.
async fn opened(watch: &mut Watch) {
    let told = next(watch).await.told;
    assert!(matches!(told, Told::Opened { .. }), "{told:?}");
}

/// What a watch has told of runs. Each event is held against the ones before as it comes.
#[derive(Default)]
struct Heard {
    states: BTreeMap<String, v1::RunState>,
    revision: i64,
    events: usize,
    ended: usize,
}

impl Heard {
    fn hear(&mut self, event: &v1::Event) {
        assert!(event.revision >= self.revision, "revision {} after {}", event.revision, self.revision);
        self.revision = event.revision;
        let Some(Subject::Run(run)) = &event.subject else { return };
        let before = self.states.insert(run.run_id.clone(), run.to_state());
        // An event that came twice or was left out does not fit the one before.
        assert_eq!(before.unwrap_or(RunState::Unspecified), run.from_state(), "{} at {}", run.run_id, event.revision);
        self.events += 1;
        self.ended += usize::from(run.to_state() == RunState::Succeeded);
    }

    /// Hears until so many runs have ended.
    async fn until(&mut self, watch: &mut Watch, ended: usize) {
        while self.ended < ended {
            if let Some(event) = next(watch).await.event() {
                self.hear(event);
            }
        }
    }
}
