//! Where the programs under test are.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::StartError;

/// Names the folder with `keyway`, `keyway-controlplane` and `keyway-dataplane`.
pub const BIN_DIR: &str = "KEYWAY_BIN_DIR";

/// Set once, by [`use_folder`].
static FOLDER: OnceLock<PathBuf> = OnceLock::new();

/// From now on programs are taken from this folder, whatever the environment says. Only the first call counts.
pub fn use_folder(folder: PathBuf) {
    // Whoever calls again has the same folder in mind: this is for a program's main function.
    let _ = FOLDER.set(folder);
}

/// The program `name`: in the folder that `KEYWAY_BIN_DIR` names, else in the profile's folder that the running
/// test was built into (`target/debug`).
pub fn binary(name: &str) -> Result<PathBuf, StartError> {
    let folder = match FOLDER.get().cloned().or_else(|| std::env::var_os(BIN_DIR).map(PathBuf::from)) {
        Some(folder) => folder,
        None => beside_this_test().unwrap_or_else(|| root().join("target/debug")),
    };
    let path = folder.join(name);
    if path.is_file() { Ok(path) } else { Err(StartError::NoBinary(path)) }
}

/// The workspace's folder.
#[must_use]
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// The search path that children get: the one thing that they take from this process's environment.
#[must_use]
pub(crate) fn search_path() -> OsString {
    std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into())
}

/// `target/PROFILE` of `target/PROFILE/deps/NAME-HASH`.
fn beside_this_test() -> Option<PathBuf> {
    let test = std::env::current_exe().ok()?;
    let deps = test.parent()?;
    deps.ends_with("deps").then(|| deps.parent().map(Path::to_path_buf)).flatten()
}
