//! The promises D1 to D13 of DESIGN 2.3, a test for each line and named after it, through the wire. A promise that needs
//! more than one test has more than one.

mod lookup;
mod mesh;
mod replay;
mod secrets;
mod time;

use semel_client::v1;
use semel_core::id::Millis;
use semel_server::clock::ManualClock;

use super::{harness::TestServer, wire::PayByWire};

const HOUR: Millis = Millis::from_secs(3600);
/// The default window.
const WINDOW: Millis = Millis::from_secs(24 * 3600);

/// A server whose clock stands still: then nothing commits but what the test does.
async fn still() -> (PayByWire, ManualClock) {
    let (server, clock) = TestServer::with_manual_clock(|_| {}).await;
    (PayByWire::on(server).await, clock)
}

/// Lets time pass, and the server do what is due.
async fn pass(pay: &PayByWire, clock: &ManualClock, by: Millis) {
    clock.advance(by);
    let engine = pay.server.running().engine();
    engine.poke();
    engine.read(|_| ()).await.expect("the engine runs");
}

/// The position of the last effect.
async fn revision(pay: &PayByWire) -> i64 {
    pay.pay.served("", v1::GetServerInfoRequest::default()).await.revision
}
