//! Compiles `proto/` with protox (no protoc is needed): messages and services by tonic and prost, the descriptor set
//! for reflection, and the fingerprints, which are made from the descriptors so that no field can be forgotten.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;
use prost_types::FileDescriptorSet;

#[path = "proto/fingerprint_codegen.rs"]
mod fingerprint_codegen;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut files: Vec<PathBuf> =
        fs::read_dir("proto/semel/v1")?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "proto"));
    files.sort();

    let set = protox::compile(&files, ["proto"])?;
    tonic_prost_build::configure()
        .btree_map(".")
        .bytes(".")
        .skip_debug([
            ".semel.v1.IssueTokenRequest",
            ".semel.v1.IssueTokenResponse",
            ".semel.v1.CreateAppResponse",
            ".semel.v1.RotateAppSecretResponse",
            ".semel.v1.Reauthenticate",
        ])
        .compile_fds(set.clone())?;
    fs::write(out.join("fingerprints.rs"), fingerprint_codegen::generate(&set))?;
    fs::write(out.join("descriptors.bin"), without_sources(set).encode_to_vec())?;
    Ok(())
}

/// Reflection needs names and types; the comments would only make it larger.
fn without_sources(mut set: FileDescriptorSet) -> FileDescriptorSet {
    for file in &mut set.file {
        file.source_code_info = None;
    }
    set
}
