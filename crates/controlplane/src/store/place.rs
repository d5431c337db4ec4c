//! Files and folders of the store: private, and on the disk before anyone relies on them. Knows nothing of contents.

use crate::private_dir;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// Where what cannot be used is put aside.
const QUARANTINE: &str = "quarantine";
/// So many of those are kept.
const QUARANTINE_KEPT: usize = 4;
/// Folders in folders that are measured.
const DEPTH: usize = 4;
/// Unfinished files end so.
const UNFINISHED: &str = "unfinished";

/// Returns when the names in it survive a loss of power.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The same with all folders in it.
pub(crate) fn sync_folders(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sync_folders(&path)?;
        }
    }
    sync_folder(folder)
}

/// A new file that only its owner reads.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// Writes a file that is there whole or not at all.
pub(crate) fn write_whole(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let unfinished = path.with_extension(UNFINISHED);
    let written = (|| {
        let mut file = BufWriter::new(create(&unfinished)?);
        fill(&mut file)?;
        file.flush()?;
        file.get_ref().sync_all()?;
        fs::rename(&unfinished, path)
    })();
    if written.is_err() {
        // On a full disk the rest of a failed try would take the room; that it failed is said anyway.
        let _ = fs::remove_file(&unfinished);
    }
    written?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Puts a folder of the store aside, under a name that says when; the oldest of those go.
pub(crate) fn put_aside(store: &Path, what: &str, at: u64) -> io::Result<PathBuf> {
    let folder = store.join(QUARANTINE);
    private_dir(&folder)?;
    let mut name = format!("{at:016}-{what}");
    while folder.join(&name).exists() {
        name.push('+');
    }
    let to = folder.join(name);
    fs::rename(store.join(what), &to)?;
    sync_folder(store)?;
    let mut kept = names(&folder)?;
    kept.truncate(kept.len().saturating_sub(QUARANTINE_KEPT));
    for old in kept {
        fs::remove_dir_all(folder.join(old))?;
    }
    Ok(to)
}

/// The names in a folder, in order; none if there is no such folder.
pub(crate) fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        found.extend(entry?.file_name().into_string().ok());
    }
    found.sort_unstable();
    Ok(found)
}

/// Bytes of all files in it. What vanishes meanwhile counts nothing.
pub(crate) fn bytes(folder: &Path) -> u64 {
    measure(folder, DEPTH)
}

fn measure(folder: &Path, depth: usize) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(found) if found.is_dir() && depth > 0 => measure(&entry.path(), depth - 1),
        Ok(found) if found.is_file() => found.len(),
        _ => 0,
    });
    sizes.sum()
}
