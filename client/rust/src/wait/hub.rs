//! One watch of the ends of an app's runs, for all who wait for one of them. It wakes those whose run has ended, and all
//! of them when it can no longer tell; it never says how a run ended.

use std::{collections::HashMap, time::Duration};

use semel_proto::v1::event::Subject;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

use crate::{
    client::Client,
    error::Error,
    retry::{self, Class},
    watch::{Told, Watch, WatchOptions},
};

/// How often it looks who has left, and whether anybody is there.
const LOOK: Duration = Duration::from_secs(15);
/// A lost stream may take so long to come back before all ask for themselves.
const LOST_PATIENCE: Duration = Duration::from_secs(2);
/// How long waits do without a watch that ended with an error that will pass, or will not.
const OFF: Duration = Duration::from_secs(10);
const OFF_LASTING: Duration = Duration::from_secs(300);

/// A wait that joins.
#[derive(Debug)]
pub(super) struct Join {
    pub(super) run_id: String,
    /// Told when every end from then on will be told.
    pub(super) ready: oneshot::Sender<()>,
    /// Told when the run has ended; dropped when the hub has.
    pub(super) ended: oneshot::Sender<()>,
}

/// See the module.
pub(super) struct Hub {
    client: Client,
    watch: Watch,
    joins: mpsc::Receiver<Join>,
    waiting: HashMap<String, Vec<oneshot::Sender<()>>>,
    /// Those who came before the stream was open.
    early: Vec<oneshot::Sender<()>>,
    is_open: bool,
    lost_since: Option<Instant>,
}

impl Hub {
    pub(super) fn new(client: Client, app: &str, joins: mpsc::Receiver<Join>) -> Self {
        let watch = client.watch(WatchOptions::new().app(app).terminal_only());
        let (waiting, early) = (HashMap::new(), Vec::new());
        Self { client, watch, joins, waiting, early, is_open: false, lost_since: None }
    }

    /// Goes on while anybody waits.
    pub(super) async fn run(mut self) {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        look.reset();
        loop {
            let patience = self.lost_since.map(|since| since + LOST_PATIENCE);
            tokio::select! {
                told = self.watch.next() => match told {
                    Some(Ok(item)) => self.hear(item.told),
                    Some(Err(error)) => return self.give_up(&error),
                    None => return,
                },
                Some(join) = self.joins.recv() => self.join(join),
                () = sleep_until(patience.unwrap_or_else(Instant::now)), if patience.is_some() => return,
                _ = look.tick() => {
                    self.waiting.retain(|_, waiting| {
                        waiting.retain(|ended| !ended.is_closed());
                        !waiting.is_empty()
                    });
                    if self.waiting.is_empty() && self.joins.is_empty() {
                        return;
                    }
                }
            }
        }
    }

    fn join(&mut self, join: Join) {
        self.waiting.entry(join.run_id).or_default().push(join.ended);
        if self.is_open {
            let _ = join.ready.send(());
        } else {
            self.early.push(join.ready);
        }
    }

    fn hear(&mut self, told: Told) {
        match told {
            Told::Opened { .. } => {
                self.is_open = true;
                self.lost_since = None;
                for ready in self.early.drain(..) {
                    let _ = ready.send(());
                }
            }
            Told::Lost(_) => self.lost_since = Some(Instant::now()),
            Told::Event(event) => {
                if let Some(Subject::Run(run)) = event.subject {
                    let waiting = self.waiting.remove(&run.run_id).unwrap_or_default();
                    for ended in waiting {
                        let _ = ended.send(());
                    }
                }
            }
            _ => {}
        }
    }

    /// The next watch would fare no better at once. All who wait ask for themselves.
    fn give_up(self, error: &Error) {
        tracing::debug!(%error, "runs are waited for without a watch");
        let passes = matches!(retry::classify(error.refusal()), Class::Passing(_));
        self.client.core().waits.switch_off(if passes { OFF } else { OFF_LASTING });
    }
}
