//! Files that are not as they should be: the server says which and what to do, ends with a code, leaves them as they are,
//! and serves all of it again once they are mended.

use std::{fs, path::Path};

use super::{Load, Told, prepare, reckon};
use crate::e2e::binary::ServerProcess;

/// A server that has stopped, and what its callers were told.
async fn stopped(folder: &Path) -> (ServerProcess, Vec<Told>) {
    let mut server = ServerProcess::start(folder, &[]).await;
    prepare(&server).await;
    let mut load = Load::begin(&server, 0);
    load.acknowledged(200).await;
    let told = load.end().await;
    assert_eq!(server.terminate().await.code(), Some(0));
    (server, told)
}

/// Starts it on what is damaged.
async fn refused(server: &mut ServerProcess, words: &[&str]) {
    let before = server.said().len();
    server.spawn();
    let code = server.ended().await;
    let said = server.said().split_off(before);
    assert_eq!(code, Some(1), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_file_is_named_and_left_alone_and_all_is_there_once_it_is_mended() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut server, told) = stopped(folder.path()).await;
    let tables = server.data().join("shard-0/data.mdb");
    let log = server.data().join("shard-0/wal");
    let good = [&tables, &log].map(|path| fs::read(path).expect("a file"));

    let half = &good[0][..good[0].len() / 2];
    fs::write(&tables, half).expect("a file");
    refused(&mut server, &["data.mdb", "a part of it is missing", "semel restore"]).await;
    assert_eq!(fs::read(&tables).expect("a file"), half, "it is left alone");

    fs::write(&tables, "not a database\n".repeat(1000)).expect("a file");
    refused(&mut server, &["data.mdb", "no file of a store", "semel restore"]).await;

    // All pages behind the first two, which say where all others are.
    let mut garbage = good[0].clone();
    garbage[8192..].fill(0xa5);
    fs::write(&tables, &garbage).expect("a file");
    refused(&mut server, &["damaged", "semel restore"]).await;
    fs::write(&tables, &good[0]).expect("a file");

    fs::remove_file(&log).expect("a file");
    refused(&mut server, &["write-ahead log", "missing", "semel restore"]).await;
    fs::write(&log, &good[1]).expect("a file");

    server.start_again().await;
    reckon(&server, &told, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_server_does_not_disturb_the_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = ServerProcess::start(folder.path(), &[]).await;
    prepare(&server).await;
    let mut load = Load::begin(&server, 0);
    load.acknowledged(20).await;
    let data = server.data();
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--data-dir", data.to_str().expect("text")];
    let second = server.command(&arguments).output().await.expect("it runs");
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("in use by another process: stop that one first"), "{said}");
    load.acknowledged(20).await;
    let told = load.end().await;
    reckon(&server, &told, 0).await;
}
