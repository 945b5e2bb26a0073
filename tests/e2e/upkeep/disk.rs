//! A disk that is full and one that does not sync any more: the server ends with the reason, nobody is told OK for what is
//! not durable, and after mending all that was acknowledged is there.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::process::{Child, Command};

use super::{Load, prepare, reckon};
use crate::e2e::binary::{ServerProcess, until};

/// The write-ahead log, and some room for the tables.
const SMALL_DISK_MIB: u32 = 64 + 24;
const BALLAST_BYTES: usize = 8 << 20;
/// What each call writes.
const CALL_BYTES: usize = 64 << 10;

/// A small file system of its own, in a mount namespace that lives as long as this.
struct SmallDisk {
    keeper: Child,
    pid: u32,
}

impl SmallDisk {
    /// None where the system does not allow it.
    async fn mount(at: &Path) -> Option<Self> {
        let script = format!(
            "mount -t tmpfs -o size={SMALL_DISK_MIB}m none '{0}' && echo 1 > '{0}/mounted' && exec sleep 1000",
            at.display()
        );
        let mut unshare = Command::new("unshare");
        unshare.args(["--user", "--map-root-user", "--mount", "/bin/sh", "-c", &script]);
        unshare.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let mut keeper = unshare.spawn().ok()?;
        let pid = keeper.id()?;
        let mark = Self::seen(pid, &at.join("mounted"));
        let mounted = until(async || {
            let ended = keeper.try_wait().expect("the system knows").is_some();
            if ended { Some(false) } else { mark.exists().then_some(true) }
        });
        let mounted = mounted.await;
        mounted.then_some(Self { keeper, pid })
    }

    /// What goes before a command that is to see it.
    fn enter(&self) -> Vec<String> {
        let pid = self.pid.to_string();
        ["nsenter", "--target", &pid, "--user", "--mount", "--preserve-credentials", "--"].map(str::to_owned).to_vec()
    }

    /// Where a path in there is seen from outside.
    fn seen(pid: u32, path: &Path) -> PathBuf {
        PathBuf::from(format!("/proc/{pid}/root{}", path.display()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fills_up_loses_nothing_and_serves_again_once_there_is_space() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = ServerProcess::start_nothing(folder.path());
    std::fs::create_dir(server.data()).expect("a folder");
    let Some(disk) = SmallDisk::mount(&server.data()).await else {
        println!("no mount namespaces here: the size of files is bounded instead");
        return bounded_files(server).await;
    };
    println!("a tmpfs of {SMALL_DISK_MIB} MiB in a mount namespace of its own");
    let seen = SmallDisk::seen(disk.pid, &server.data());
    std::fs::write(seen.join("ballast"), vec![0; BALLAST_BYTES]).expect("there is room for it");
    server.inside = disk.enter();
    server.data_seen = Some(seen.clone());
    server.start_again().await;
    prepare(&server).await;
    let load = Load::begin(&server, CALL_BYTES);
    let code = server.ended().await;
    let told = load.end().await;
    assert_failed(&server, code, "the disk is full");
    assert!(told.iter().filter(|told| told.run_id.is_some()).count() > 50, "some fit");

    std::fs::remove_file(seen.join("ballast")).expect("space is made");
    server.start_again().await;
    reckon(&server, &told, CALL_BYTES).await;
    drop(server);
    let mut disk = disk;
    disk.keeper.kill().await.expect("it runs");
}

async fn bounded_files(mut server: ServerProcess) {
    // In units of 512 bytes. The signal for it is ignored, so that writing fails as on a full disk.
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", u64::from(SMALL_DISK_MIB) << 11);
    let before = ["/bin/sh", "-c", &script, "sh"].map(str::to_owned).to_vec();
    server.inside = before;
    server.start_again().await;
    prepare(&server).await;
    let load = Load::begin(&server, CALL_BYTES);
    let code = server.ended().await;
    let told = load.end().await;
    assert_failed(&server, code, "File too large");
    server.inside.clear();
    server.start_again().await;
    reckon(&server, &told, CALL_BYTES).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_does_not_sync_stops_the_server_before_anybody_is_told_ok() {
    let folder = tempfile::tempdir().expect("a folder");
    let shim = folder.path().join("sync_shim.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/upkeep/sync_shim.c");
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&shim).arg(source).arg("-ldl").status().await;
    assert!(built.expect("a C compiler").success());
    let trigger = folder.path().join("sync-fails");
    let text = |path: &Path| path.to_str().expect("text").to_owned();
    // A server that has failed does not wait for balancers to notice.
    let delay = ("SEMEL_DRAIN_DELAY", "10m".to_owned());
    let environment = [("LD_PRELOAD", text(&shim)), ("SEMEL_TEST_SYNC_FAILS", text(&trigger)), delay];
    let environment = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
    let mut server = ServerProcess::start(folder.path(), &environment).await;
    prepare(&server).await;
    let mut load = Load::begin(&server, 0);
    load.acknowledged(100).await;
    std::fs::write(&trigger, "").expect("a file");
    let code = server.ended().await;
    let told = load.end().await;
    assert_failed(&server, code, "Input/output error");

    // It does not start on a disk that does not sync.
    server.spawn();
    assert_eq!(server.ended().await, Some(1), "{}", server.said());
    std::fs::remove_file(&trigger).expect("it is mended");
    server.start_again().await;
    reckon(&server, &told, 0).await;
}

/// It ended by itself, and said why and what to do.
#[track_caller]
fn assert_failed(server: &ServerProcess, code: Option<i32>, why: &str) {
    let said = server.said();
    assert_eq!(code, Some(1), "{said}");
    let last = said.rsplit("semel: ").next().unwrap_or_default();
    assert!(last.contains("the engine has stopped") && last.contains(why), "{said}");
    assert!(last.contains("start it again"), "{said}");
    assert!(!said.contains("hang on"), "its callers were told, and went: {said}");
}
