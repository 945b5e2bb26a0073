//! A case: its row in the table, and what it has at hand while it runs. It owns the ledger of what may have happened, by
//! which every column is judged, whatever else a case expects.

use std::{
    collections::BTreeSet,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use semel_proto::v1;
use semel_server::server::Settings;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::{
    answer::{Answer, Failed, Short, Verdict, claim, gap},
    driver::{Driver, Pending},
    ground::{APP, Ground, JOB, PATIENCE},
    json,
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
    /// Whether a client of ours may answer that it has no such thing.
    pub is_optional: bool,
    /// Whether a bare stub cannot even be safe in it.
    pub is_beyond_a_stub: bool,
    /// How it runs.
    pub run: Run,
}

impl Case {
    /// A row.
    pub const fn new(name: &'static str, says: &'static str, run: Run) -> Self {
        Self { name, says, is_optional: false, is_beyond_a_stub: false, run }
    }

    /// A client may answer that it has no such thing.
    #[must_use]
    pub const fn optional(self) -> Self {
        Self { is_optional: true, ..self }
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
    ledger: Arc<Mutex<Ledger>>,
    ground: Option<Arc<tokio::sync::RwLock<Ground>>>,
}

/// What may have happened on the server, and what the client says did.
#[derive(Debug, Default)]
struct Ledger {
    /// The ids of calls that may have made a run, and how many calls had none.
    ids: BTreeSet<String>,
    without_id: u64,
    /// Nothing may have happened, whatever was asked.
    is_void: bool,
    /// The runs that the client was told of.
    told: Vec<String>,
}

impl Ledger {
    fn allowed(&self) -> u64 {
        if self.is_void { 0 } else { self.ids.len() as u64 + self.without_id }
    }
}

impl Cx {
    /// A case with a driver that was started by this command.
    pub fn new(driver: Arc<Driver>, command: &str) -> Self {
        Self { driver, command: command.to_owned(), ledger: Arc::default(), ground: None }
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
        self.ledger().is_void = true;
    }

    /// So many runs more may be made, by others than the calls of this case.
    pub fn may_happen(&self, runs: u64) {
        self.ledger().without_id += runs;
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
        Ok(Client { driver: driver.clone(), name, ledger: self.ledger.clone() })
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
        let runs = ground.runs().await;
        let (allowed, told) = {
            let ledger = self.ledger();
            (ledger.allowed(), ledger.told.clone())
        };
        claim(runs.len() as u64 <= allowed, || {
            format!("the server has {} runs, and at most {allowed} were asked for", runs.len())
        })?;
        for run_id in told {
            claim(runs.iter().any(|run| run.run_id == run_id), || {
                format!("success was told with the run {run_id:?}, which the server does not have")
            })?;
        }
        Ok(())
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
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

/// A client of a driver's.
#[derive(Clone, Debug)]
pub struct Client {
    driver: Arc<Driver>,
    name: String,
    ledger: Arc<Mutex<Ledger>>,
}

/// A call that went well.
#[derive(Clone, Debug)]
pub struct Made {
    /// Its id, as the driver tells it.
    pub request_id: String,
    /// The response.
    pub response: v1::RunJobResponse,
}

impl Made {
    /// The server has seen its id so often.
    ///
    /// # Errors
    /// When it has not.
    pub fn has_come(&self, times: i64) -> Verdict {
        let arrivals = self.response.header.as_ref().map_or(0, |header| header.arrivals);
        claim(arrivals >= times, || format!("expected the id to have come {times} times, it came {arrivals} times"))
    }
}

impl Client {
    /// Asks the driver for something of this client.
    pub async fn ask(&self, op: &str, mut fields: Value) -> Answer {
        fields["client"] = json!(self.name);
        self.driver.ask(op, fields).await
    }

    /// The same without waiting for the answer.
    pub async fn send(&self, op: &str, mut fields: Value) -> Pending {
        fields["client"] = json!(self.name);
        self.driver.send(op, fields).await
    }

    /// Its driver.
    pub fn driver(&self) -> &Arc<Driver> {
        &self.driver
    }

    /// Mints an id.
    ///
    /// # Errors
    /// When it does not.
    pub async fn mint(&self) -> Verdict<String> {
        let ok = self.ask("mint", json!({})).await.ok()?;
        ok["request_id"].as_str().map_or_else(|| gap(format!("expected an id, got {ok}")), |id| Ok(id.to_owned()))
    }

    /// Any unary call.
    pub async fn call(&self, method: &str, request: Value, more: Value) -> Answer {
        let pending = self.start(method, request, more).await;
        pending.answer().await
    }

    /// The same without waiting for the answer.
    pub async fn start(&self, method: &str, request: Value, more: Value) -> Pending {
        let mut fields = json!({"method": method, "request": request});
        if let (Some(fields), Value::Object(more)) = (fields.as_object_mut(), more) {
            fields.extend(more);
        }
        if method == "RunJob" {
            let mut ledger = self.ledger();
            match fields["request_id"].as_str() {
                Some(id) => drop(ledger.ids.insert(id.to_owned())),
                None => ledger.without_id += 1,
            }
        }
        self.send("call", fields).await
    }

    /// Asks for a run of the job, and gives what the driver says.
    pub async fn run(&self, more: Value) -> Answer {
        let pending = self.start_run(more).await;
        self.told(pending.answer().await)
    }

    /// The same without waiting: the answer is to be shown to [`Client::told`].
    pub async fn start_run(&self, more: Value) -> Pending {
        self.start("RunJob", json!({"job": JOB}), more).await
    }

    /// Takes note of a run that the client was told of.
    pub fn told(&self, answer: Answer) -> Answer {
        if let Answer::Ok(ok) = &answer {
            let run_id = ok["response"]["run_id"].as_str().or(ok["response"]["runId"].as_str());
            self.ledger().told.push(run_id.unwrap_or_default().to_owned());
        }
        answer
    }

    /// Asks for a run, which must be made.
    ///
    /// # Errors
    /// When it is not.
    pub async fn made(&self, more: Value) -> Verdict<Made> {
        made(self.run(more).await)
    }

    /// Asks for a run, which must be refused.
    ///
    /// # Errors
    /// When it is not.
    pub async fn refused(&self, more: Value) -> Verdict<Failed> {
        self.run(more).await.failed()
    }

    /// Many runs at once, by `call_many` or `submit_many`.
    ///
    /// # Errors
    /// When the driver does not give a result for each.
    pub async fn many(&self, op: &str, count: u64, mut more: Value) -> Verdict<Vec<Value>> {
        self.ledger().without_id += count;
        let request = more.as_object_mut().and_then(|more| more.remove("request"));
        more["request"] = request.unwrap_or_else(|| json!({"job": JOB}));
        more["count"] = json!(count);
        let ok = self.ask(op, more).await.ok()?;
        let results = ok["results"].as_array().cloned().unwrap_or_default();
        claim(results.len() as u64 == count, || format!("expected {count} results, got {}", results.len()))?;
        let told = results.iter().filter(|result| result.get("error").is_none());
        let told = told.map(|result| result["run_id"].as_str().unwrap_or_default().to_owned());
        self.ledger().told.extend(told);
        Ok(results)
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A run that was made, out of an answer.
///
/// # Errors
/// When it went otherwise, or the answer is not whole: an id that is not that of its header, no run, no verdict on the
/// credentials.
pub fn made(answer: Answer) -> Verdict<Made> {
    let ok = answer.clone().ok()?;
    let response: v1::RunJobResponse = json::to("RunJobResponse", &ok["response"]).map_err(Short::Gap)?;
    let request_id = ok["request_id"].as_str().unwrap_or_default().to_owned();
    let header = response.header.clone().unwrap_or_default();
    claim(header.request_id.eq_ignore_ascii_case(&request_id), || {
        format!("expected the id {request_id:?} in the header, got {:?}", header.request_id)
    })?;
    claim(!response.run_id.is_empty(), || format!("expected a run, got {ok}"))?;
    claim(header.auth.as_ref().is_some_and(|auth| auth.status != 0), || {
        format!("expected a verdict on the credentials, got {ok}")
    })?;
    Ok(Made { request_id, response })
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
