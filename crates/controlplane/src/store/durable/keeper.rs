//! Keeps the index beside the journal and puts it right when sled fails. Its failures are notes, never errors: what it
//! holds is in the journal too.

use crate::{
    plane::unix_millis,
    store::{
        IndexCheck, Write,
        documents::Documents,
        index::{self, Applied, Index, IndexError, Verdict},
        place,
    },
};
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Without an index, one is tried again after so long.
const RETRY: Duration = Duration::from_secs(30);
/// So many that failed are left behind, each with a little memory; then there is none until the next start.
const ABANDONED: u32 = 8;

/// The index, as far as there is one.
#[derive(Debug)]
pub(super) struct Keeper {
    dir: PathBuf,
    index: Option<Index>,
    abandoned: u32,
    retry_at: Instant,
}

// === impl Keeper ===

impl Keeper {
    /// Opens it and gives what it holds. One that is not as it was written is put aside, and a new one begun.
    pub(super) fn open(
        dir: &Path,
        check: Option<&IndexCheck>,
        notes: &mut Vec<String>,
    ) -> (Self, Option<(Applied, Documents)>) {
        let folder = dir.join(index::FOLDER);
        let mut keeper = Self { dir: dir.to_owned(), index: None, abandoned: 0, retry_at: Instant::now() };
        let there = folder.exists();
        let verdict = check.filter(|_| there).map(|check| check.run(dir));
        if let Some(Verdict::Unknown(why)) = &verdict {
            tracing::warn!("index: {why}");
        }
        let loaded = match verdict {
            Some(Verdict::Bad(why)) => Err(why),
            _ => open_and_load(&folder).map_err(|error| error.to_string()),
        };
        match loaded {
            Ok((index, loaded)) => {
                keeper.index = Some(index);
                (keeper, loaded)
            }
            Err(why) => {
                keeper.begin_again(&why, notes);
                (keeper, None)
            }
        }
    }

    /// Applies one or more records' writes. `whole` gives all documents as they are after it, should they be needed.
    pub(super) fn apply(
        &mut self,
        writes: &[Write],
        applied: &Applied,
        whole: impl FnOnce() -> Documents,
    ) -> Vec<String> {
        let mut notes = Vec::new();
        match self.index.take() {
            Some(index) => match index.apply(writes, applied) {
                Ok(()) => self.index = Some(index),
                Err(error) => {
                    self.abandon(index, &error);
                    self.rebuild(&error.to_string(), applied, whole, &mut notes);
                }
            },
            None if self.abandoned < ABANDONED && Instant::now() >= self.retry_at => {
                self.rebuild("there was none", applied, whole, &mut notes);
            }
            None => {}
        }
        notes
    }

    /// Fills one that is new.
    pub(super) fn fill(&mut self, documents: &Documents, applied: &Applied, notes: &mut Vec<String>) {
        let Some(index) = self.index.take() else { return };
        match index.fill(documents, applied) {
            Ok(()) => self.index = Some(index),
            Err(error) => {
                self.abandon(index, &error);
                self.give_up(&error.to_string(), notes);
            }
        }
    }

    fn rebuild(
        &mut self,
        why: &str,
        applied: &Applied,
        whole: impl FnOnce() -> Documents,
        notes: &mut Vec<String>,
    ) {
        self.begin_again(why, notes);
        if self.index.is_some() {
            self.fill(&whole(), applied, notes);
        }
    }

    /// Puts what is there aside and makes an empty one: sled keeps its first error for good, and its lock with it.
    fn begin_again(&mut self, why: &str, notes: &mut Vec<String>) {
        if self.abandoned >= ABANDONED {
            return self.give_up(&format!("{why}; not before the next start"), notes);
        }
        let folder = self.dir.join(index::FOLDER);
        let aside = if folder.exists() {
            place::put_aside(&self.dir, index::FOLDER, unix_millis()).map(Some)
        } else {
            Ok(None)
        };
        let made = match aside {
            Ok(to) => Index::open(&folder).map(|index| (to, index)).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match made {
            Ok((to, index)) => {
                self.index = Some(index);
                let old = to.map_or(String::new(), |to| format!("; the old one is in {}", to.display()));
                note(notes, format!("index made anew from the journal: {why}{old}"));
            }
            Err(later) => self.give_up(&format!("{why}; then {later}"), notes),
        }
    }

    fn give_up(&mut self, why: &str, notes: &mut Vec<String>) {
        self.retry_at = Instant::now() + RETRY;
        note(notes, format!("no index for now: {why}"));
    }

    fn abandon(&mut self, index: Index, error: &IndexError) {
        index.abandon();
        // One that hangs may hold what all others of this process need.
        self.abandoned = if *error == IndexError::Hung { ABANDONED } else { self.abandoned + 1 };
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.index.take().map(Index::close) {
            tracing::warn!("index: {error} while it was closed; the next start looks at it");
        }
    }
}

fn note(notes: &mut Vec<String>, what: String) {
    tracing::warn!("{what}");
    notes.push(what);
}

fn open_and_load(folder: &Path) -> Result<(Index, Option<(Applied, Documents)>), IndexError> {
    let index = Index::open(folder)?;
    match index.load() {
        Ok(loaded) => Ok((index, loaded)),
        Err(error) => {
            index.abandon();
            Err(error)
        }
    }
}
