//! The data directory, 0700, and the files in it, 0600, written so that a reader finds the old or the new one whole.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::failure::Failure;

/// Bytes of a token file or context at most.
const SMALL_FILE_LIMIT: u64 = 64 * 1024;
/// Bits that let others in.
const OTHERS: u32 = 0o077;

/// `$KEYWAY_HOME`, by default `~/.keyway`.
#[derive(Debug, Clone)]
pub(crate) struct Home(PathBuf);

// === impl Home ===

impl Home {
    /// The directory that was asked for, or the default one. Not made yet.
    pub(crate) fn new(asked: Option<PathBuf>) -> Result<Self, Failure> {
        let default = || {
            std::env::home_dir().filter(|home| !home.as_os_str().is_empty()).map(|home| home.join(".keyway"))
        };
        asked.filter(|asked| !asked.as_os_str().is_empty()).or_else(default).map(Self).ok_or_else(|| {
            Failure::Other(
                "there is no home directory; name a data directory with --home or KEYWAY_HOME".into(),
            )
        })
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.0
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Makes the directory with mode 0700, or takes the group's and others' rights off one that is there.
    pub(crate) fn make(&self) -> Result<(), Failure> {
        if self.0.exists() && !self.0.is_dir() {
            let shown = self.0.display();
            return Err(Failure::Other(format!(
                "{shown} is not a directory; name another with --home or KEYWAY_HOME"
            )));
        }
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.0);
        made.map_err(|error| Failure::write(&self.0, error))?;
        let mode = fs::metadata(&self.0).map_err(|error| Failure::read(&self.0, error))?.mode();
        if mode & OTHERS != 0 {
            let private = fs::Permissions::from_mode(mode & 0o7700);
            fs::set_permissions(&self.0, private).map_err(|error| Failure::write(&self.0, error))?;
        }
        Ok(())
    }

    /// The trimmed text of a file; `None` if it is not there.
    pub(crate) fn read(&self, name: &str) -> Result<Option<Zeroizing<String>>, Failure> {
        let path = self.path(name);
        match read_small(&path) {
            Ok(text) => Ok(Some(Zeroizing::new(text.trim().to_owned()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::read(path, error)),
        }
    }

    /// Writes a file of mode 0600.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf, Failure> {
        let path = self.path(name);
        write_private(&path, text)?;
        Ok(path)
    }
}

/// Reads a file of at most 64 KiB.
pub(crate) fn read_small(path: &Path) -> io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    fs::File::open(path)?.take(SMALL_FILE_LIMIT + 1).read_to_string(&mut text)?;
    if text.len() as u64 > SMALL_FILE_LIMIT {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 64 KiB"));
    }
    Ok(text)
}

/// Puts a file of mode 0600 in place at once: written beside, then renamed.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error| Failure::write(path, error);
    let name = path.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidFilename.into()))?;
    let beside = path.with_file_name(format!(".{}.{}", name.display(), std::process::id()));
    let write = || {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write().map_err(|error| {
        // What was begun holds a secret; if it cannot be removed either, the first error says why.
        let _ = fs::remove_file(&beside);
        failed(error)
    })
}
