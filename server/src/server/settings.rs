//! What an operator may set of a server, parsed; the defaults.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use semel_core::{app::Grant, limits};

use crate::{
    auth::{Forwarder, Identity, Keyring, Mode, jwt::IssuerSettings},
    clock::Clock,
    engine,
    logs::{access, audit},
    observe::Observer,
    otlp,
    store::Memory,
    transport::{CALLS_MAX_DEFAULT, ConnectionLimits, QuotaRules, TlsFiles, WINDOW_BYTES_MAX_DEFAULT, WebOrigin},
};

/// Where the state lies.
#[derive(Clone, Debug)]
pub enum Data {
    /// On disk.
    Directory {
        /// The data directory; made if it is not there.
        path: PathBuf,
        /// The bound of the store, in bytes of address space.
        map_size: usize,
    },
    /// In memory: for tests. Survives the server as long as the handle does.
    Memory(Memory),
}

/// What an operator may set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen. Port 0 takes any free one.
    pub listen: SocketAddr,
    /// Where to listen for operators; none for nowhere.
    pub admin_listen: Option<SocketAddr>,
    /// Where the state lies.
    pub data: Data,
    /// The engine's.
    pub engine: engine::Options,
    /// How credentials are treated.
    pub auth_mode: Mode,
    /// What callers without credentials may do under [`Mode::Permissive`].
    pub anonymous: Vec<Grant>,
    /// TLS for callers; none for plaintext.
    pub tls: Option<TlsFiles>,
    /// Who callers are by their certificates.
    pub identities: Vec<Identity>,
    /// Which peers are believed when they say who their callers are.
    pub forwarders: Vec<Forwarder>,
    /// Whose tokens are taken beside the server's own.
    pub issuers: Vec<IssuerSettings>,
    /// Whether to listen without TLS on anything but loopback.
    pub allow_plaintext: bool,
    /// From where pages may call, beside the server's own origin.
    pub web_origins: Vec<WebOrigin>,
    /// The largest payload or result.
    pub payload_bytes_max: usize,
    /// The largest message.
    pub message_bytes_max: usize,
    /// What requests without an answer may hold together, in bytes.
    pub intake_bytes_max: usize,
    /// What answers that their callers have not read yet may hold together, in bytes.
    pub answer_bytes_max: usize,
    /// How many connections are taken.
    pub connections: ConnectionLimits,
    /// How many calls may be open on all of them together. Default [`CALLS_MAX_DEFAULT`].
    pub calls_max: usize,
    /// What callers may send that is not read yet: the windows of all connections, in bytes. Default
    /// [`WINDOW_BYTES_MAX_DEFAULT`].
    pub window_bytes_max: usize,
    /// What each app may ask for. Default no bound.
    pub quota: QuotaRules,
    /// How old connections become, give or take a tenth; none for as old as they like.
    pub connection_age: Option<Duration>,
    /// How long a server that is to stop still serves as before, while its health says that it goes.
    pub drain_delay: Duration,
    /// How long calls that are under way get to end when the server stops.
    pub drain_timeout: Duration,
    /// Where spans and metrics go; none for nowhere.
    pub otlp: Option<otlp::Settings>,
    /// Who is told of each call that has ended, beside the metrics.
    pub observers: Vec<Arc<dyn Observer>>,
    /// Where a line is written for each call; none for nowhere.
    pub access_log: Option<access::Target>,
    /// What is written of who changed what and who was refused; into the data directory, so of a server in memory nothing.
    pub audit: audit::Settings,
    /// What time it is.
    pub clock: Clock,
    /// The keys, instead of those in the data directory: for tests that restart a server whose data is in memory.
    pub keyring: Option<Arc<Keyring>>,
}

impl Settings {
    /// The defaults.
    pub fn new(data: Data) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7400)),
            admin_listen: None,
            data,
            engine: engine::Options::default(),
            auth_mode: Mode::default(),
            anonymous: Vec::new(),
            tls: None,
            identities: Vec::new(),
            forwarders: Vec::new(),
            issuers: Vec::new(),
            allow_plaintext: false,
            web_origins: Vec::new(),
            payload_bytes_max: limits::PAYLOAD_BYTES_MAX,
            message_bytes_max: 4 << 20,
            intake_bytes_max: 256 << 20,
            answer_bytes_max: 256 << 20,
            connections: ConnectionLimits::default(),
            calls_max: CALLS_MAX_DEFAULT,
            window_bytes_max: WINDOW_BYTES_MAX_DEFAULT,
            quota: QuotaRules::default(),
            connection_age: None,
            drain_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(10),
            otlp: None,
            observers: Vec::new(),
            access_log: None,
            audit: audit::Settings::default(),
            clock: Clock::system(),
            keyring: None,
        }
    }
}
