//! A secret in a file: what an agent, Kubernetes or an operator puts there. It is read through links, as Kubernetes makes
//! them, and only if nobody else may read it.

use super::{BYTES_LIMIT, SourceError};
use crate::vault::private;
use rustix::fs::OFlags;
use std::{
    fs::{Metadata, OpenOptions},
    io::Read,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// What is in it.
pub(super) async fn read(path: &str) -> Result<Zeroizing<Vec<u8>>, SourceError> {
    read_by(path, read_here).await
}

/// What is in a file that others may read: certificates, and what others put there for us in their own way.
pub(super) async fn read_public(path: &str) -> Result<Zeroizing<Vec<u8>>, SourceError> {
    read_by(path, |path| read_open(&path, |_| Ok(()))).await
}

async fn read_by(
    path: &str,
    read: impl FnOnce(PathBuf) -> Result<Zeroizing<Vec<u8>>, SourceError> + Send + 'static,
) -> Result<Zeroizing<Vec<u8>>, SourceError> {
    let path = PathBuf::from(path);
    let why = |why: String| SourceError::File { path: path.clone(), why };
    let (opened, gone) = (path.clone(), why("the system's threads are gone".to_owned()));
    tokio::task::spawn_blocking(move || read(opened)).await.unwrap_or(Err(gone))
}

fn read_here(path: PathBuf) -> Result<Zeroizing<Vec<u8>>, SourceError> {
    let why = "can be read by others or is not this user's: chmod 600 and chown to the user that runs Keyway";
    read_open(&path, |found| private(&path, found.uid(), found.mode()).map_err(|_| why))
}

fn read_open(
    path: &Path,
    fits: impl FnOnce(&Metadata) -> Result<(), &'static str>,
) -> Result<Zeroizing<Vec<u8>>, SourceError> {
    let fault = |why: String| SourceError::File { path: path.to_owned(), why };
    let io = |error: std::io::Error| fault(error.to_string());
    // Without waiting: a pipe without a writer would hold the thread until one comes.
    let without_waiting = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(without_waiting).open(path).map_err(io)?;
    // Of the open file, so that it cannot be changed for another between the look and the reading.
    let found = file.metadata().map_err(io)?;
    if !found.is_file() {
        return Err(fault("is no file".to_owned()));
    }
    fits(&found).map_err(|why| fault(why.to_owned()))?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(BYTES_LIMIT).unwrap_or_default() + 1));
    file.take(BYTES_LIMIT + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > BYTES_LIMIT { Err(SourceError::TooLarge) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt};

    #[test]
    fn only_what_nobody_else_reads_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        fs::write(&path, "sk-1\n").unwrap();
        for (mode, good) in [(0o600, true), (0o400, true), (0o644, false), (0o660, false), (0o604, false)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            // What root owns a group may read, as Kubernetes hands it over.
            let root = rustix::process::geteuid().is_root() && mode & 0o007 == 0;
            assert_eq!(read_here(path.clone()).is_ok(), good || root, "{mode:o}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(read_here(link).unwrap().as_slice(), b"sk-1\n");
        fs::write(&path, vec![b'a'; 70_000]).unwrap();
        assert!(matches!(read_here(path), Err(SourceError::TooLarge)));
        assert!(read_here(dir.path().to_owned()).is_err());
    }

    #[test]
    fn a_pipe_that_nobody_writes_to_holds_no_thread() {
        use rustix::fs::{CWD, Mode, mkfifoat};
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
        let (done, read) = std::sync::mpsc::channel();
        std::thread::spawn(move || done.send(read_here(path).unwrap_err().to_string()));
        let words = read.recv_timeout(std::time::Duration::from_secs(20)).unwrap();
        assert!(words.ends_with("is no file"), "{words}");
    }
}
