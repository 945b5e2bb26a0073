//! A whole server: listener, store, engine and transport, from its start to its end.
//!
//! The listener opens first and the store is loaded behind it: until then calls are told that their credentials cannot
//! be checked yet, which is a reason to come again, and no refusal.

mod error;
mod folder;
mod logs;
mod settings;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{net::TcpListener, sync::watch, time};
use tracing::{info, warn};

pub use self::{
    error::Error,
    folder::open_store,
    settings::{Data, Settings},
};
use self::{
    folder::{open_keyring, pending_admin_secret, random_bytes, settle_admin_secret},
    logs::Logs,
};
use crate::{
    admin::{Admin, Readiness},
    auth::{
        AppSecret, Authenticator, Keyring, Mode,
        jwt::{Issuers, Refreshers},
    },
    engine::{self, Handle, PassageSender, Passages, Refused, Stopped},
    look,
    metrics::Metrics,
    observe::{Observer, Observers},
    otlp::{Exporter, Tracer},
    store::Store,
    transport::{self, Connections, Door, DoorSettings, Gate, Reloaded, Stage},
};

/// The file that the first admin's secret is written to, in the data directory.
pub const ADMIN_SECRET_FILE: &str = "admin-secret";
/// How long a server that has ended waits for its tasks to let go of the store, and how often it looks.
const LET_GO_MAX: Duration = Duration::from_secs(2);
const LET_GO_LOOK: Duration = Duration::from_millis(1);
/// The file of the key ring, in the data directory.
pub const KEYS_FILE: &str = "keys.json";

/// A server that runs.
pub struct Running {
    address: SocketAddr,
    admin: Option<Admin>,
    engine: Handle,
    first_admin: Option<(AppSecret, Option<PathBuf>)>,
    stage: watch::Sender<Stage>,
    gate: Arc<Gate>,
    refreshers: Refreshers,
    door: Door,
    logs: Logs,
    exporter: Option<Exporter>,
    drain_delay: Duration,
    drain_timeout: Duration,
    is_audit_required: bool,
}

/// Starts a server; gives it once its store is loaded and it serves.
///
/// # Errors
/// See [`Error`].
pub async fn start(settings: Settings) -> Result<Running, Error> {
    let listener = bind(&settings, settings.listen).await?;
    let store = open_store(&settings.data)?;
    start_on(settings, listener, store).await
}

/// Starts a server on a listener that is bound already, over a store of the caller's choice.
///
/// # Errors
/// See [`Error`].
pub async fn start_on(settings: Settings, listener: TcpListener, store: Box<dyn Store>) -> Result<Running, Error> {
    let address = listener.local_addr().map_err(|source| Error::Listen { address: settings.listen, source })?;
    let keyring = match &settings.keyring {
        Some(keyring) => keyring.clone(),
        None => Arc::new(open_keyring(&settings.data)?),
    };
    let mut logs = Logs::open(&settings)?;
    let admin = open_admin(&settings).await?;
    let metrics = admin.as_ref().map(|admin| admin.metrics().clone());
    let metrics = metrics.or_else(|| settings.otlp.is_some().then(Arc::default));
    let server_id = uuid::Uuid::new_v4().to_string();
    let Traced { tracer, exporter, passages } = traced(&settings, &server_id, metrics.as_ref())?;
    let (stage, stage_seen) = watch::channel(Stage::Serving);
    let gate = gate(&settings, keyring, &logs, &tracer, server_id, stage_seen);
    let refreshers = Refreshers::start(gate.issuers(), &settings.clock);
    if let Some(metrics) = &metrics {
        metrics.name(transport::methods(), Refused::reasons(), transport::reasons());
    }
    let tls = settings.tls.clone().map(|files| Reloaded::start(files, metrics.clone())).transpose()?;
    let door = DoorSettings {
        limits: settings.connections,
        calls_max: settings.calls_max,
        window_bytes_max: settings.window_bytes_max,
        age: settings.connection_age,
        tls,
        web_origins: &settings.web_origins,
        observers: observers(&settings, metrics.as_deref(), logs.observer(), tracer),
    };
    let door = Door::open(gate.clone(), listener, door).await;
    if let Some(metrics) = &metrics {
        metrics.look_by(look::at(gate.clone(), door.cap().clone()));
    }

    let secret = pending_admin_secret(&settings.data)?;
    let seed = u64::from_be_bytes(random_bytes::<8>()?);
    let (clock, hash) = (settings.clock.clone(), Some(secret.hash()));
    let (engine, _) = engine::start(store, settings.engine, clock, seed, hash, metrics, passages).await?;
    let is_admins = engine.directory().app_of_secret(&secret.hash()).is_some();
    let file = settle_admin_secret(&settings.data, is_admins)?;
    let first_admin = is_admins.then_some((secret, file));
    logs.begin(&engine).await?;
    gate.open(engine.clone());
    door.set_serving(true).await;
    if settings.auth_mode != Mode::Enforce {
        warn!(mode = ?settings.auth_mode, "authentication is not enforced: every answer says so");
    }
    if let Some(admin) = &admin {
        admin.set(Readiness::Serving);
    }
    info!(%address, "serving");
    let Settings { drain_delay, drain_timeout, .. } = settings;
    let is_audit_required = settings.audit.is_required;
    Ok(Running {
        address,
        admin,
        engine,
        first_admin,
        stage,
        gate,
        refreshers,
        door,
        logs,
        exporter,
        drain_delay,
        drain_timeout,
        is_audit_required,
    })
}

impl Running {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens for operators, if it does.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(Admin::address)
    }

    /// What became of callers' connections so far.
    pub fn connections(&self) -> Connections {
        self.door.connections()
    }

    /// The first admin's secret, if this start made it.
    pub fn first_admin_secret(&self) -> Option<&AppSecret> {
        self.first_admin.as_ref().map(|(secret, _)| secret)
    }

    /// Where that secret was written to.
    pub fn first_admin_secret_file(&self) -> Option<&Path> {
        self.first_admin.as_ref().and_then(|(_, file)| file.as_deref())
    }

    /// The engine, for tests that move its clock.
    pub fn engine(&self) -> &Handle {
        &self.engine
    }

    /// Waits until the server fails by itself, and says why. Health says by then that it does not serve.
    pub async fn failed(&self) -> Error {
        let stopped = tokio::select! {
            stopped = self.engine.stopped() => Ok(stopped),
            why = self.audit_lost() => Err(why),
        };
        self.says(Readiness::Failed);
        self.door.set_serving(false).await;
        match stopped {
            Ok(Stopped::Asked) => Error::Engine("it was asked to".to_owned()),
            Ok(Stopped::Failed(why)) => Error::Engine(why),
            Err(why) => Error::AuditLost(why),
        }
    }

    /// Comes back when a line of the audit log was lost, if that matters.
    async fn audit_lost(&self) -> String {
        match self.logs.audit().filter(|_| self.is_audit_required) {
            Some(audit) => audit.failed().await,
            None => std::future::pending().await,
        }
    }

    /// Says that the server goes, to whoever asks for its health. All is served as before.
    async fn announce(&self) {
        self.says(Readiness::Draining);
        self.door.set_serving(false).await;
    }

    /// Begins the end: health says so, nothing new is taken, streams are told to go elsewhere. Calls that are under way
    /// go on.
    pub async fn drain(&self) {
        self.announce().await;
        self.engine.drain();
        self.stage.send_replace(Stage::Going);
    }

    fn says(&self, readiness: Readiness) {
        if let Some(admin) = &self.admin {
            admin.set(readiness);
        }
    }

    /// Ends a server that serves: says so, waits for balancers to notice, and ends it.
    ///
    /// # Errors
    /// If the engine had failed before; the store is closed all the same.
    pub async fn shutdown(self) -> Result<(), Error> {
        self.announce().await;
        time::sleep(self.drain_delay).await;
        self.end().await
    }

    /// Ends the server without a delay, for one that has failed has nothing to serve meanwhile: drains, waits for what is under
    /// way (bounded), and closes the store.
    ///
    /// # Errors
    /// If the engine had failed before; the store is closed all the same.
    pub async fn end(self) -> Result<(), Error> {
        self.drain().await;
        if !self.door.close(self.drain_timeout).await {
            warn!("connections did not end in time, and were cut");
        }
        self.stage.send_replace(Stage::Cut);
        self.refreshers.stop().await;
        self.gate.close();
        let stopped = self.engine.stop().await;
        self.logs.close(&self.engine).await;
        // Tasks that were cut let go of the store in their next turn; whoever opens it again should find it free.
        let let_go = async {
            while self.engine.is_shared() {
                time::sleep(LET_GO_LOOK).await;
            }
        };
        let _ = time::timeout(LET_GO_MAX, let_go).await;
        if let Some(exporter) = self.exporter {
            exporter.stop().await;
        }
        match stopped {
            Stopped::Asked => Ok(()),
            Stopped::Failed(why) => Err(Error::Engine(why)),
        }
    }
}

async fn bind(settings: &Settings, address: SocketAddr) -> Result<TcpListener, Error> {
    if settings.tls.is_none() {
        allow(settings, address)?;
    }
    TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source })
}

fn allow(settings: &Settings, address: SocketAddr) -> Result<(), Error> {
    if !address.ip().is_loopback() && !settings.allow_plaintext {
        return Err(Error::Plaintext { address });
    }
    Ok(())
}

/// What all calls go through.
fn gate(
    settings: &Settings,
    keyring: Arc<Keyring>,
    logs: &Logs,
    tracer: &Tracer,
    server_id: String,
    stage: watch::Receiver<Stage>,
) -> Arc<Gate> {
    Arc::new(Gate::new(transport::Settings {
        authenticator: Authenticator::new(settings.auth_mode, settings.anonymous.clone(), keyring)
            .with_identities(settings.identities.clone())
            .with_forwarders(settings.forwarders.clone())
            .with_issuers(Issuers::new(settings.issuers.clone())),
        clock: settings.clock.clone(),
        payload_bytes_max: settings.payload_bytes_max,
        message_bytes_max: settings.message_bytes_max,
        intake_bytes_max: settings.intake_bytes_max,
        answer_bytes_max: settings.answer_bytes_max,
        queue_max: settings.engine.bounds.queue_max,
        quota: settings.quota.clone(),
        server_id,
        store_kind: match settings.data {
            Data::Directory { .. } => "embedded",
            Data::Memory(_) => "memory",
        },
        audit: logs.audit().cloned(),
        tracer: tracer.clone(),
        stage,
    }))
}

/// What draws traces.
#[derive(Default)]
struct Traced {
    tracer: Tracer,
    exporter: Option<Exporter>,
    passages: Option<PassageSender>,
}

/// Starts to send spans and metrics, if it is said where to.
fn traced(settings: &Settings, server_id: &str, metrics: Option<&Arc<Metrics>>) -> Result<Traced, Error> {
    let Some((otlp, metrics)) = settings.otlp.as_ref().zip(metrics) else { return Ok(Traced::default()) };
    let (sender, passages) = Passages::channel();
    let seed = u64::from_be_bytes(random_bytes()?);
    let (tracer, exporter) = Exporter::start(otlp, server_id, seed, passages, metrics.clone())?;
    info!(endpoint = %otlp.endpoint, "spans and metrics are sent");
    Ok(Traced { tracer, exporter: Some(exporter), passages: Some(sender) })
}

/// Who is told of each call that has ended.
fn observers(
    settings: &Settings,
    metrics: Option<&Metrics>,
    access: Option<Arc<dyn Observer>>,
    tracer: Tracer,
) -> Observers {
    let calls = metrics.map(|metrics| Arc::new(metrics.calls().clone()) as Arc<dyn Observer>);
    let drawn = tracer.is_on().then(|| Arc::new(tracer) as Arc<dyn Observer>);
    Observers::new(calls.into_iter().chain(access).chain(drawn).chain(settings.observers.iter().cloned()))
}

async fn open_admin(settings: &Settings) -> Result<Option<Admin>, Error> {
    let Some(address) = settings.admin_listen else { return Ok(None) };
    allow(settings, address)?;
    let admin = Admin::open(address).await.map_err(|source| Error::Listen { address, source })?;
    info!(address = %admin.address(), "metrics are to be had");
    Ok(Some(admin))
}
