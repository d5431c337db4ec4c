//! The ready file: what a script needs to use what was started.

use std::fs;
use std::io;
use std::path::Path;

use serde::Serialize;
use zeroize::Zeroizing;

use crate::command::secret::exposed;
use crate::failure::Failure;
use crate::home::write_private;

/// Fields and their meaning are fixed by docs/cli.md.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Facts {
    /// Where callers send requests, without `/v1`.
    pub(super) base_url: String,
    pub(super) ops_url: String,
    pub(super) admin_url: String,
    pub(super) fleet_addr: String,
    #[serde(serialize_with = "exposed")]
    pub(super) client_token: keyway_config::Secret,
    pub(super) admin_token_file: String,
    pub(super) pid: u32,
}

// === impl Facts ===

impl Facts {
    /// Puts the file in place at once.
    pub(super) fn write(&self, path: &Path) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(self).map(Zeroizing::new);
        let text = text.map_err(|_| Failure::Other("the ready file cannot be written as JSON".into()))?;
        write_private(path, &text)
    }
}

/// Takes away what an earlier start left, so that nobody reads old facts; what has no place is refused before the start.
pub(super) fn prepare(path: &Path) -> Result<(), Failure> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder
        .map_or(Ok(()), |folder| fs::metadata(folder).map(drop))
        .map_err(|error| Failure::write(path, error))?;
    clear(path)
}

/// Takes it away.
pub(super) fn clear(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Failure::write(path, error)),
        _ => Ok(()),
    }
}
