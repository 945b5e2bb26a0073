//! A server in a process of its own, honest callers who go on calling while it is attacked, and what is measured meanwhile.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use semel_client::{Client, Credentials, Options, v1};
use tokio::{runtime::Handle, task::JoinSet};

use crate::e2e::{
    binary::{ServerProcess, some_moment, until},
    fire::all_runs,
    harness::{in_time, job, run_job, spec},
};

/// Honest callers, each with a client of its own.
const CALLERS: usize = 4;
/// What a caller does between two calls.
const PAUSE: Duration = Duration::from_millis(5);

/// How large the attacks are.
pub(crate) struct Size {
    pub(crate) is_full: bool,
    /// Calls of which the quantiles are taken before each.
    pub(crate) quiet_calls: u64,
    /// What is in the names of those that are made; none for all.
    pub(crate) only: Option<String>,
}

impl Size {
    pub(crate) fn of_environment() -> Self {
        let is_full = std::env::var("SEMEL_ATTACKS").is_ok_and(|size| size == "full");
        let only = std::env::var("SEMEL_ATTACKS_ONLY").ok();
        Self { is_full, quiet_calls: if is_full { 1500 } else { 20 }, only }
    }

    /// How much of something there is.
    pub(crate) fn of<T>(&self, small: T, full: T) -> T {
        if self.is_full { full } else { small }
    }
}

/// What became of an attack.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) attack: &'static str,
    pub(crate) did: String,
    pub(crate) server: String,
    pub(crate) quiet: Quantiles,
    pub(crate) under: Quantiles,
    pub(crate) took: Duration,
    pub(crate) memory_peak: u64,
}

/// Of calls' times.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Quantiles {
    pub(crate) calls: usize,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

impl Quantiles {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |share: f64| times.get(((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1)));
        let [p50, p99] = [0.5, 0.99].map(|share| at(share).copied().unwrap_or_default());
        Self { calls: times.len(), p50, p99 }
    }
}

/// See the module.
pub(crate) struct Ground {
    pub(crate) server: ServerProcess,
    honest: Handle,
    pub(crate) address: SocketAddr,
    pub(crate) size: Size,
    /// The secret of the app `pay`, which is the honest callers'.
    pub(crate) secret: String,
    pub(crate) client: Client,
    pub(crate) rows: Vec<Row>,
    /// The run of each honest call, by its request id.
    made: BTreeMap<String, String>,
    /// What the server's own memory was before the first attack.
    pub(crate) memory_quiet: u64,
}

impl Ground {
    /// With honest callers who live in a runtime of their own.
    pub(crate) async fn start(honest: Handle, folder: &Path, environment: &[(&str, &str)]) -> Self {
        let server = ServerProcess::start(folder, environment).await;
        let create = v1::CreateAppRequest { app: "pay".to_owned(), ..Default::default() };
        let secret = server.admin().create_app(create).await.expect("made").secret;
        let client = Client::connect_lazy(options(&server, &secret)).expect("options");
        job(&client, "settle", spec("nobody")).await;
        let address = server.address();
        let (size, rows, made) = (Size::of_environment(), Vec::new(), BTreeMap::new());
        let mut ground = Self { server, honest, address, size, secret, client, rows, made, memory_quiet: 0 };
        let enough = ground.size.quiet_calls;
        ground.honestly(async |count| reached(count, enough).await).await;
        ground.memory_quiet = ground.memory();
        ground
    }

    /// Has honest callers call until something is done; gives how long their calls took. Each call is answered.
    async fn honestly<T>(&mut self, meanwhile: impl AsyncFnOnce(&AtomicU64) -> T) -> (Quantiles, T) {
        let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            let (options, stop, count) = (options(&self.server, &self.secret), stop.clone(), count.clone());
            let calling = async move {
                let client = Client::connect_lazy(options).expect("options");
                let mut answered = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let (id, begun) = (client.mint_request_id(), Instant::now());
                    let answer = client.with_request_id(id).run_job(run_job("settle")).await;
                    let answer = answer.unwrap_or_else(|error| panic!("an honest call was not served: {error}"));
                    answered.push((id.to_string(), answer.run_id, begun.elapsed()));
                    count.fetch_add(1, Ordering::Relaxed);
                    some_moment(PAUSE).await;
                }
                answered
            };
            callers.spawn_on(calling, &self.honest);
        }
        let done = meanwhile(&count).await;
        stop.store(true, Ordering::Relaxed);
        let mut times = Vec::new();
        for (id, run_id, took) in in_time(callers.join_all()).await.into_iter().flatten() {
            times.push(took);
            assert!(self.made.insert(id, run_id).is_none(), "ids are minted once");
        }
        (Quantiles::of(times), done)
    }

    /// Attacks while honest callers call, and writes down what became of it, unless only others are asked for. The attack says
    /// what it did, and what the server did.
    pub(crate) async fn under(
        &mut self,
        attack: &'static str,
        attacker: impl AsyncFnOnce(SocketAddr) -> (String, String),
    ) {
        if !self.size.only.as_ref().is_none_or(|only| attack.contains(only)) {
            return;
        }
        let enough = self.size.quiet_calls;
        let (quiet, ()) = self.honestly(async |count| reached(count, enough).await).await;
        self.forget_peak();
        let (address, begun) = (self.address, Instant::now());
        let (under, ((did, server), took)) = self
            .honestly(async |count| {
                // All have called by now, so the attack finds them at work.
                reached(count, CALLERS as u64).await;
                let said = attacker(address).await;
                (said, begun.elapsed())
            })
            .await;
        let row = Row { attack, did, server, quiet, under, took, memory_peak: self.memory_peak() };
        println!("{row:?}");
        self.rows.push(row);
        let ready = self.client.get_server_info(v1::GetServerInfoRequest::default()).await;
        ready.unwrap_or_else(|error| panic!("after {attack} the server does not serve: {error}"));
    }

    /// Each honest call has made one run, and there are no others.
    pub(crate) async fn reckon(&self) {
        let runs = all_runs(&self.client).await;
        let found: BTreeMap<String, String> = runs.iter().cloned().collect();
        assert_eq!(runs.len(), found.len(), "a call was doubled");
        assert_eq!(found.len(), self.made.len(), "each call has made one run");
        assert!(found == self.made, "and it is the one that it was told of");
    }

    fn status(&self, field: &str) -> u64 {
        let path = format!("/proc/{}/status", self.server.id());
        let text = std::fs::read_to_string(path).expect("the server runs");
        let line = text.lines().find_map(|line| line.strip_prefix(field)).expect("the system tells it");
        let kib = line.trim_start_matches(':').split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok());
        kib.expect("a number") * 1024
    }

    /// What it has in memory now.
    pub(crate) fn memory(&self) -> u64 {
        self.status("VmRSS")
    }

    /// The most that it had since the peak was forgotten.
    fn memory_peak(&self) -> u64 {
        self.status("VmHWM")
    }

    fn forget_peak(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.server.id()), "5").expect("the system forgets it");
    }
}

async fn reached(count: &AtomicU64, enough: u64) {
    until(async || (count.load(Ordering::Relaxed) >= enough).then_some(())).await;
}

/// Of a client of the app that retries.
fn options(server: &ServerProcess, secret: &str) -> Options {
    let credentials = Credentials::Bearer(secret.to_owned());
    server.options().app("pay").credentials(credentials).stream_under_load(false)
}
