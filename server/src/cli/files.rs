//! Reading what a command line names: files and standard input; and writing secrets so that only their owner reads them.

use std::{
    fs,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
};

use super::failure::Failure;

/// How much of a file or of standard input is read as a payload: the largest message that a client sends.
const PAYLOAD_BYTES_MAX: u64 = 8 << 20;
/// No secret is longer.
const SECRET_BYTES_MAX: usize = 4096;

/// Reads a file, or standard input if it is named `-`.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let bound = PAYLOAD_BYTES_MAX + 1;
    let outcome = if path == Path::new("-") {
        std::io::stdin().lock().take(bound).read_to_end(&mut bytes)
    } else {
        fs::File::open(path).and_then(|file| file.take(bound).read_to_end(&mut bytes))
    };
    outcome.map_err(|error| Failure::file("read", path, &error))?;
    if bytes.len() as u64 > PAYLOAD_BYTES_MAX {
        return Err(Failure::usage(format!("{} is larger than 8 MiB, more than any message may hold", path.display())));
    }
    Ok(bytes)
}

/// Reads a file that must be text.
pub(crate) fn read_text(path: &Path) -> Result<String, Failure> {
    let bytes = read(path)?;
    String::from_utf8(bytes).map_err(|_| Failure::usage(format!("{} is not UTF-8 text", path.display())))
}

/// Reads a secret from a file.
pub(crate) fn secret(path: &Path) -> Result<String, Failure> {
    let text = read_text(path)?;
    let secret = text.trim();
    if secret.is_empty() || secret.len() > SECRET_BYTES_MAX || secret.contains(char::is_whitespace) {
        return Err(Failure::usage(format!("{} holds no secret: it must be one line", path.display())));
    }
    Ok(secret.to_owned())
}

/// A new file that only its owner may read, opened before the call whose answer goes into it: a secret must not be lost
/// for want of a place. If nothing comes to be written, it goes away again.
#[derive(Debug)]
pub(crate) struct SecretFile {
    path: PathBuf,
    file: fs::File,
    written: bool,
}

impl SecretFile {
    /// Makes the file; refuses if it is there already.
    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(|error| Failure::file("make", path, &error))?;
        Ok(Self { path: path.to_owned(), file, written: false })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the secret.
    pub(crate) fn write(&mut self, secret: &str) -> Result<(), Failure> {
        let outcome = writeln!(self.file, "{secret}").and_then(|()| self.file.sync_all());
        outcome.map_err(|error| Failure::file("write", &self.path, &error))?;
        self.written = true;
        Ok(())
    }
}

impl Drop for SecretFile {
    fn drop(&mut self) {
        if !self.written {
            // An empty file that stays is a nuisance and no fault.
            _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_gets_a_file_of_its_own_or_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret");
        drop(SecretFile::create(&path).expect("made"));
        assert!(!path.exists(), "nothing was written");
        SecretFile::create(&path).expect("made").write("sk_1").expect("written");
        assert_eq!(secret(&path).expect("reads"), "sk_1");
        assert!(SecretFile::create(&path).is_err(), "a secret is not written over");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).expect("is there").permissions().mode() & 0o777, 0o600);
        }
    }
}
