//! The seed fault, replayed: through a proxy that does everything to them, so many calls make exactly as many runs, in each
//! auth mode, with and without tokens that expire half-way.

use semel_faults::{Fault, Plan};
use semel_server::auth::Mode;
use tokio::sync::watch;

use super::{calls, fire, ground::Ground, reckon, whole_machine};

async fn each_call_makes_one_run(mode: Mode, expires: bool, seed: u64) {
    let _machine = whole_machine().await;
    let (ground, calls) = (Ground::of(mode, expires).await, calls());
    // Copies that come later come after the clock has jumped.
    let proxy = ground.proxy(Plan::storm(seed).later_after(calls as u64 / 4)).await;
    let answers = watch::Sender::new(0);
    let (answered, ()) =
        tokio::join!(fire(|| ground.options(&proxy), calls, &answers), ground.half_way(&answers, calls));
    proxy.send_kept().await;
    let counts = proxy.counts();
    let given_up: u32 = answered.iter().map(|answer| answer.given_up).sum();
    let replayed = answered.iter().filter(|answer| answer.replayed).count();
    println!("seed {seed}: {calls} calls, {replayed} replayed, given up {given_up} times, {}", counts.to_json());

    reckon(&ground.direct(), &answered, calls).await;
    let missing: Vec<Fault> = Fault::of_calls().filter(|fault| counts.of(*fault) == 0).collect();
    assert!(missing.is_empty(), "these never happened: {missing:?}");
    assert!(replayed > 0 && answered.iter().any(|answer| answer.arrivals > 2), "no call arrived again");
    ground.check_credentials(&answered);
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
