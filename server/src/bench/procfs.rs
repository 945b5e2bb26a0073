//! What the system tells of a process and of the machine, on Linux; elsewhere it is absent, and never guessed.

use std::{fs, path::Path, time::Duration};

use serde_json::{Value, json};

use crate::procfs::{cpu, field};

/// What `stat` of a block device counts in, whatever the device does.
const SECTOR_BYTES: u64 = 512;

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    /// In user and kernel mode, to one clock tick (10 ms).
    pub(super) cpu: Option<Duration>,
    /// Bytes that the disk under its folder was made to write, by it or by anybody.
    pub(super) written: Option<u64>,
}

impl Usage {
    /// What process `id` has used, with its data in this folder.
    ///
    /// Of what is written the disk itself is asked. What `/proc/PID/io` says of a process counts whole folios as soon as a
    /// byte of them changes, and a file system with large ones (ext4 from Linux 6.16 on) makes megabytes of a page.
    pub(super) fn of(id: u32, folder: &Path) -> Self {
        Self { cpu: cpu(id), written: device_written(folder) }
    }

    /// What was used from `earlier` on.
    pub(super) fn since(self, earlier: Self) -> Self {
        let cpu = self.cpu.zip(earlier.cpu).map(|(now, then)| now.saturating_sub(then));
        let written = self.written.zip(earlier.written).map(|(now, then)| now.saturating_sub(then));
        Self { cpu, written }
    }
}

/// What the block device below a folder has written since the system started; absent where there is no such device.
fn device_written(folder: &Path) -> Option<u64> {
    let device = rustix::fs::stat(folder).ok()?.st_dev;
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    sectors(&fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat")).ok()?)?.checked_mul(SECTOR_BYTES)
}

/// The seventh figure of a device's `stat`.
fn sectors(stat: &str) -> Option<u64> {
    stat.split_whitespace().nth(6)?.parse().ok()
}

/// The memory of a process, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    /// Its own: heap and stacks.
    pub(super) anonymous: u64,
    /// Pages of files, which the system may take back at any time: the store's map is such.
    pub(super) file: u64,
}

impl Memory {
    /// The memory of process `id`.
    pub(super) fn of(id: u32) -> Option<Self> {
        let path = format!("/proc/{id}/status");
        let kib = |name| field(&path, name).map(|kib| kib * 1024);
        Some(Self { anonymous: kib("RssAnon:")?, file: kib("RssFile:")? })
    }

    /// As the report has it.
    pub(super) fn json(self) -> Value {
        json!({ "own_bytes": self.anonymous, "file_bytes": self.file })
    }
}

/// What kind of machine this is, and on what kind of file system the folder lies. No name and no path of it.
pub(super) fn machine(folder: Option<&Path>) -> Value {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = rustix::system::uname();
    let cpu = fs::read_to_string("/proc/cpuinfo").ok();
    let cpu = cpu.as_deref().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("model name"))?;
        Some(line.trim_start_matches([' ', '\t', ':']).to_owned())
    });
    json!({
        "os": kernel.sysname().to_string_lossy(),
        "kernel": kernel.release().to_string_lossy(),
        "arch": std::env::consts::ARCH,
        "cores": cores,
        "cpu": cpu,
        "memory_bytes": field("/proc/meminfo", "MemTotal:").map(|kib| kib * 1024),
        "file_system": folder.and_then(file_system),
    })
}

/// The kind of the file system that holds a folder: that of the longest mount point above it.
fn file_system(folder: &Path) -> Option<String> {
    let folder = folder.canonicalize().ok()?;
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let above = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (point, kind) = (fields.next()?, fields.next()?);
        folder.starts_with(point).then(|| (point.len(), kind.to_owned()))
    });
    above.max_by_key(|(length, _)| *length).map(|(_, kind)| kind)
}

/// The bytes that the files below a folder take on disk: a sparse file takes less than its length.
pub(super) fn used_bytes(folder: &Path) -> Option<u64> {
    let mut used = 0;
    for entry in fs::read_dir(folder).ok()? {
        let path = entry.ok()?.path();
        used += if path.is_dir() { used_bytes(&path)? } else { rustix::fs::stat(&path).ok()?.st_blocks as u64 * 512 };
    }
    Some(used)
}

/// The bytes that are free for us where a folder lies.
pub(super) fn free_bytes(folder: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(folder).ok()?;
    found.f_bavail.checked_mul(found.f_frsize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_used_something() {
        let id = std::process::id();
        assert!(Usage::of(id, Path::new(".")).cpu.is_some());
        assert!(Memory::of(id).is_some_and(|memory| memory.anonymous > 0 && memory.file > 0));
        assert!(free_bytes(Path::new(".")).is_some());
        assert!(machine(Some(Path::new(".")))["cores"].as_u64().is_some_and(|cores| cores > 0));
    }

    #[test]
    fn the_sectors_that_were_written_are_the_seventh_figure() {
        assert_eq!(sectors("   11 0 2200 31   40 5 6464 71 0 88 99\n"), Some(6464));
        assert_eq!(sectors("1 2"), None);
    }

    #[test]
    fn what_cannot_be_told_is_absent() {
        let usage = Usage::default().since(Usage::default());
        assert!(usage.cpu.is_none() && usage.written.is_none());
    }
}
