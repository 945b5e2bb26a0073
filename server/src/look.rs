//! How one looks at a server that runs, for those who watch over it: between two batches of the engine, into the store, at the
//! watchers and at the keys of outside issuers. What does not answer in time is left out; nobody is held up for it.

use std::{sync::Arc, time::Duration};

use semel_core::{
    id::{Millis, Timestamp},
    run::Phase,
};
use tokio::time;

use crate::{
    auth::jwt::IssuerState,
    engine::{Handle, Load, View},
    metrics::{ConnectionsSeen, EngineSeen, IssuerSeen, LoadSeen, Look, Seen, StoreSeen},
    store::{self, DiskStatus, Reader},
    transport::{Cap, Connections, Gate},
};

/// How long the engine has to answer: many commits.
const ENGINE_WITHIN: Duration = Duration::from_millis(500);
/// How long the store and the watchers have.
const BESIDE_WITHIN: Duration = Duration::from_secs(2);
/// Jobs of which it is asked how long their next run has waited.
const JOBS_MAX: usize = 10_000;
/// The states in which a run is not finished.
const UNFINISHED: [(Phase, &str); 5] = [
    (Phase::Scheduled, "scheduled"),
    (Phase::Queued, "queued"),
    (Phase::Running, "running"),
    (Phase::Retrying, "retrying"),
    (Phase::Cancelling, "cancelling"),
];

/// Looks at the server behind this gate. It holds the engine no longer than a look takes, and the gate knows no engine before
/// the store is loaded and after the end.
pub(crate) fn at(gate: Arc<Gate>, cap: Arc<Cap>) -> Look {
    Box::new(move || {
        let connections = connections(cap.connections());
        Box::pin(look(gate.clone(), connections))
    })
}

async fn look(gate: Arc<Gate>, connections: ConnectionsSeen) -> Seen {
    let mut seen = Seen {
        connections: Some(connections),
        issuers: gate.issuers().state(gate.steady()).into_iter().map(issuer).collect(),
        anonymous_requests: Some(gate.anonymous_calls()),
        ..Seen::default()
    };
    let Some(handle) = gate.handle() else { return seen };
    seen.load = Some(load(handle.load()));
    if let Ok(Ok(engine)) = time::timeout(ENGINE_WITHIN, handle.read_first(engine)).await {
        seen.engine = Some(engine);
    }
    let looked = tokio::task::spawn_blocking(move || (gate.watched(), store(&handle)));
    if let Ok(Ok((watch, store))) = time::timeout(BESIDE_WITHIN, looked).await {
        seen.watch = watch;
        if let Ok((store, disk)) = store {
            (seen.store, seen.disk) = (Some(store), disk);
        }
    }
    seen
}

fn connections(connections: Connections) -> ConnectionsSeen {
    let Connections { open, refused_total, refused_address, evicted } = connections;
    ConnectionsSeen { open: open as u64, refused_total, refused_address, evicted }
}

fn load(load: Load) -> LoadSeen {
    LoadSeen {
        requests: load.waiting as u64,
        room: load.room as u64,
        bytes: load.waiting_bytes,
        looks: load.looks as u64,
        worker_places: load.worker_places as u64,
        refused_requests: load.refused_wishes,
        refused_looks: load.refused_looks,
    }
}

fn engine(view: &View<'_>) -> EngineSeen {
    let state = view.engine.state();
    let crew = view.crew();
    let oldest = state.ready().oldest(JOBS_MAX);
    EngineSeen {
        runs: UNFINISHED.map(|(phase, name)| (name, state.runs_in(phase))).to_vec(),
        oldest_queued: oldest.map(|since| between(since, view.now)).unwrap_or_default(),
        workers: vec![("connected", crew.connected), ("draining", crew.draining), ("lost", crew.lost)],
        slots: crew.slots,
        slots_free: crew.slots_free,
        window_requests: view.window_total(),
    }
}

fn store(handle: &Handle) -> Result<(StoreSeen, Option<DiskStatus>), store::Error> {
    let reader: &dyn Reader = &**handle.reader();
    let oldest = reader.oldest_request()?;
    let seen = StoreSeen {
        window_oldest: oldest.map(|id| between(id.minted_at(), handle.time())),
        oldest_revision: reader.oldest_revision()?.0,
    };
    Ok((seen, reader.disk()?))
}

fn issuer(state: IssuerState) -> IssuerSeen {
    let age = state.age.map(duration);
    IssuerSeen { name: state.issuer, fetched: state.fetched, failed: state.failed, age }
}

fn between(from: Timestamp, to: Timestamp) -> Duration {
    duration(Millis(to.0 - from.0))
}

fn duration(millis: Millis) -> Duration {
    Duration::from_millis(u64::try_from(millis.0).unwrap_or(0))
}
