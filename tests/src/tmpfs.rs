//! A small disk of its own, mounted for one test.

use std::path::Path;
use std::process::Command;

use rustix::process::geteuid;

use crate::gateway::Outcome;

/// A mounted file system in memory; unmounted when dropped.
#[derive(Debug)]
pub struct Tmpfs {
    folder: tempfile::TempDir,
}

impl Tmpfs {
    /// One of so many MiB; `None` where this process may not mount: it is not root, or root may not here.
    pub fn mount(mib: u32) -> Outcome<Option<Self>> {
        let folder = tempfile::tempdir()?;
        if !geteuid().is_root() {
            return Ok(None);
        }
        let size = format!("size={mib}m,mode=0700");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "keyway-test"]).arg(folder.path());
        if !mount.status()?.success() {
            return Ok(None);
        }
        Ok(Some(Self { folder }))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Lazily: a program that still ends there does not keep it.
        let _unmounted = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
