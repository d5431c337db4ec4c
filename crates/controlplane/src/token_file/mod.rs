//! Tokens of operators and replicas in files that only their owner reads. Made when missing, never overwritten.

use crate::{resource::TokenText, vault::make_file};
use keyway_config::Secret;
use std::{
    fs,
    io::{self, Read},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
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
    match read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        found => return found,
    }
    match make(path) {
        // Another process was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => read(path),
        made => made,
    }
}

/// Makes a directory that only its owner enters, with its parents.
///
/// # Errors
/// When it is not there and cannot be made.
pub fn private_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// There whole or not at all: an empty one would stop every later start.
fn make(path: &Path) -> io::Result<Secret> {
    let token = TokenText::make().map_err(io::Error::other)?;
    let line = zeroize::Zeroizing::new(format!("{}\n", token.expose()));
    make_file(path, line.as_bytes())?;
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
