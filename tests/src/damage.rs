//! What is done to files of a process that is not running.

use std::fs;
use std::io::Result;
use std::path::Path;

/// Flips one bit, so many bytes before the end.
///
/// # Errors
/// The system refused it.
pub fn flip(path: &Path, before_end: usize) -> Result<()> {
    let mut bytes = fs::read(path)?;
    let at = bytes.len().saturating_sub(before_end);
    bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= 0x10);
    fs::write(path, bytes)
}

/// Flips one bit in the middle.
///
/// # Errors
/// The system refused it.
pub fn flip_middle(path: &Path) -> Result<()> {
    let length = usize::try_from(fs::metadata(path)?.len()).unwrap_or(usize::MAX);
    flip(path, length.div_ceil(2))
}

/// Copies a folder's files; not its folders, in which usage lies that was counted by one process alone.
///
/// # Errors
/// The system refused it.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}
