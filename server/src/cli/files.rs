//! Reading what a command line names: files and standard input; and writing secrets so that only their owner reads them.

use std::{fs, io::Read as _, io::Write as _, path::Path};

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

/// Refuses if a file for a secret could not be written afterwards: an answer that holds the secret must not be lost.
pub(crate) fn check_absent(path: &Path) -> Result<(), Failure> {
    if path.exists() {
        return Err(Failure::usage(format!("{} is there already; name a new file, or remove it", path.display())));
    }
    Ok(())
}

/// Writes a secret into a new file that only its owner may read.
pub(crate) fn write_secret(path: &Path, secret: &str) -> Result<(), Failure> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(path).and_then(|mut file| writeln!(file, "{secret}").and_then(|()| file.sync_all()));
    written.map_err(|error| Failure::file("write", path, &error))
}
