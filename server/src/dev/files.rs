//! Finding files to work on, and summing one up. Bounded in every direction, so that it can be started in any folder; it
//! follows no links and changes nothing.

use std::{
    fs, io,
    io::Read as _,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

/// How many files are taken.
const FILES_MAX: usize = 1_000;
/// How much they may hold together.
const BYTES_MAX: u64 = 256 << 20;
/// How many entries of folders are looked at, so that a huge tree of small things ends too.
const ENTRIES_MAX: usize = 50_000;
/// What is read of a file at a time.
const READ_BYTES: usize = 64 << 10;

/// Folders that hold nothing that a person wrote.
const SKIPPED: &[&str] = &["target", "node_modules", "__pycache__"];

/// What was found below a folder.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// In the order of their names, with their sizes.
    pub(super) files: Vec<(PathBuf, u64)>,
    /// Whether there were more than are taken.
    pub(super) cut: bool,
}

impl Found {
    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|(_, bytes)| bytes).sum()
    }
}

/// The files below a folder. What cannot be read is left out, and so is what is hidden.
pub(super) fn find(folder: &Path, except: &Path) -> io::Result<Found> {
    let mut found = Found::default();
    let (mut entries, mut bytes) = (0, 0);
    let mut folders = vec![folder.to_owned()];
    // The folder itself must be there; what is below it may go while it is looked at.
    fs::read_dir(folder)?;
    while let Some(folder) = folders.pop() {
        let Ok(listing) = fs::read_dir(&folder) else { continue };
        let mut listing: Vec<fs::DirEntry> = listing.filter_map(Result::ok).take(ENTRIES_MAX).collect();
        entries += listing.len();
        listing.sort_by_key(fs::DirEntry::file_name);
        let mut below = Vec::new();
        for entry in listing {
            let (name, path) = (entry.file_name(), entry.path());
            let name = name.to_string_lossy();
            let Ok(kind) = entry.file_type() else { continue };
            if name.starts_with('.') || path == except {
                continue;
            }
            if kind.is_dir() && !SKIPPED.contains(&&*name) {
                below.push(path);
            } else if kind.is_file()
                && let Ok(metadata) = entry.metadata()
            {
                if found.files.len() >= FILES_MAX || bytes + metadata.len() > BYTES_MAX {
                    found.cut = true;
                    continue;
                }
                bytes += metadata.len();
                found.files.push((path, metadata.len()));
            }
        }
        folders.extend(below.into_iter().rev());
        if entries >= ENTRIES_MAX {
            found.cut |= !folders.is_empty();
            break;
        }
    }
    found.files.sort();
    Ok(found)
}

/// How many bytes a file holds, and their SHA-256. A file that grows meanwhile is read to the bound at most.
pub(super) fn sum(path: &Path) -> io::Result<(u64, String)> {
    let mut file = fs::File::open(path)?.take(BYTES_MAX);
    let (mut hasher, mut bytes) = (Sha256::new(), 0);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok((bytes, hex(&hasher.finalize())));
        }
        hasher.update(&buffer[..count]);
        bytes += count as u64;
    }
}

/// The SHA-256 of a text.
pub(super) fn sum_text(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_in_order_and_what_is_hidden_or_made_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        for name in ["b/c", "target", ".git", "data"] {
            fs::create_dir_all(place(name)).unwrap();
        }
        for name in ["z", "b/c/d", "b/a", "target/x", ".git/x", ".hidden", "data/x"] {
            fs::write(place(name), name).unwrap();
        }
        let found = find(folder.path(), &place("data")).unwrap();
        let names: Vec<PathBuf> = found.files.iter().map(|(path, _)| path.clone()).collect();
        assert_eq!(names, [place("b/a"), place("b/c/d"), place("z")]);
        assert_eq!((found.bytes(), found.cut), (3 + 5 + 1, false));
        assert!(find(&place("nowhere"), folder.path()).is_err());
    }

    #[test]
    fn no_more_than_a_thousand_files_are_taken() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..=FILES_MAX {
            fs::write(folder.path().join(number.to_string()), "").unwrap();
        }
        let found = find(folder.path(), Path::new("")).unwrap();
        assert_eq!((found.files.len(), found.cut), (FILES_MAX, true));
    }

    #[test]
    fn a_sum_is_what_everybody_else_computes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        fs::write(&path, "abc").unwrap();
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sum(&path).unwrap(), (3, expected.to_owned()));
        assert_eq!(sum_text("abc"), expected);
    }
}
