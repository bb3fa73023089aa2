//! Verification against the hashes in the hub's repository.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::FetchError;

/// File as a commit's listing states it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stated {
    /// Path in the repository.
    pub(super) path: String,
    /// Length in bytes.
    pub(super) bytes: u64,
    /// Hash of the git object: the file itself or, for a large file, the LFS pointer in its place.
    /// A pointer holds only the SHA-256 and the length of its file, so its hash covers the file
    /// too.
    pub(super) git_object: String,
    /// True if the git object is an LFS pointer.
    pub(super) lfs: bool,
}

/// File that was found to be as stated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Verified {
    pub(super) stated: Stated,
    /// SHA-256 of the content.
    pub(super) sha256: String,
    /// Modification time in nanoseconds since 1970, 0 if unknown. With the length it tells if the
    /// file must be hashed again.
    pub(super) modified: u64,
}

/// Compares the file at `path` with the statement; `earlier` saves hashing an unchanged file.
pub(super) fn verify(
    path: &Path,
    stated: &Stated,
    earlier: Option<&Verified>,
) -> Result<Verified, FetchError> {
    let content =
        |wanted: String, got: String| FetchError::Content { path: path.into(), wanted, got };
    let mut file = File::open(path).map_err(FetchError::io("opening", path))?;
    let metadata = file.metadata().map_err(FetchError::io("opening", path))?;
    if metadata.len() != stated.bytes {
        let wanted = format!("the {} bytes that the hub states", stated.bytes);
        return Err(content(wanted, metadata.len().to_string()));
    }
    let modified = metadata.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
    let modified = modified.map_or(0, |t| t.as_nanos() as u64);
    if let Some(earlier) = earlier
        && earlier.stated == *stated
        && earlier.modified == modified
        && modified != 0
    {
        return Ok(earlier.clone());
    }
    let mut sha256 = Sha256::new();
    let mut blob = Sha1::new_with_prefix(format!("blob {}\0", stated.bytes));
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => {
                sha256.update(&buffer[..n]);
                if !stated.lfs {
                    blob.update(&buffer[..n]);
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(FetchError::io("reading", path)(error)),
        }
    }
    let sha256 = hex(&sha256.finalize());
    let object =
        if stated.lfs { pointer_object(&sha256, stated.bytes) } else { hex(&blob.finalize()) };
    if object != stated.git_object {
        let wanted = format!("the content that the hub states, git object {}", stated.git_object);
        return Err(content(wanted, format!("{object}, of sha256 {sha256}")));
    }
    Ok(Verified { stated: stated.clone(), sha256, modified })
}

/// Returns the git object hash of the LFS pointer to a file.
fn pointer_object(sha256: &str, bytes: u64) -> String {
    let pointer =
        format!("version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {bytes}\n");
    hex(&Sha1::digest(format!("blob {}\0{pointer}", pointer.len())))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_of_a_large_file_is_that_of_the_hub() {
        // flax_model.msgpack of lysandre/arxiv-nlp, the example in the documentation of
        // huggingface_hub's list_repo_tree.
        let sha256 = "d88b0d6a6ff9c3f8151f9d3228f57092aaea997f09af009eefd7373a77b5abb9";
        let object = "8095a62ccb4d806da7666fcda07467e2d150218e";
        assert_eq!(pointer_object(sha256, 497_764_107), object);
    }

    #[test]
    fn a_small_file_is_held_against_its_own_object() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a");
        std::fs::write(&path, "hello\n").expect("a file");
        // `echo hello | git hash-object --stdin`
        let git_object = "ce013625030ba8dba906f756967f9e9ca394464a".into();
        let stated = Stated { path: "a".into(), bytes: 6, git_object, lfs: false };
        let verified = verify(&path, &stated, None).expect("as stated");
        assert!(verified.sha256.starts_with("5891b5b522d5df086d0ff0b110fbd9d21bb4fc71"));
        std::fs::write(&path, "hullo\n").expect("a file");
        let message = verify(&path, &stated, None).expect_err("changed").to_string();
        assert!(message.contains("ce013625"), "{message}");
    }
}
