//! The processor `checksum`, of `semel dev` only: real work on real files that changes nothing, with progress, a log and
//! a result. It reads nothing outside of the folder that it was set up with.

use std::path::{Component, Path, PathBuf};

use semel_client::worker::{Context, Outcome, ProcessError, Processor};
use semel_proto::v1::{LogStream, Payload};
use serde::{Deserialize, Serialize};

use super::files::{self, Found};

/// The processor.
#[derive(Clone, Debug)]
pub(super) struct Checksum {
    /// What payloads name folders below.
    pub(super) root: PathBuf,
    /// Dev's own data, which changes while it is read.
    pub(super) except: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    /// Below the root.
    folder: PathBuf,
}

/// The result.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Sums {
    /// The folder, as the payload named it.
    pub(super) folder: PathBuf,
    /// How many files were summed up.
    pub(super) count: usize,
    /// How much they hold.
    pub(super) bytes: u64,
    /// The SHA-256 of all lines `<sha256>  <path>`, as `sha256sum` writes them.
    pub(super) sha256: String,
    /// Whether there were more files than one run takes.
    pub(super) cut: bool,
    /// Each of them.
    pub(super) files: Vec<Sum>,
}

/// One file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Sum {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

impl Checksum {
    fn folder(&self, payload: &Payload) -> Result<(PathBuf, PathBuf), ProcessError> {
        let input: Input = serde_json::from_slice(&payload.data).map_err(|error| {
            ProcessError::permanent(format!("cannot read the payload: {error}; send {{\"folder\": \"…\"}}"))
        })?;
        let below = input.folder.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if !below {
            let message = format!("{} leads out of the folder that dev was started in", input.folder.display());
            return Err(ProcessError::permanent(message));
        }
        // No `.` stays in the middle of what people read.
        Ok((self.root.join(&input.folder).components().collect(), input.folder))
    }
}

impl Processor for Checksum {
    async fn process(&self, cx: Context) -> Outcome {
        let (place, folder) = self.folder(cx.payload())?;
        let (found, place) = {
            let (root, except) = (self.root.clone(), self.except.clone());
            blocking(move || {
                // A link in the payload's path must not lead out either.
                let place = place.canonicalize()?;
                if !place.starts_with(root.canonicalize()?) {
                    return Err(std::io::Error::other("the folder leads out of the one that dev was started in"));
                }
                // It need not be there, and then it is not in the way.
                let except = except.canonicalize().unwrap_or_default();
                Ok((files::find(&place, &except)?, place))
            })
            .await?
        };
        let line = format!("{} files, {} bytes below {}\n", found.files.len(), found.bytes(), folder.display());
        cx.log(LogStream::Stdout, line).await;
        let sums = sum_up(&cx, &place, found).await?;
        let data = serde_json::to_vec(&Sums { folder, ..sums })?;
        Ok(Payload { data: data.into(), content_type: "application/json".to_owned() })
    }
}

async fn sum_up(cx: &Context, place: &Path, found: Found) -> Result<Sums, ProcessError> {
    let total = found.files.len();
    let mut sums = Sums { cut: found.cut, ..Sums::default() };
    let mut lines = String::new();
    for (number, (path, _)) in found.files.into_iter().enumerate() {
        if cx.is_cancelled() {
            return Err(ProcessError::failed("stopped, as it was asked to"));
        }
        let shown = path.strip_prefix(place).unwrap_or(&path).to_owned();
        cx.progress(number as f64 / total as f64, format!("{number} of {total} files: {}", shown.display()));
        match blocking(move || files::sum(&path)).await {
            Ok((bytes, sha256)) => {
                let line = format!("{sha256}  {}\n", shown.display());
                cx.log(LogStream::Stdout, &line).await;
                lines.push_str(&line);
                sums.bytes += bytes;
                sums.files.push(Sum { path: shown, bytes, sha256 });
            }
            // A file may go, or be nobody's business: the others are still summed up.
            Err(error) => cx.log(LogStream::Stderr, format!("{}: {error}\n", shown.display())).await,
        }
    }
    cx.progress(1.0, format!("{total} of {total} files"));
    sums.count = sums.files.len();
    sums.sha256 = files::sum_text(&lines);
    Ok(sums)
}

/// Does what reads the disk where it holds nobody up.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, std::io::Error> {
    tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(text: &str) -> Result<PathBuf, String> {
        let checksum = Checksum { root: PathBuf::from("/base"), except: PathBuf::new() };
        let payload = Payload { data: text.to_owned().into(), content_type: "application/json".to_owned() };
        checksum.folder(&payload).map(|(place, _)| place).map_err(|error| error.to_string())
    }

    #[test]
    fn a_payload_names_a_folder_below_the_root() {
        assert_eq!(folder(r#"{"folder":"."}"#), Ok(PathBuf::from("/base")));
        assert_eq!(folder(r#"{"folder":"a/./b"}"#), Ok(PathBuf::from("/base/a/b")));
        for outside in ["..", "a/../..", "/etc", "a/.."] {
            let error = folder(&format!(r#"{{"folder":"{outside}"}}"#)).unwrap_err();
            assert!(error.contains("leads out"), "{outside}: {error}");
        }
        assert!(folder("{}").unwrap_err().contains("cannot read the payload"));
    }
}
