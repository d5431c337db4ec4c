//! Tokens of operators and replicas in files that only their owner reads. Made when missing, never overwritten.

use crate::resource::TokenText;
use keyway_config::Secret;
use std::{
    fs::{self, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

/// Bytes of a token file.
const FILE_LIMIT: u64 = 4096;
/// Characters of the shortest token that is taken.
const SHORTEST: usize = 24;

/// The token in that file; one is made, with mode 0600, if there is none.
///
/// # Errors
/// When it can be neither read nor made, or holds something too short to be a token.
pub fn token_file(path: &Path) -> io::Result<Secret> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => make(file),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => read(path),
        Err(error) => Err(error),
    }
}

/// Makes a directory that only its owner enters, with its parents.
///
/// # Errors
/// When it is not there and cannot be made.
pub fn private_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn make(mut file: fs::File) -> io::Result<Secret> {
    let token = TokenText::make().map_err(io::Error::other)?;
    file.write_all(token.expose().as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    Ok(Secret::new(token.expose().to_owned()))
}

fn read(path: &Path) -> io::Result<Secret> {
    let file = fs::File::open(path)?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "others can read this token: chmod 600 it");
    }
    let mut text = zeroize::Zeroizing::new(String::new());
    file.take(FILE_LIMIT).read_to_string(&mut text)?;
    let token = text.trim();
    if token.len() < SHORTEST || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        let what = format!("holds no token of {SHORTEST} or more visible characters");
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    Ok(Secret::new(token.to_owned()))
}

#[cfg(test)]
mod tests;
