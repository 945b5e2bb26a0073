//! The seed fault, replayed: through a proxy that does everything to them, so many calls make exactly as many runs, in each
//! auth mode, with and without tokens that expire half-way.

use semel_client::{Client, Credentials, Options, v1::AuthStatus};
use semel_core::id::Millis;
use semel_faults::{Fault, Plan};
use semel_server::{
    auth::Mode,
    clock::{Clock, ManualClock},
    server::{Data, Settings},
};

use tokio::sync::watch;

use super::{Answered, calls, fire, reckon, whole_machine};
use crate::e2e::{
    faults::faulty,
    harness::{TestServer, job, spec},
};

/// Longer than a token holds.
const HALF_WAY: Millis = Millis::from_secs(2 * 60 * 60);

/// What the answers of a server in this mode say.
fn expected(mode: Mode) -> AuthStatus {
    match mode {
        Mode::Enforce | Mode::Permissive => AuthStatus::Passed,
        Mode::Off => AuthStatus::NotRequired,
    }
}

/// With its state on disk.
fn on_disk(folder: &tempfile::TempDir, settings: &mut Settings) {
    settings.data = Data::Directory { path: folder.path().join("data"), map_size: 1 << 30 };
    settings.keyring = None;
}

async fn each_call_makes_one_run(mode: Mode, expires: bool, seed: u64) {
    let _machine = whole_machine().await;
    let (folder, calls) = (tempfile::tempdir().expect("a folder"), calls());
    let clock = ManualClock::at(Clock::system().now().wall);
    let server = TestServer::with(|settings| {
        on_disk(&folder, settings);
        settings.auth_mode = mode;
        if expires {
            settings.clock = Clock::Manual(clock.clone());
        }
    })
    .await;
    let secret = server.app("pay").await;
    let credentials = Credentials::Secret { app: "pay".to_owned(), secret };
    job(&direct(&server, &credentials), "settle", spec("p")).await;

    let proxy = faulty(&server, Plan::storm(seed).later_after(calls as u64 / 4)).await;
    let options = || Options::new(proxy.endpoint()).app("pay").credentials(credentials.clone());
    let answers = watch::Sender::new(0);
    let half_way = async {
        super::answered(&answers, calls / 2).await;
        clock.advance(HALF_WAY);
    };
    let (answered, ()) = tokio::join!(fire(options, calls, &answers), half_way);
    proxy.send_kept().await;
    let counts = proxy.counts();
    let given_up: u32 = answered.iter().map(|answer| answer.given_up).sum();
    let replayed = answered.iter().filter(|answer| answer.replayed).count();
    println!("seed {seed}: {calls} calls, {replayed} replayed, given up {given_up} times, {}", counts.to_json());

    reckon(&direct(&server, &credentials), &answered, calls).await;
    let faults = Fault::ALL.iter().filter(|fault| counts.of(**fault) == 0).collect::<Vec<_>>();
    assert!(faults.is_empty(), "these never happened: {faults:?}");
    assert!(replayed > 0 && answered.iter().any(|answer| answer.arrivals > 2), "no call arrived again");
    assert!(answered.iter().all(|answer| answer.auth == expected(mode)), "each answer says what became of credentials");
    assert_eq!(tokens_ended(&answered), expires && mode != Mode::Off, "whether a token ended while it was in use");
}

/// Whether callers went on with tokens of a later end.
fn tokens_ended(answered: &[Answered]) -> bool {
    let ends = || answered.iter().map(|answer| answer.expires);
    let (first, last) = (ends().min().unwrap_or_default(), ends().max().unwrap_or_default());
    last - first >= HALF_WAY.0 / 1000
}

/// A client that does not go through the proxy.
fn direct(server: &TestServer, credentials: &Credentials) -> Client {
    Client::connect_lazy(server.options().app("pay").credentials(credentials.clone())).expect("options")
}

macro_rules! cases {
    ($($name:ident: $mode:ident, $expires:literal, seed $seed:literal;)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                each_call_makes_one_run(Mode::$mode, $expires, $seed).await;
            }
        )*
    };
}

// Seeds under which the first thousand calls already meet with every fault several times.
cases! {
    enforced: Enforce, false, seed 5;
    enforced_and_the_token_expires: Enforce, true, seed 6;
    permissive: Permissive, false, seed 10;
    permissive_and_the_token_expires: Permissive, true, seed 17;
    off: Off, false, seed 21;
    off_and_the_token_would_expire: Off, true, seed 25;
}
