//! The attack list, against a server in a process of its own on loopback, while honest callers go on: the server stays up,
//! each honest call is answered and made one run, and memory stays under a bound. In a small size always; in full with
//! `SEMEL_ATTACKS=full`, where honest callers' p99 is held to a bound as well and `SEMEL_ATTACKS_TABLE` names the page that
//! takes the table. `SEMEL_ATTACKS_ONLY` makes those alone that have this in their names.
//!
//! Attackers come from another address than the honest callers, except where that is the point.

mod credentials;
mod floods;
mod ground;
mod known;
mod messages;
pub(crate) mod raw;
mod resets;
mod slow;
mod streams;
mod table;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use semel_client::v1;
use thread_priority::{
    ThreadPriority,
    unix::{
        NormalThreadSchedulePolicy, RealtimeThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy,
        thread_native_id,
    },
};
use tokio::runtime::{Builder, Handle, Runtime};

use self::ground::{Ground, Row};
use super::{
    binary::{some_moment, until},
    fire::whole_machine,
    harness::run_job,
};

/// What the server may take in memory beyond what it has while nothing happens; docs/ATTACKS.md says how it is made up.
const MEMORY_MAX: u64 = 640 << 20;
/// What p99 may become: this many times what it was, or this long where that is more, because a machine is never quiet.
const P99_TIMES: u32 = 3;
const P99_FLOOR: Duration = Duration::from_millis(10);
/// How long a connection may be silent before it is closed, with time for a slow machine.
const SILENT_MAX: Duration = Duration::from_secs(25);

/// Of a size that shows the bounds with less than all the memory that they allow.
const SMALL: [(&str, &str); 6] = [
    ("SEMEL_LIMITS_CONNECTIONS", "300"),
    ("SEMEL_LIMITS_CONNECTIONS_PER_ADDRESS", "100"),
    ("SEMEL_LIMITS_CALLS", "8000"),
    ("SEMEL_LIMITS_WINDOW_BYTES_MAX", "33554432"),
    ("SEMEL_LIMITS_INTAKE_BYTES_MAX", "33554432"),
    ("SEMEL_LIMITS_ANSWER_BYTES_MAX", "33554432"),
];

/// With as many calls as fit into the bound on memory; all else is as it is by default.
const FULL: [(&str, &str); 1] = [("SEMEL_LIMITS_CALLS", "65536")];

#[test]
fn the_attack_list() {
    let honest = runtime(2, come_first);
    let hostile = runtime(1, give_way);
    hostile.block_on(the_attacks(honest.handle().clone()));
}

/// So many threads, each of which in full begins with this.
fn runtime(threads: usize, begin: fn()) -> Runtime {
    let is_full = ground::Size::of_environment().is_full;
    let mut builder = Builder::new_multi_thread();
    if is_full {
        builder.on_thread_start(begin);
    }
    builder.worker_threads(threads).enable_all().build().expect("threads")
}

/// From now on this thread leaves the processors to the others that want them. Attackers have machines of their own, and here
/// they share that of their victims: what they do to it by their own work is not the server's to answer for.
fn give_way() {
    let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, policy).expect("anybody may");
}

/// From now on this thread has a processor as soon as it has something to do, where the system allows it: honest callers have
/// machines of their own too, and must not wait for the server's or the attackers' work to see what they were answered.
fn come_first() {
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    let _ = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, policy);
}

async fn the_attacks(honest: Handle) {
    let _machine = whole_machine().await;
    let folder = tempfile::tempdir().expect("a folder");
    let is_full = ground::Size::of_environment().is_full;
    let mut ground = Ground::start(honest, folder.path(), if is_full { &FULL[..] } else { &SMALL }).await;
    if is_full {
        // The server runs by now; it would have taken after this thread.
        give_way();
    }
    let create = v1::CreateAppRequest { app: "shop".to_owned(), ..Default::default() };
    let other = ground.server.admin().create_app(create).await.expect("made").secret;

    let silent = slow_beginnings(&mut ground).await;
    let stuck = if is_full && ground.size.only.is_none() { Some(floods::stuck(ground.address).await) } else { None };
    cheap_frames(&mut ground).await;
    many_streams(&mut ground).await;
    bad_messages(&mut ground).await;
    kept_back(&mut ground).await;
    known_callers(&mut ground, &other).await;
    intruders(&mut ground, &other).await;
    if let Some(silent) = silent {
        let (closed, total) = silent.closed_within(SILENT_MAX).await;
        assert_eq!(closed, total, "connections that do not begin are closed in time");
    }

    if let Some(mut stuck) = stuck {
        until(async || stuck.is_cut().await.then_some(())).await;
    }

    ground.reckon().await;
    for row in &ground.rows {
        check(row, &ground);
    }
    if let Some(page) = std::env::var_os("SEMEL_ATTACKS_TABLE") {
        assert!(ground.size.only.is_none(), "the table is of all attacks");
        table::write(&PathBuf::from(page), &ground, MEMORY_MAX);
    }
}

fn check(row: &Row, ground: &Ground) {
    assert!(row.under.calls > 0, "{}: nobody called meanwhile", row.attack);
    let more = row.memory_peak.saturating_sub(ground.memory_quiet);
    assert!(more <= MEMORY_MAX, "{}: {} MiB more than before", row.attack, more >> 20);
    // Without optimisation the server is ten times as slow, and so is everybody else.
    if ground.size.is_full && !cfg!(debug_assertions) {
        let bound = (row.quiet.p99 * P99_TIMES).max(P99_FLOOR);
        assert!(row.under.p99 <= bound, "{}: {:?} after {:?}", row.attack, row.under, row.quiet);
    }
}

/// How long an attack goes on that has no size of its own.
fn lasting(ground: &Ground) -> Duration {
    ground.size.of(Duration::from_millis(100), Duration::from_secs(4))
}

/// Makes an attack again and again for so long, so that there are enough honest calls of which p99 says something.
async fn again(lasting: Duration, attack: impl AsyncFn() -> (String, String)) -> (String, String) {
    let (end, mut times) = (Instant::now() + lasting, 0);
    loop {
        let (did, server) = attack().await;
        times += 1;
        if Instant::now() >= end {
            return (format!("{times} times {did}"), server);
        }
    }
}

async fn slow_beginnings(ground: &mut Ground) -> Option<slow::Silent> {
    let (connections, lasting) = (ground.size.of(150, 1500), lasting(ground));
    let mut silent = None;
    let attack = async |server| {
        let (opened, said) = slow::silent(server, connections).await;
        silent = Some(opened);
        some_moment(lasting).await;
        (said.0, "those above the cap of their address gave way to later ones, the others ended in time".to_owned())
    };
    ground.under("slow preface, slow head", attack).await;
    silent
}

async fn cheap_frames(ground: &mut Ground) {
    let (lasting, streams) = (lasting(ground), ground.size.of(5_000, 20_000));
    let secret = ground.secret.clone();
    let attack = async |server| resets::rapid(server, None, lasting, streams).await;
    ground.under("rapid reset", attack).await;
    let attack = async |server| resets::rapid(server, Some(&secret), lasting, streams).await;
    ground.under("rapid reset, known", attack).await;
    let attack = async |server| resets::rapid_one_by_one(server, lasting, streams).await;
    ground.under("rapid reset, one by one", attack).await;
    ground.under("MadeYouReset", async |server| resets::made(server, lasting, streams).await).await;
    let connections = ground.size.of(50, 1000);
    let attack = async |server| resets::crowd(server, lasting, connections, streams).await;
    ground.under("a thousand connections at once", attack).await;
    ground.under("CONTINUATION flood", async |server| floods::continuations(server, lasting).await).await;
    ground.under("PING flood", async |server| floods::pings(server, lasting).await).await;
    ground.under("PING flood, deaf", async |server| floods::deaf_pings(server, lasting).await).await;
    ground.under("SETTINGS flood", async |server| floods::settings(server, lasting).await).await;
    ground.under("SETTINGS flood, deaf", async |server| floods::deaf_settings(server, lasting).await).await;
    ground.under("empty DATA", async |server| floods::empty_data(server, lasting).await).await;
}

async fn many_streams(ground: &mut Ground) {
    let (at_once, over_time) = (ground.size.of(5_500, 10_000), ground.size.of(2_000, 100_000));
    let (secret, lasting) = (ground.secret.clone(), lasting(ground));
    let attack = async |server| again(lasting, async || streams::at_once(server, &secret, at_once).await).await;
    ground.under("more streams than may be", attack).await;
    let attack = async |server| again(lasting, async || streams::at_once_by_strangers(server, at_once).await).await;
    ground.under("the same by strangers", attack).await;
    ground.under("100,000 streams", async |server| streams::over_time(server, over_time, 4).await).await;
}

async fn bad_messages(ground: &mut Ground) {
    let (lasting, secret) = (lasting(ground), ground.secret.clone());
    ground.under("malformed frames", async |server| messages::frames(server, lasting).await).await;
    let attack = async |server| messages::messages(server, &secret, lasting).await;
    ground.under("huge and malformed messages", attack).await;
    ground.under("huge and malformed metadata", async |server| messages::metadata(server, lasting).await).await;
}

async fn kept_back(ground: &mut Ground) {
    let (secret, lasting) = (ground.secret.clone(), lasting(ground));
    let (streams, bytes) = (ground.size.of(100, 1000), 448 << 10);
    let half =
        async |server, secret| again(lasting, async || slow::half_messages(server, secret, streams, bytes).await).await;
    let attack = async |server| half(server, Some(&secret)).await;
    ground.under("messages that do not end, known", attack).await;
    let attack = async |server| half(server, None).await;
    ground.under("messages that do not end, strangers", attack).await;

    // A run of an app of its own, so that the honest callers' runs are theirs alone.
    let admin = ground.server.blunt("large");
    let create = v1::CreateAppRequest { app: "large".to_owned(), ..Default::default() };
    let large = ground.server.admin().create_app(create).await.expect("made").secret;
    super::harness::job(&admin, "large", super::harness::spec("nobody")).await;
    let data = vec![b'x'; 1 << 20].into();
    let payload = Some(v1::Payload { data, content_type: String::new() });
    let run_id = admin.run_job(v1::RunJobRequest { payload, ..run_job("large") }).await.expect("made").run_id;
    let request = v1::GetRunRequest { run_id, ..Default::default() };
    let (answers, watches) = (ground.size.of(100, 1000), ground.size.of(200, 2000));
    let attack = async |server| slow::reading(server, &large, &request, answers).await;
    ground.under("slow reading of answers", attack).await;
    let attack = async |server| slow::watching(server, &secret, watches).await;
    ground.under("slow reading of watches", attack).await;
}

async fn known_callers(ground: &mut Ground, secret: &str) {
    let lasting = lasting(ground);
    let (connections, streams) = ground.size.of((2, 4_000), (17, 4_000));
    let attack = async |server| known::open_calls(server, secret, connections, streams).await;
    ground.under("more calls than may be open", attack).await;
    let (connections, streams) = ground.size.of((1, 1_000), (2, 3_500));
    let attack = async |server| known::large_heads(server, secret, connections, streams).await;
    ground.under("large heads, known", attack).await;
    let messages = ground.size.of(2, 20);
    let attack = async |server| again(lasting, async || known::many_items(server, secret, messages).await).await;
    ground.under("very many items", attack).await;
    let (streams, bytes) = ground.size.of(((2, 4), 64 << 10), ((32, 8), 512 << 10));
    let attack = async |server| again(lasting, async || known::unread(server, secret, streams, bytes).await).await;
    ground.under("submitters that do not read", attack).await;
}

async fn intruders(ground: &mut Ground, other: &str) {
    let (lasting, secret) = (lasting(ground), ground.secret.clone());
    let attack = async |server| credentials::replayed(server, &secret, lasting).await;
    ground.under("replayed tokens", attack).await;
    let attack = async |server| credentials::across(server, (&secret, other), lasting).await;
    ground.under("cross-app tokens", attack).await;
    ground.under("forged forwarded identity", async |server| credentials::forged(server, lasting).await).await;
    let attack = async |server| credentials::guesses(server, &secret, lasting).await;
    ground.under("token brute force", attack).await;
}
