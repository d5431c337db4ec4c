//! The root key: 32 random bytes that open the keyring and nothing else. It is found, never derived; it is made only
//! by whoever knows that nothing is there yet, and never overwritten.

use super::{
    Sealed, VaultError,
    files::{self, private},
    key::{KEY, Key},
};
use std::{
    fmt::{self, Write},
    fs::File,
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// Its name among systemd's credentials (`LoadCredential=keyway-root-key:…`).
pub const CREDENTIAL: &str = "keyway-root-key";
/// Its name in the data directory.
const FILE: &str = "root.key";
/// Bytes of its file.
const FILE_LIMIT: u64 = 256;
/// Hex digits of a root key's name.
const NAME: usize = 8;

/// Where a root key may be. The first of them that is there is taken.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The file that was asked for; then no other is looked at.
    pub file: Option<PathBuf>,
    /// systemd's directory of credentials, `$CREDENTIALS_DIRECTORY`.
    pub credentials: Option<PathBuf>,
    /// The data directory.
    pub home: PathBuf,
}

/// Opens the keyring. It can be named, in words for people, and nothing else:
/// ```
/// fn takes<T: std::fmt::Debug>() {}
/// takes::<keyway_controlplane::vault::RootKey>();
/// ```
/// ```compile_fail,E0277
/// fn takes<T: serde::Serialize>() {}
/// takes::<keyway_controlplane::vault::RootKey>();
/// ```
/// ```compile_fail,E0277
/// fn takes<T: Clone>() {}
/// takes::<keyway_controlplane::vault::RootKey>();
/// ```
pub struct RootKey {
    pub(super) key: Key,
    path: PathBuf,
}

// === impl Sources ===

impl Sources {
    /// Every place, in order.
    #[must_use]
    pub fn places(&self) -> Vec<PathBuf> {
        match &self.file {
            Some(file) => vec![file.clone()],
            None => {
                let credential = self.credentials.iter().map(|dir| dir.join(CREDENTIAL));
                credential.chain([self.home.join(FILE)]).collect()
            }
        }
    }

    /// Where one is made at the very first start.
    pub(super) fn to_make(&self) -> PathBuf {
        self.file.clone().unwrap_or_else(|| self.home.join(FILE))
    }
}

// === impl RootKey ===

impl RootKey {
    /// The first that is there.
    ///
    /// # Errors
    /// When the first that is there can be read by others, or not by us, or is no root key.
    pub fn find(sources: &Sources) -> Result<Option<Self>, VaultError> {
        for path in sources.places() {
            if let Some(found) = Self::read(&path)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Makes one, with mode 0600.
    ///
    /// # Errors
    /// When a file is there already, or it cannot be written.
    pub fn make(path: &Path) -> Result<Self, VaultError> {
        let key = Key::random()?;
        let mut line = Zeroizing::new(String::with_capacity(2 * KEY + 1));
        for byte in key.expose() {
            write!(line, "{byte:02x}").map_err(|_| VaultError::System)?;
        }
        line.push('\n');
        if let Some(parent) = path.parent() {
            files::make_dir(parent)?;
        }
        files::write(path, line.as_bytes(), files::Over::Nothing)?;
        Ok(Self { key, path: path.to_owned() })
    }

    /// Tells root keys apart without saying anything of them: 8 hex digits.
    #[must_use]
    pub fn name(&self) -> String {
        let hash = blake3::keyed_hash(self.key.expose(), b"keyway root key name").to_hex();
        hash.get(..NAME).unwrap_or_default().to_owned()
    }

    /// Where it was found.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The one in that file; `None` if there is no such file.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub fn at(path: &Path) -> Result<Option<Self>, VaultError> {
        Self::read(path)
    }

    fn read(path: &Path) -> Result<Option<Self>, VaultError> {
        let Some(file) = files::found(path, File::open(path))? else { return Ok(None) };
        let io = |source| VaultError::Io { path: path.to_owned(), source };
        // Of the open file, so that it cannot be changed for another between the look and the reading.
        let metadata = file.metadata().map_err(io)?;
        private(path, metadata.uid(), metadata.mode())?;
        let mut text = Zeroizing::new(Vec::with_capacity(usize::try_from(FILE_LIMIT).unwrap_or_default()));
        file.take(FILE_LIMIT).read_to_end(&mut text).map_err(io)?;
        let key = parse(&text).ok_or_else(|| Sealed::NotARootKey { path: path.to_owned() })?;
        Ok(Some(Self { key, path: path.to_owned() }))
    }
}

/// A small file that only its owner may read: whoever else can is an error.
///
/// # Errors
/// When it is not there, cannot be read, or others can read it.
pub fn private_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    let io = |source| VaultError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(io)?;
    let metadata = file.metadata().map_err(io)?;
    private(path, metadata.uid(), metadata.mode())?;
    let mut text = Zeroizing::new(Vec::with_capacity(usize::try_from(FILE_LIMIT).unwrap_or_default()));
    file.take(FILE_LIMIT).read_to_end(&mut text).map_err(io)?;
    Ok(text)
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RootKey({})", self.path.display())
    }
}

/// One line of 64 hex digits.
fn parse(text: &[u8]) -> Option<Key> {
    let digits = text.trim_ascii();
    if digits.len() != 2 * KEY {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = Zeroizing::new(Vec::with_capacity(KEY));
    for pair in digits.as_chunks::<2>().0 {
        bytes.push(digit(pair[0])? << 4 | digit(pair[1])?);
    }
    Key::from_slice(&bytes)
}
