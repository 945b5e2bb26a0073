//! The list of what is looked at: each by its name, its help, and where it stands in what was seen.

use std::sync::Arc;

use prometheus_client::registry::{Registry, Unit};

use super::{
    live::{EngineSeen, IssuerSeen, Live, LoadSeen, Seen},
    shown::{Sample, Shown, number},
};
use crate::{durations::Distribution, procfs::Process, store::DiskStatus};

/// Of the server, in a registry whose prefix is the server's.
pub(super) fn register(registry: &mut Registry, live: &Arc<Live>) {
    connections(registry, live);
    load(registry, live);
    engine(registry, live);
    store(registry, live);
    disk(registry, live);
    issuers(registry, live);
    let shown = live.clone();
    let anonymous = Shown::counter(move || one(shown.of(|seen| seen.anonymous_requests.map(number))));
    registry.register("anonymous_requests", "Requests that were served without credentials", anonymous);
    let help = "Streams of watchers";
    gauge(registry, live, "watchers", help, |live| one(live.of(|seen| Some(number(seen.watch?.watchers)))));
    let help = "Revisions by which the slowest watcher is behind the log";
    gauge(registry, live, "watch_lag_revisions", help, |live| one(live.of(|seen| Some(number(seen.watch?.behind)))));
}

/// Of the process, by the names that Prometheus has for all programs.
pub(super) fn register_process(registry: &mut Registry, live: &Arc<Live>) {
    let mut add = |name: &str, help: &str, unit: Option<Unit>, part: fn(&Process) -> Option<f64>| {
        let shown = live.clone();
        let shown = Shown::gauge(move || one(shown.process(part)));
        match unit {
            Some(unit) => registry.register_with_unit(name, help, unit, shown),
            None => registry.register(name, help, shown),
        }
    };
    let seconds = || Some(Unit::Seconds);
    add("process_resident_memory", "Memory that is resident", Some(Unit::Bytes), |process| {
        process.resident_bytes.map(number)
    });
    add("process_start_time", "When the process started, since 1970", seconds(), |process| {
        Some(std::time::Duration::from_millis(process.start_time?.0.unsigned_abs()).as_secs_f64())
    });
    add("process_open_fds", "Files and sockets that are open", None, |process| process.open_files.map(number));
    add("process_max_fds", "Files and sockets that may be open", None, |process| process.open_files_max.map(number));
    add("process_threads", "Threads", None, |process| process.threads.map(number));
    let shown = live.clone();
    let cpu = Shown::counter(move || one(shown.process(|process| Some(process.cpu?.as_secs_f64()))));
    registry.register_with_unit("process_cpu", "Time of processors that was used", Unit::Seconds, cpu);
}

fn connections(registry: &mut Registry, live: &Arc<Live>) {
    gauge(registry, live, "connections_open", "Connections of callers", |live| {
        one(live.of(|seen| Some(number(seen.connections?.open))))
    });
    let shown = live.clone();
    let refused = Shown::counter(move || {
        by(
            "limit",
            shown.of(|seen| {
                let connections = seen.connections?;
                Some(vec![("total", connections.refused_total), ("address", connections.refused_address)])
            }),
        )
    });
    registry.register(
        "connections_refused",
        "Connections that were closed at once because there were too many",
        refused,
    );
    let shown = live.clone();
    let evicted = Shown::counter(move || one(shown.of(|seen| Some(number(seen.connections?.evicted)))));
    let help = "Connections without a recognised caller that gave way to others";
    registry.register("connections_evicted", help, evicted);
}

fn load(registry: &mut Registry, live: &Arc<Live>) {
    let mut add = |name: &str, help: &str, part: fn(&LoadSeen) -> u64| {
        let shown = live.clone();
        let shown = Shown::gauge(move || one(shown.of(|seen| seen.load.as_ref().map(|load| number(part(load))))));
        registry.register(name, help, shown);
    };
    add("engine_queue_requests", "Requests of callers that wait for the engine", |load| load.requests);
    add("engine_queue_room_requests", "So many may wait at the present pace", |load| load.room);
    add("engine_queue_bytes", "Bytes of requests that wait or are being committed", |load| load.bytes);
    add("engine_queue_looks", "Looks at the state that wait for the engine", |load| load.looks);
    let help = "Places of 4 KiB that are taken by what workers have said and the engine has not heard";
    add("engine_queue_worker_places", help, |load| load.worker_places);
    let shown = live.clone();
    let refused = Shown::counter(move || {
        by(
            "class",
            shown.of(|seen| {
                let load = seen.load?;
                Some(vec![("request", load.refused_requests), ("look", load.refused_looks)])
            }),
        )
    });
    registry.register("engine_overloaded", "What was refused for want of room", refused);
}

fn engine(registry: &mut Registry, live: &Arc<Live>) {
    fn of(live: &Live, part: impl FnOnce(&EngineSeen) -> f64) -> Vec<Sample> {
        one(live.of(|seen| seen.engine.as_ref().map(part)))
    }
    gauge(registry, live, "runs", "Runs that have not ended", |live| {
        by("state", live.of(|seen| Some(seen.engine.as_ref()?.runs.clone())))
    });
    let help = "How long the run has waited for a worker that waits longest";
    gauge(registry, live, "runs_oldest_queued_age_seconds", help, |live| {
        of(live, |engine| engine.oldest_queued.as_secs_f64())
    });
    gauge(registry, live, "workers", "Workers that are connected", |live| {
        by("state", live.of(|seen| Some(seen.engine.as_ref()?.workers.clone())))
    });
    let help = "Attempts that the workers take at a time";
    gauge(registry, live, "worker_slots", help, |live| of(live, |engine| number(engine.slots)));
    let help = "Attempts that the workers would take just now";
    gauge(registry, live, "worker_slots_free", help, |live| of(live, |engine| number(engine.slots_free)));
    let help = "Requests that are remembered";
    gauge(registry, live, "window_requests", help, |live| of(live, |engine| number(engine.window_requests)));
}

fn store(registry: &mut Registry, live: &Arc<Live>) {
    let help = "How long ago the oldest request that is remembered was minted";
    gauge(registry, live, "window_oldest_age_seconds", help, |live| {
        one(live.of(|seen| Some(seen.store.as_ref()?.window_oldest.unwrap_or_default().as_secs_f64())))
    });
    let help = "The position of the oldest record that is kept";
    gauge(registry, live, "log_oldest_revision", help, |live| {
        one(live.of(|seen| Some(number(seen.store.as_ref()?.oldest_revision))))
    });
}

fn disk(registry: &mut Registry, live: &Arc<Live>) {
    let mut add = |name: &str, help: &str, part: fn(&DiskStatus) -> u64| {
        let shown = live.clone();
        let shown = Shown::gauge(move || one(shown.of(|seen| seen.disk.as_ref().map(|disk| number(part(disk))))));
        registry.register(name, help, shown);
    };
    add("store_log_held_bytes", "Bytes of the write-ahead log that are not in the tables yet", |disk| {
        disk.log_held_bytes
    });
    add("store_log_held_commits", "Commits that are not in the tables yet", |disk| disk.log_held_commits);
    add("store_log_max_bytes", "How large the write-ahead log is", |disk| disk.log_bytes);
    add("store_used_bytes", "Bytes of pages with rows", |disk| disk.used_bytes);
    add("store_file_bytes", "Bytes of all pages, those included that are free to be used again", |disk| {
        disk.file_bytes
    });
    add("store_max_bytes", "How large the store may become", |disk| disk.map_bytes);
    let shown = live.clone();
    let written = Shown::counter(move || one(shown.of(|seen| Some(number(seen.disk.as_ref()?.log_written_bytes)))));
    registry.register("store_log_written_bytes", "Bytes that were written to the write-ahead log", written);
    let shown = live.clone();
    let writes = Shown::histogram(move || many(shown.of(|seen| Some(seen.disk.as_ref()?.log_writes.clone()))));
    let help = "How long writes of the write-ahead log took, each with the flush that makes it durable";
    registry.register_with_unit("store_log_write_duration", help, Unit::Seconds, writes);
    let shown = live.clone();
    let flushes = Shown::histogram(move || many(shown.of(|seen| Some(seen.disk.as_ref()?.flushes.clone()))));
    let help = "How long it took to take commits over from the write-ahead log into the tables";
    registry.register_with_unit("store_flush_duration", help, Unit::Seconds, flushes);
}

fn issuers(registry: &mut Registry, live: &Arc<Live>) {
    fn of(live: &Live, part: fn(&IssuerSeen) -> Option<f64>) -> Vec<Sample> {
        let samples = |seen: &Seen| {
            let values = seen.issuers.iter().filter_map(|issuer| Some((issuer.name.clone(), part(issuer)?)));
            Some(values.map(|(name, value)| Sample::labelled("issuer", name, value)).collect())
        };
        live.of(samples).unwrap_or_default()
    }
    let help = "How old the keys of outside issuers are";
    gauge(registry, live, "issuer_keys_age_seconds", help, |live| of(live, |issuer| Some(issuer.age?.as_secs_f64())));
    let mut add = |name: &str, help: &str, part: fn(&IssuerSeen) -> Option<f64>| {
        let shown = live.clone();
        registry.register(name, help, Shown::counter(move || of(&shown, part)));
    };
    add("issuer_keys_fetched", "Fetches of keys of outside issuers that brought them", |issuer| {
        Some(number(issuer.fetched))
    });
    add("issuer_keys_failed", "Fetches of keys of outside issuers that failed", |issuer| Some(number(issuer.failed)));
}

fn gauge(registry: &mut Registry, live: &Arc<Live>, name: &str, help: &str, ask: fn(&Live) -> Vec<Sample>) {
    let live = live.clone();
    registry.register(name, help, Shown::gauge(move || ask(&live)));
}

fn one(value: Option<f64>) -> Vec<Sample> {
    value.map(Sample::new).into_iter().collect()
}

fn many(distribution: Option<Distribution>) -> Vec<Sample> {
    distribution.map(Sample::of).into_iter().collect()
}

fn by(label: &'static str, values: Option<Vec<(&'static str, u64)>>) -> Vec<Sample> {
    let values = values.into_iter().flatten();
    values.map(|(name, count)| Sample::labelled(label, name, number(count))).collect()
}
