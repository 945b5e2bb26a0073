//! The jobs of `examples/`, built into the program so that `semel dev` has them wherever it is started.

use std::path::Path;

use semel_proto::v1::JobSpec;

use crate::cli::job_file::{self, Form};

/// The job that is called several times under one id.
pub(super) const MAIN: &str = "checksums";
/// The job that shows a real command.
pub(super) const COMMAND: &str = "compress";
/// Where the job `fetch` sends its request, and the only place where dev's worker would.
pub(super) const FETCH_URL: &str = "http://127.0.0.1:7401/";

/// What dev's worker may start: what the examples do.
pub(super) const COMMANDS: &[&str] = &["/bin/gzip -kfv", "/usr/bin/wc", "/bin/sleep", "/bin/false"];

const FILES: &[(&str, &str)] = &[
    (MAIN, include_str!("../../../examples/checksums.toml")),
    (COMMAND, include_str!("../../../examples/compress.toml")),
    ("count", include_str!("../../../examples/count.toml")),
    ("fetch", include_str!("../../../examples/fetch.toml")),
    ("nap", include_str!("../../../examples/nap.toml")),
    ("stumble", include_str!("../../../examples/stumble.toml")),
];

/// All of them, by name, which is what the file is called.
pub(super) fn all() -> impl Iterator<Item = Result<(&'static str, JobSpec), String>> {
    FILES.iter().map(|(name, text)| Ok((*name, job_file::parse(text, Form::Toml, Path::new(""))?)))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs};

    use super::*;

    #[test]
    fn every_example_is_a_job_and_every_file_is_built_in() {
        let names: BTreeSet<String> = all().map(|job| job.unwrap().0.to_owned()).collect();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "toml"));
        let stems: BTreeSet<String> =
            files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
        assert_eq!(names, stems);
    }

    #[test]
    fn what_the_examples_start_is_what_devs_worker_may() {
        let allowed: Vec<Vec<&str>> = COMMANDS.iter().map(|command| command.split(' ').collect()).collect();
        for (name, spec) in all().map(Result::unwrap) {
            let payload: serde_json::Value = serde_json::from_slice(&spec.payload.unwrap().data).unwrap();
            match spec.processor.as_str() {
                "exec" => {
                    let argv: Vec<&str> =
                        payload["argv"].as_array().unwrap().iter().filter_map(|a| a.as_str()).collect();
                    assert!(allowed.iter().any(|prefix| argv.starts_with(prefix)), "{name}: {argv:?}");
                }
                "http" => assert!(payload["url"].as_str().unwrap().starts_with(FETCH_URL), "{name}"),
                processor => assert_eq!(processor, "checksum", "{name}"),
            }
        }
    }
}
