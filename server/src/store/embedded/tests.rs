//! What only the store on disk can do wrong: its lock, its format, damage, a full map, a killed process.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use semel_core::{
    id::Revision,
    state::{Blob, BlobKind},
};

use super::{
    Embedded, Options,
    tables::{Table, meta},
};
use crate::store::{Batch, Error, Store, suite::Session, suite::fixtures::*};

/// Tells a test process that it is the other process, and where the store is.
const OTHER_PROCESS: &str = "SEMEL_TEST_STORE_OF_OTHER_PROCESS";

fn options(path: &Path) -> Options {
    Options { map_size: 64 << 20, wal_bytes: 1 << 20, ..Options::new(path) }
}

fn open(path: &Path) -> Result<Embedded, Error> {
    Embedded::open(&options(path))
}

fn session(path: &Path) -> Session {
    Session::with(Box::new(open(path).expect("a good store")))
}

/// Runs this very test in another process, which finds the path in its environment.
fn other_process(test: &str, path: &Path) -> Child {
    let name = format!("{}::{test}", module_path!().split_once("::").expect("a module below the crate").1);
    Command::new(std::env::current_exe().expect("a test has a file"))
        .args([&name, "--exact", "--nocapture", "--test-threads=1"])
        .env(OTHER_PROCESS, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a process")
}

#[test]
fn a_second_opener_in_this_process_is_told_that_it_is_in_use() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path()).expect("a new store");
    let reader = store.reader();
    let refused = open(folder.path());
    assert!(matches!(&refused, Err(Error::InUse { path }) if path == folder.path()));
    drop(store);
    assert!(matches!(open(folder.path()), Err(Error::InUse { .. })), "a reader still looks at it");
    drop(reader);
    assert!(open(folder.path()).is_ok());
}

#[test]
fn another_process_is_told_that_it_is_in_use() {
    if let Some(path) = std::env::var_os(OTHER_PROCESS) {
        let refused = open(Path::new(&path)).err().map(|error| error.to_string());
        println!("\nanswer: {}", refused.unwrap_or_default());
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let _store = open(folder.path()).expect("a new store");
    let child = other_process("another_process_is_told_that_it_is_in_use", folder.path());
    let output = child.wait_with_output().expect("its end");
    let output = String::from_utf8_lossy(&output.stdout).into_owned();
    let answer = output.lines().find(|line| line.starts_with("answer: ")).unwrap_or(&output);
    assert!(answer.contains("is in use by another process: stop that one first"), "{answer}");
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    if let Some(path) = std::env::var_os(OTHER_PROCESS) {
        return commit_for_ever(Path::new(&path));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = other_process("what_was_acknowledged_survives_kill_9", folder.path());
    let output = BufReader::new(child.stdout.take().expect("piped"));
    let mut acknowledged = 0;
    for line in output.lines() {
        if let Some(revision) = line.expect("a line").strip_prefix("committed ") {
            acknowledged = revision.parse().expect("a number");
        }
        if acknowledged == 60 {
            child.kill().expect("it runs");
        }
    }
    child.wait().expect("its end");

    let session = session(folder.path());
    let last = session.loaded.revision.0;
    assert!(acknowledged >= 60 && last >= acknowledged, "{acknowledged} were acknowledged, {last} are there");
    let records = session.reader.records(Revision(0), 100_000).expect("a read");
    assert_eq!(records.len() as u64, last);
    assert_eq!(session.loaded.rows.runs.len() as u64, last, "effects and log are there together");
    assert_eq!(session.loaded.window_counts[&app_name("pay")], last);
}

fn commit_for_ever(path: &Path) {
    let mut session = session(path);
    println!();
    for revision in 1.. {
        let run = run(run_id(1, revision), &job_key("pay", "settle"));
        let key = request_key("pay", 1, revision);
        session.commit(&Batch {
            live: vec![&run],
            records: vec![record(revision)],
            ..batch_of_requests(revision, &[key])
        });
        println!("committed {revision}");
    }
}

#[test]
fn a_store_that_is_dropped_without_a_word_opens_again() {
    let folder = tempfile::tempdir().expect("a folder");
    for round in 1..=5 {
        let mut session = session(folder.path());
        assert_eq!((session.loaded.epoch.0, session.loaded.revision.0), (round, round - 1));
        session.commit(&Batch { records: vec![record(round)], ..batch(round) });
    }
}

#[test]
fn a_store_id_is_made_once_and_random() {
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let ids = folders.each_ref().map(|folder| session(folder.path()).loaded.store_id);
    assert_ne!(ids[0], ids[1]);
    assert_eq!(session(folders[0].path()).loaded.store_id, ids[0]);
}

#[test]
fn another_format_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let format = |bytes: Option<&[u8]>| {
        let store = open(folder.path()).expect("a good store");
        let mut txn = store.shard.env.write_txn().expect("a transaction");
        match bytes {
            Some(bytes) => {
                store.shard.databases[Table::Meta as usize].put(&mut txn, meta::FORMAT, bytes).expect("a write")
            }
            None => drop(store.shard.databases[Table::Meta as usize].delete(&mut txn, meta::FORMAT).expect("a write")),
        }
        txn.commit().expect("a commit");
    };
    format(Some(&3_u32.to_be_bytes()));
    for _ in 0..2 {
        let refused = open(folder.path()).err().expect("it is newer");
        assert!(matches!(refused, Error::Format { found: 3, known: 2, .. }), "{refused:?}");
        assert!(refused.to_string().ends_with("use a server that knows it, or another data directory"));
    }

    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path()).expect("a new store");
    let mut txn = store.shard.env.write_txn().expect("a transaction");
    store.shard.databases[Table::Meta as usize].delete(&mut txn, meta::FORMAT).expect("a write");
    txn.commit().expect("a commit");
    drop(store);
    assert!(matches!(open(folder.path()), Err(Error::Format { found: 0, .. })), "it is no new store, and not ours");
}

#[test]
fn a_file_of_another_kind_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("shard-0/data.mdb");
    std::fs::create_dir(folder.path().join("shard-0")).expect("a folder");
    let text = "not a database\n".repeat(1000);
    std::fs::write(&file, &text).expect("a file");
    let refused = open(folder.path()).err().expect("it is no store");
    assert!(matches!(&refused, Error::Foreign { path } if *path == file), "{refused:?}");
    assert_eq!(std::fs::read_to_string(&file).expect("a file"), text);
}

#[test]
fn a_damaged_row_is_reported_by_whoever_meets_it_and_nobody_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let key = job_key("pay", "settle");
    let (good, bad) = (run(run_id(1, 1), &key), run(run_id(2, 2), &key));
    let mut store = open(folder.path()).expect("a new store");
    let epoch = store.load().expect("a load").epoch;
    store.commit(epoch, &Batch { live: vec![&good, &bad], ..batch(1) }).expect("a commit");
    store.shard.memtable.press().expect("a flush");
    let damage = |value: Option<&[u8]>| {
        let mut txn = store.shard.env.write_txn().expect("a transaction");
        match value {
            Some(value) => {
                store.shard.databases[Table::Runs as usize].put(&mut txn, &bad.id.0, value).expect("a write")
            }
            None => drop(store.shard.databases[Table::Runs as usize].delete(&mut txn, &bad.id.0).expect("a write")),
        }
        txn.commit().expect("a commit");
    };
    let reader = store.reader();
    damage(Some(b"\x83garbage"));
    assert!(matches!(reader.run(bad.id), Err(Error::Damaged(_))));
    assert!(matches!(reader.runs(&runs_of("pay")), Err(Error::Damaged(_))));
    assert_eq!(reader.run(good.id).expect("a read"), Some(good.clone()));
    damage(None);
    let of_job = crate::store::RunQuery { job: Some(key.job.clone()), ..runs_of("pay") };
    assert!(matches!(reader.runs(&of_job), Err(Error::Damaged(_))), "a row that should be there");
    drop(reader);
    drop(store);

    let mut store = open(folder.path()).expect("it opens");
    assert!(matches!(store.load(), Err(Error::Damaged(_))), "better no state than half of one");
}

#[test]
fn a_full_map_says_so_loses_nothing_that_was_acknowledged_and_can_be_raised() {
    let folder = tempfile::tempdir().expect("a folder");
    let small = Options { map_size: 1 << 20, wal_bytes: 1 << 20, ..Options::new(folder.path()) };
    let mut session = Session::with(Box::new(Embedded::open(&small).expect("a new store")));
    let mut refused = None;
    let mut last = 0;
    for revision in 1..100 {
        let run = run(run_id(1, revision), &job_key("pay", "settle"));
        let blob = Blob { run_id: run.id, kind: BlobKind::Payload, payload: payload(&"x".repeat(64 << 10)) };
        let key = request_key("pay", 1, revision);
        let batch = Batch {
            records: vec![record(revision)],
            live: vec![&run],
            blobs: vec![&blob],
            ..batch_of_requests(revision, &[key])
        };
        if let Err(error) = session.try_commit(&batch) {
            refused = Some(error);
            break;
        }
        last = revision;
    }
    const FULL: &str = "the store failed to write, because its map is full: raise map_size and start again";
    assert_eq!(refused.expect("100 times 64 KiB do not fit into 1 MiB").to_string(), FULL);
    assert!(last > 2, "some fit");
    let again = session.try_commit(&batch(last + 1)).expect_err("it does not go on after that");
    assert_eq!(again.to_string(), FULL);

    let reader = session.reader.clone();
    assert_eq!(reader.run(run_id(1, last + 1)).expect("a read"), None);
    assert_eq!(reader.request(&request_key("pay", 1, last + 1)).expect("a read"), None);
    assert_eq!(reader.records(Revision(last), 9).expect("a read"), [record(last)]);
    assert!(reader.blob(run_id(1, last), BlobKind::Payload).expect("a read").is_some());
    drop(reader);
    drop(session);

    // How much of the log LMDB had taken over when its map was full hangs on how far its thread had come: what is left may
    // find room in pages that were freed meanwhile.
    if let Err(refused) = Embedded::open(&small).map(drop) {
        assert_eq!(refused.to_string(), FULL);
    }
    let mut session = super::tests::session(folder.path());
    assert_eq!((session.loaded.revision.0, session.loaded.rows.runs.len() as u64), (last, last));
    let blob = Blob { run_id: run_id(9, 9), kind: BlobKind::Result, payload: payload(&"x".repeat(1 << 20)) };
    session.commit(&Batch { blobs: vec![&blob], ..batch(last + 1) });
    assert_eq!(session.reader.blob(blob.run_id, blob.kind).expect("a read"), Some(blob.payload));
}

#[test]
fn what_readers_look_at_does_not_change_under_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut session = session(folder.path());
    let store = open(folder.path());
    assert!(matches!(store, Err(Error::InUse { .. })));
    let job = job_key("pay", "settle");
    // Rows in LMDB, in a closed layer and in the open one, some of them changed or deleted by a newer one.
    let mut runs: Vec<_> = (1..=9).map(|number| run(run_id(1, number), &job)).collect();
    session.commit(&Batch { live: runs[..6].iter().collect(), ..batch(1) });
    for _ in 0..3 {
        let page = session.reader.runs(&runs_of("pay")).expect("a read");
        assert_eq!(page.items.len(), 6);
    }
    runs[2].priority = 77;
    session.commit(&Batch { live: runs[2..].iter().collect(), ..batch(2) });
    let page = session.reader.runs(&runs_of("pay")).expect("a read");
    let listed: Vec<_> = page.items.iter().rev().map(|run| (run.id, run.priority)).collect();
    let expected: Vec<_> = runs.iter().map(|run| (run.id, run.priority)).collect();
    assert_eq!(listed, expected, "each once, in order, as it was written last");
}

#[test]
fn requests_that_come_out_of_order_expire_in_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut session = session(folder.path());
    // Enough rows for a tree of several pages, from both ends towards the middle.
    let keys: Vec<_> = (0..3000_i64)
        .map(|number| request_key("pay", if number % 2 == 0 { number } else { 6000 - number }, number.cast_unsigned()))
        .collect();
    session.commit(&batch_of_requests(1, &keys));
    let mut left = 3000;
    while left > 0 {
        let expired = session.commit(&Batch { expire: Some((at(10_000), 700)), ..batch(2) }).expired;
        assert_eq!(expired[&app_name("pay")], left.min(700));
        left -= left.min(700);
        let page = session.reader.requests(&crate::store::RequestQuery { limit: 5000, ..requests_of("pay") });
        assert_eq!(page.expect("a read").items.len() as u64, left);
    }
}

#[test]
fn what_the_disk_does_is_measured() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut session = session(folder.path());
    let disk = |session: &Session| session.reader.disk().expect("a read").expect("there is one");
    let before = disk(&session);
    assert_eq!((before.log_bytes, before.map_bytes), (1 << 20, 64 << 20));
    assert!(before.used_bytes > 0 && before.used_bytes <= before.file_bytes, "{before:?}");
    let blob = Blob { run_id: run_id(1, 1), kind: BlobKind::Payload, payload: payload(&"x".repeat(100_000)) };
    session.commit(&Batch { blobs: vec![&blob], ..batch(1) });
    let after = disk(&session);
    assert_eq!(after.log_writes.count, before.log_writes.count + 1);
    assert!(after.log_written_bytes >= before.log_written_bytes + 100_000, "{after:?}");
    // Whatever was flushed since is in the tables, and all else is held.
    assert!(after.log_held_commits > 0 || after.flushes.count > before.flushes.count, "{after:?}");
    let path = folder.path().to_owned();
    drop(session);
    let again = open(&path).expect("a good store").reader();
    let flushed = again.disk().expect("a read").expect("there is one");
    assert_eq!((flushed.log_held_commits, flushed.log_held_bytes), (0, 0));
    assert!(flushed.used_bytes >= before.used_bytes + 100_000, "{flushed:?}");
}
