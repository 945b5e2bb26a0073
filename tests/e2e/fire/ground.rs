//! Where the fire is: a server in an auth mode with its state on disk, whose clock jumps half-way, and the proxy before it.

use std::collections::BTreeMap;

use semel_client::{Client, Credentials, Options, v1::AuthStatus};
use semel_core::id::Millis;
use semel_faults::{Plan, Proxy};
use semel_server::{
    auth::Mode,
    clock::{Clock, ManualClock},
    server::Data,
};
use tempfile::TempDir;
use tokio::sync::watch;

use super::Answered;
use crate::e2e::{
    faults::faulty,
    harness::{TestServer, job, spec},
};

/// Longer than a token holds.
const TOKENS_END: Millis = Millis::from_secs(2 * 60 * 60);
/// What lies between a call and its copy that comes "minutes later", by the server's clock. Tokens still hold.
const MINUTES_LATER: Millis = Millis::from_secs(20 * 60);

/// See the module.
pub(super) struct Ground {
    pub(super) mode: Mode,
    /// Whether tokens end half-way.
    pub(super) expires: bool,
    server: TestServer,
    clock: ManualClock,
    credentials: Credentials,
    _folder: TempDir,
}

impl Ground {
    /// With the app `pay` and its job `settle`.
    pub(super) async fn of(mode: Mode, expires: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = ManualClock::at(Clock::system().now().wall);
        let server = TestServer::with(|settings| {
            settings.data = Data::Directory { path: folder.path().join("data"), map_size: 1 << 30 };
            settings.keyring = None;
            settings.auth_mode = mode;
            settings.clock = Clock::Manual(clock.clone());
        })
        .await;
        let secret = server.app("pay").await;
        let credentials = Credentials::Secret { app: "pay".to_owned(), secret };
        let ground = Self { mode, expires, server, clock, credentials, _folder: folder };
        job(&ground.direct(), "settle", spec("p")).await;
        ground
    }

    /// A client that does not go through the proxy.
    pub(super) fn direct(&self) -> Client {
        let options = self.server.options().app("pay").credentials(self.credentials.clone());
        Client::connect_lazy(options).expect("options")
    }

    pub(super) async fn proxy(&self, plan: Plan) -> Proxy {
        faulty(&self.server, plan).await
    }

    /// For clients that go through it.
    pub(super) fn options(&self, proxy: &Proxy) -> Options {
        Options::new(proxy.endpoint()).app("pay").credentials(self.credentials.clone())
    }

    /// Lets time pass when half of the calls are answered: until the tokens have ended, or some minutes.
    pub(super) async fn half_way(&self, answers: &watch::Sender<usize>, calls: usize) {
        super::answered(answers, calls / 2).await;
        self.clock.advance(if self.expires { TOKENS_END } else { MINUTES_LATER });
    }

    /// What the answers say of credentials, and that tokens ended in use exactly where they should.
    pub(super) fn check_credentials(&self, answered: &[Answered]) {
        let expected = match self.mode {
            Mode::Enforce | Mode::Permissive => AuthStatus::Passed,
            Mode::Off => AuthStatus::NotRequired,
        };
        assert!(answered.iter().all(|answer| answer.auth == expected), "each answer says what became of credentials");
        assert_eq!(tokens_ended(answered), self.expires && self.mode != Mode::Off, "whether a token ended in use");
    }
}

/// Whether some client went on with a token of a later end.
fn tokens_ended(answered: &[Answered]) -> bool {
    let mut ends: BTreeMap<usize, (i64, i64)> = BTreeMap::new();
    for answer in answered {
        let (first, last) = ends.entry(answer.client).or_insert((answer.expires, answer.expires));
        (*first, *last) = ((*first).min(answer.expires), (*last).max(answer.expires));
    }
    ends.values().any(|(first, last)| last - first >= TOKENS_END.0 / 1000)
}
