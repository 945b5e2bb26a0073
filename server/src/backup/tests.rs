//! Backups of directories that nobody has open; what is different while a server runs is shown by the end-to-end tests.

use std::{fs, path::Path};

use semel_core::id::{Revision, Timestamp};

use super::{Error, FILES, MANIFEST_FILE, Manifest, make, restore};
use crate::{
    auth::Keyring,
    server::{ADMIN_SECRET_FILE, KEYS_FILE},
    store::{self, Batch, Embedded, EmbeddedOptions, Store},
};

const NOW: Timestamp = Timestamp(1_800_000_000_000);

struct Folders {
    root: tempfile::TempDir,
}

impl Folders {
    /// A data directory with a store that has come to revision 7, and a backup of it.
    fn with_backup() -> Self {
        let folders = Self { root: tempfile::tempdir().expect("a folder") };
        let data = folders.path("data");
        fs::create_dir(&data).expect("a folder");
        let mut store = open(&data).expect("a new store");
        let epoch = store.load().expect("a load").epoch;
        store.commit(epoch, &Batch { now: Timestamp(5), revision: Revision(7), ..Batch::default() }).expect("a commit");
        drop(store);
        Keyring::open(&data.join(KEYS_FILE)).expect("a key ring");
        fs::write(data.join(ADMIN_SECRET_FILE), "sk_x\n").expect("a file");
        make(&data, &folders.path("backup"), NOW, &mut |_| {}).expect("a backup");
        folders
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.root.path().join(name)
    }

    fn restore(&self, to: &str) -> Result<Manifest, Error> {
        restore(&self.path("backup"), &self.path(to), NOW, &mut |_| {})
    }

    /// Restores into a new directory, and shows that nothing was made there.
    #[track_caller]
    fn refused(&self) -> Error {
        let error = self.restore("refused").expect_err("it is not as it should be");
        assert!(!self.path("refused").exists(), "nothing is begun before all was looked at");
        error
    }
}

fn open(path: &Path) -> Result<Embedded, store::Error> {
    Embedded::open(&EmbeddedOptions { map_size: 64 << 20, wal_bytes: 1 << 20, ..EmbeddedOptions::new(path) })
}

#[test]
fn what_is_restored_is_what_was_there_and_goes_on_behind_what_was_lost() {
    let folders = Folders::with_backup();
    let manifest = folders.restore("new").expect("a good backup");
    assert_eq!((manifest.revision, manifest.begin_time()), (7, NOW));
    for file in [KEYS_FILE, ADMIN_SECRET_FILE] {
        let read = |folder: &str| fs::read(folders.path(folder).join(file)).expect("a file");
        assert_eq!(read("data"), read("new"), "{file}");
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &fs::metadata(folders.path("new").join(file)).expect("a file").permissions(),
        );
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let (mut old, mut new) = ["data", "new"].map(|name| open(&folders.path(name)).expect("it opens")).into();
    let (old, new) = (old.load().expect("a load"), new.load().expect("a load"));
    assert_eq!(old.store_id, new.store_id);
    assert_eq!((old.window_floor, new.window_floor, new.high_water), (Timestamp(0), NOW, NOW));
    assert!(new.epoch.0 > old.epoch.0 + 1000, "{:?}", new.epoch);
    assert_eq!((old.revision, new.revision), (Revision(7), Revision(2_000_000_000)));
    assert_eq!((old.attempt_floor, new.attempt_floor), (0, 100_000));
}

#[test]
fn a_backup_of_what_was_restored_goes_on_further() {
    let folders = Folders::with_backup();
    folders.restore("new").expect("a good backup");
    make(&folders.path("new"), &folders.path("second"), NOW, &mut |_| {}).expect("a backup");
    restore(&folders.path("second"), &folders.path("newer"), Timestamp(NOW.0 + 9), &mut |_| {}).expect("it is good");
    let loaded = open(&folders.path("newer")).expect("it opens").load().expect("a load");
    assert_eq!((loaded.revision, loaded.attempt_floor), (Revision(4_000_000_000), 200_000));
    assert_eq!(loaded.window_floor, Timestamp(NOW.0 + 9));
}

#[test]
fn a_restore_with_a_clock_that_is_behind_begins_where_the_backup_ends() {
    let folders = Folders::with_backup();
    restore(&folders.path("backup"), &folders.path("new"), Timestamp(1), &mut |_| {}).expect("it is good");
    let loaded = open(&folders.path("new")).expect("it opens").load().expect("a load");
    assert_eq!((loaded.window_floor, loaded.high_water), (Timestamp(5), Timestamp(5)));
}

#[test]
fn each_damaged_file_is_found() {
    let folders = Folders::with_backup();
    for (file, _) in FILES {
        let path = folders.path("backup").join(file);
        let good = fs::read(&path).expect("a file");
        let mut bad = good.clone();
        let middle = bad.len() / 2;
        bad[middle] ^= 1;
        fs::write(&path, &bad).expect("a file");
        let said = folders.refused().to_string();
        assert!(said.contains(file) && said.contains("checksum"), "{said}");
        fs::write(&path, &good[..middle]).expect("a file");
        let said = folders.refused().to_string();
        assert!(said.contains(file) && said.contains("bytes instead of"), "{said}");
        fs::remove_file(&path).expect("a file");
        let said = folders.refused().to_string();
        assert!(said.contains(file) && said.contains("is missing"), "{said}");
        fs::write(&path, &good).expect("a file");
    }
    folders.restore("new").expect("it is whole again");
}

#[test]
fn a_backup_without_its_manifest_is_none() {
    let folders = Folders::with_backup();
    fs::remove_file(folders.path("backup").join(MANIFEST_FILE)).expect("a file");
    assert!(matches!(folders.refused(), Error::Unfinished { .. }));
}

/// Changes the manifest, and gives what restoring says then.
fn refused_with(change: impl FnOnce(&mut serde_json::Value)) -> Error {
    let folders = Folders::with_backup();
    let path = folders.path("backup").join(MANIFEST_FILE);
    let mut manifest = serde_json::from_slice(&fs::read(&path).expect("a file")).expect("JSON");
    change(&mut manifest);
    fs::write(&path, manifest.to_string()).expect("a file");
    folders.refused()
}

#[test]
fn a_newer_form_and_a_newer_store_are_refused() {
    // A newer form may have other fields.
    let refused = refused_with(|manifest| *manifest = serde_json::json!({ "backup_format": 2 }));
    assert!(matches!(refused, Error::Newer { found: 2, known: 1 }), "{refused}");
    let refused = refused_with(|manifest| manifest["store_format"] = 99.into());
    assert!(matches!(refused, Error::Store(store::Error::Format { found: 99, .. })), "{refused}");
}

#[test]
fn a_manifest_that_leads_elsewhere_is_refused() {
    for path in ["../keys.json", "/etc/passwd", "shard-0/lock.mdb"] {
        let refused = refused_with(|manifest| manifest["files"][2]["path"] = path.into());
        assert!(matches!(refused, Error::Damaged { .. }), "{refused}");
    }
    let refused = refused_with(|manifest| manifest["files"] = serde_json::json!([]));
    assert!(matches!(refused, Error::Damaged { .. }), "{refused}");
}

#[test]
fn nothing_is_written_where_something_lies() {
    let folders = Folders::with_backup();
    let before = fs::read(folders.path("backup").join(MANIFEST_FILE)).expect("a file");
    let again = make(&folders.path("data"), &folders.path("backup"), NOW, &mut |_| {});
    assert!(matches!(again, Err(Error::NotEmpty { .. })), "{again:?}");
    assert!(matches!(folders.restore("data"), Err(Error::NotEmpty { .. })));
    assert_eq!(fs::read(folders.path("backup").join(MANIFEST_FILE)).expect("a file"), before);
}

#[test]
fn a_directory_without_a_store_has_no_backup() {
    let folders = Folders { root: tempfile::tempdir().expect("a folder") };
    fs::create_dir(folders.path("data")).expect("a folder");
    let made = make(&folders.path("data"), &folders.path("backup"), NOW, &mut |_| {});
    assert!(matches!(made, Err(Error::Store(store::Error::Absent { .. }))), "{made:?}");
    assert!(fs::read_dir(folders.path("data")).expect("a folder").next().is_none(), "nothing was made there");
}

#[test]
fn a_directory_that_is_half_restored_is_not_opened() {
    let folders = Folders::with_backup();
    folders.restore("new").expect("a good backup");
    store::begin_restore(&folders.path("new")).expect("a file");
    let refused = open(&folders.path("new")).err().expect("it is marked");
    assert!(refused.to_string().contains("run `semel restore` again"), "{refused}");
}
