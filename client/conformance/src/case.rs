//! A case: its row in the table, and what it has at hand while it runs. It judges nothing itself.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use semel_proto::v1;
use semel_server::server::Settings;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::{
    answer::{Short, Verdict, claim, gap},
    client::Client,
    driver::Driver,
    ground::{APP, Ground, PATIENCE},
    ledger::Ledger,
};

/// How long a case may take.
pub const CASE_WITHIN: Duration = Duration::from_secs(20);

/// How a case runs.
pub type Run = for<'a> fn(&'a mut Cx) -> Pin<Box<dyn Future<Output = Verdict> + Send + 'a>>;

/// A row of the table.
#[derive(Clone, Copy)]
pub struct Case {
    /// Its name.
    pub name: &'static str,
    /// What it holds a client to, as a sentence.
    pub says: &'static str,
    /// Whether a bare stub cannot even be safe in it.
    pub is_beyond_a_stub: bool,
    /// How it runs.
    pub run: Run,
}

impl Case {
    /// A row.
    pub const fn new(name: &'static str, says: &'static str, run: Run) -> Self {
        Self { name, says, is_beyond_a_stub: false, run }
    }

    /// A bare stub cannot even be safe in it: it believes what it is told.
    #[must_use]
    pub const fn beyond_a_stub(self) -> Self {
        Self { is_beyond_a_stub: true, ..self }
    }
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Case").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A row whose function has the name of the case.
macro_rules! case {
    ($name:ident, $says:literal) => {
        $crate::case::Case::new(stringify!($name), $says, |cx| Box::pin($name(cx)))
    };
}
pub(crate) use case;

/// Names must differ within one driver, which outlives its cases.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// A name that nobody else has.
fn fresh(what: &str) -> String {
    format!("{what}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// What a case has at hand.
pub struct Cx {
    driver: Arc<Driver>,
    command: String,
    ledger: Ledger,
    ground: Option<Arc<tokio::sync::RwLock<Ground>>>,
}

impl Cx {
    /// A case with a driver that was started by this command.
    pub fn new(driver: Arc<Driver>, command: &str) -> Self {
        Self { driver, command: command.to_owned(), ledger: Ledger::default(), ground: None }
    }

    /// Another driver of the same client, which the case may kill.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn another_driver(&self) -> Verdict<Arc<Driver>> {
        Driver::start(&self.command).map(Arc::new).map_err(|error| Short::Gap(error.to_string()))
    }

    /// The driver.
    pub fn driver(&self) -> &Arc<Driver> {
        &self.driver
    }

    /// A server with the defaults.
    pub async fn ground(&mut self) -> Standing {
        self.stand_on(Ground::start(|_| {}).await)
    }

    /// A server with settings of the case's choice.
    pub async fn ground_with(&mut self, change: impl FnOnce(&mut Settings)) -> Standing {
        self.stand_on(Ground::start(change).await)
    }

    /// A server whose clock stands still until the case moves it.
    pub async fn ground_with_clock(&mut self) -> Standing {
        self.stand_on(Ground::with_clock(|_| {}).await)
    }

    /// The same with settings of the case's choice.
    pub async fn ground_with_clock_and(&mut self, change: impl FnOnce(&mut Settings)) -> Standing {
        self.stand_on(Ground::with_clock(change).await)
    }

    fn stand_on(&mut self, ground: Ground) -> Standing {
        let ground = Arc::new(tokio::sync::RwLock::new(ground));
        self.ground = Some(ground.clone());
        Standing { ground }
    }

    /// No call of this case may take effect.
    pub fn nothing_may_happen(&self) {
        self.ledger.nothing_may_happen();
    }

    /// So many runs more may be made, by others than the calls of this case.
    pub fn may_happen(&self, runs: u64) {
        self.ledger.may_happen(runs);
    }

    /// A client of the driver's.
    ///
    /// # Errors
    /// When the driver does not make it.
    pub async fn connect(&self, endpoint: &str, credentials: Value, options: Value) -> Verdict<Client> {
        self.connect_on(&self.driver, endpoint, credentials, options).await
    }

    /// The same of another driver.
    ///
    /// # Errors
    /// When the driver does not make it.
    pub async fn connect_on(
        &self,
        driver: &Arc<Driver>,
        endpoint: &str,
        credentials: Value,
        options: Value,
    ) -> Verdict<Client> {
        let name = fresh("client");
        let fields = json!({
            "client": name, "endpoint": endpoint, "app": APP, "credentials": credentials, "options": options,
        });
        driver.ask("connect", fields).await.ok()?;
        Ok(Client::new(driver.clone(), name, self.ledger.clone()))
    }

    /// What no client may ever do, whatever else it does: make more runs than were asked for, or tell of one that is not.
    ///
    /// # Errors
    /// When it did.
    pub async fn judge_safety(&self) -> Verdict {
        let Some(ground) = &self.ground else { return Ok(()) };
        let mut ground = ground.write().await;
        if !ground.is_running() {
            ground.revive().await;
        }
        self.ledger.judge(&ground.runs().await)
    }
}

/// The ground of a case.
#[derive(Clone)]
pub struct Standing {
    ground: Arc<tokio::sync::RwLock<Ground>>,
}

impl Standing {
    /// The ground, to be looked at.
    pub async fn get(&self) -> tokio::sync::RwLockReadGuard<'_, Ground> {
        self.ground.read().await
    }

    /// Ends the server and starts it again on the same data and address.
    pub async fn restart(&self) {
        let mut ground = self.ground.write().await;
        ground.stop().await;
        ground.revive().await;
    }

    /// Ends the server.
    pub async fn stop(&self) {
        self.ground.write().await.stop().await;
    }

    /// Starts it again.
    pub async fn revive(&self) {
        self.ground.write().await.revive().await;
    }

    /// The server has exactly so many runs.
    ///
    /// # Errors
    /// When it has more or fewer.
    pub async fn has_runs(&self, count: usize) -> Verdict<Vec<v1::Run>> {
        let runs = self.get().await.runs().await;
        claim(runs.len() == count, || format!("expected {count} runs on the server, there are {}", runs.len()))?;
        Ok(runs)
    }

    /// The server knows this id as done.
    ///
    /// # Errors
    /// When it does not.
    pub async fn has_done(&self, request_id: &str) -> Verdict {
        let record = self.get().await.request(request_id).await;
        claim(record.state() == v1::RequestState::Done, || {
            format!("expected request {request_id:?} to be done, got {record:?}")
        })
    }
}

/// Waits until something holds, but not for ever.
///
/// # Errors
/// When it does not come to hold.
pub async fn eventually<F: Future<Output = Verdict>>(mut holds: impl FnMut() -> F) -> Verdict {
    let until = tokio::time::Instant::now() + PATIENCE;
    let mut pause = Duration::from_millis(5);
    loop {
        match holds().await {
            Ok(()) => return Ok(()),
            Err(short) if tokio::time::Instant::now() >= until => return Err(short),
            Err(_) => tokio::time::sleep(pause).await,
        }
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

/// The next event that is told, but not for ever.
///
/// # Errors
/// When none comes.
pub async fn next_event(events: &mut mpsc::Receiver<Value>) -> Verdict<Value> {
    match tokio::time::timeout(PATIENCE, events.recv()).await {
        Ok(Some(event)) => Ok(event),
        Ok(None) => gap("expected an event, and nothing more can come"),
        Err(_) => gap("expected an event, and none came"),
    }
}

/// A name for a watch or a worker.
pub fn name(what: &str) -> String {
    fresh(what)
}
