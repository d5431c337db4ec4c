//! What was metered and is not in the control plane's books yet: numbered frames, on disk where there is a directory, so
//! that they outlive the process. Nothing is ever dropped: where room ends, detail does.
//!
//! `Spool` is the whole of it, without threads or clocks; `Spooling` is its thread.

mod counts;
mod entry;
mod folding;
mod segment;
mod syncer;
mod thread;
mod volume;

#[cfg(test)]
mod tests;

pub(crate) use counts::SpoolCounts;
pub(crate) use thread::{Ends, Spooling};

use folding::{Folding, LEVELS, Plan, plan, split};
use keyway_proto::fleet::v1::{Batch, Frame, Record, Sum};
use prost::Message;
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};
use syncer::Syncer;
use volume::{Volume, private_dir};

/// Bytes on disk.
pub(crate) const DISK_LIMIT: u64 = 256 << 20;
/// Bytes in memory, without a directory or while the disk takes nothing.
const MEMORY_LIMIT: u64 = 32 << 20;
/// While the process is short of memory.
const SCARCE_LIMIT: u64 = 4 << 20;
/// A segment is this part of what the spool may hold: a segment that was offered is not folded.
const SEGMENTS: u64 = 32;
/// Bytes of frames that are offered or read at once, but for a frame that is larger. The control plane would take more;
/// what a batch is made of is held several times over while it goes out.
pub(crate) const BATCH: usize = 256 << 10;
/// In the state directory.
const USAGE: &str = "usage";

/// All frames of this process and of those before it in the same directory.
#[derive(Debug)]
pub(crate) struct Spool {
    /// Oldest first; the last is this process's.
    volumes: Vec<Volume>,
    /// Of the next frame.
    next: u64,
    disk_limit: u64,
    memory_limit: u64,
    work: Option<Work>,
    counts: Arc<SpoolCounts>,
}

/// A fold under way.
#[derive(Debug)]
struct Work {
    incarnation: String,
    level: u8,
    /// Names of the first and last segment.
    range: (u64, u64),
    /// The segment that is read, and how far.
    at: (u64, u64),
    folding: Folding,
}

// === impl Spool ===

impl Spool {
    /// With what earlier processes left in this state directory.
    pub(crate) fn open(
        state_dir: Option<&Path>,
        incarnation: &str,
        disk_limit: u64,
        counts: Arc<SpoolCounts>,
    ) -> Self {
        let root = state_dir.map(|dir| dir.join(USAGE));
        let mut volumes = root.as_deref().map_or_else(Vec::new, |root| {
            earlier(root).unwrap_or_else(|error| {
                counts.failed(&error, "what earlier processes metered cannot be read");
                Vec::new()
            })
        });
        volumes.push(Volume::new(root.as_deref(), incarnation));
        let memory_limit = MEMORY_LIMIT.min(disk_limit);
        Self { volumes, next: 1, disk_limit, memory_limit, work: None, counts }
    }

    /// Whether the process is short of memory: what waits there loses detail sooner then.
    pub(crate) fn shrink(&mut self, scarce: bool) {
        self.memory_limit = self.disk_limit.min(if scarce { SCARCE_LIMIT } else { MEMORY_LIMIT });
    }

    fn own(&mut self) -> Option<&mut Volume> {
        self.volumes.last_mut()
    }

    /// Writes what ended, as one frame where it fits into one.
    pub(crate) fn write(&mut self, records: Vec<Record>, sums: Vec<Sum>) {
        self.counts.metered(&records, &sums);
        for frame in split(records, sums) {
            let number = self.next;
            self.next += 1;
            let frame = Frame { first: number, last: number, ..frame };
            let entry = entry::encode(number, number, &frame.encode_to_vec());
            let limit = self.segment_limit();
            let written = self.own().map_or(Ok(()), |own| own.append(&entry, limit));
            if let Err(error) = written {
                self.counts.failed(&error, "the disk takes no usage; it is kept in memory");
            }
            self.counts.written();
        }
    }

    fn segment_limit(&self) -> u64 {
        let limit = match self.volumes.last().is_some_and(Volume::is_in_memory) {
            true => self.memory_limit,
            false => self.disk_limit,
        };
        limit / SEGMENTS
    }

    /// Whether something has not been brought down to the disk.
    pub(crate) fn is_dirty(&self) -> bool {
        self.volumes.last().is_some_and(Volume::is_dirty)
    }

    /// Brings everything down to the disk, and waits for it.
    pub(crate) fn sync(&mut self) {
        let dirty = self.own().map(|own| std::mem::take(own.dirty())).unwrap_or_default();
        if let Err(error) = dirty.iter().try_for_each(|file| file.sync_data()) {
            self.sync_failed(&error);
        }
    }

    /// Has everything brought down to the disk.
    fn sync_beside(&mut self, syncer: &Syncer) {
        if let Some(own) = self.own().filter(|own| own.is_dirty()) {
            *own.dirty() = syncer.sync(std::mem::take(own.dirty()));
        }
    }

    fn sync_failed(&mut self, error: &io::Error) {
        self.counts.failed(error, "usage could not be brought down to the disk");
        if let Some(own) = self.own() {
            own.distrust();
        }
    }

    /// Whether something is in memory that belongs on the disk.
    pub(crate) fn is_held_up(&self) -> bool {
        self.volumes.last().is_some_and(Volume::is_held_up)
    }

    /// Tries the disk again.
    pub(crate) fn try_disk(&mut self) {
        self.work = None;
        match self.own().map_or(Ok(()), Volume::try_disk) {
            Ok(()) => self.counts.recovered(),
            Err(error) => self.counts.failed(&error, "the disk still takes no usage"),
        }
    }

    /// Removes what is not needed after this process.
    pub(crate) fn end(&mut self) {
        if let Some(own) = self.own().filter(|own| !own.has_unread()) {
            own.remove();
        }
    }

    /// Whether anything is to be offered.
    pub(crate) fn has_unread(&self) -> bool {
        self.volumes.iter().any(Volume::has_unread)
    }

    /// The oldest frames that are not in the books. Until they are, every batch begins with them.
    pub(crate) fn batch(&mut self, replica: &str) -> Option<Batch> {
        // What was offered is not folded: of a small spool it is a small part.
        let limit = usize::try_from(self.segment_limit()).map_or(BATCH, |limit| limit.min(BATCH));
        loop {
            let is_last = self.volumes.len() == 1;
            let volume = self.volumes.first_mut()?;
            let (frames, is_new) = match volume.batch(limit) {
                Ok(batch) => batch,
                Err(error) => {
                    self.counts.failed(&error, "usage cannot be read from the spool");
                    return None;
                }
            };
            self.counts.damaged(std::mem::take(&mut volume.damaged));
            if is_new {
                // What is offered is not folded any more.
                self.work = None;
            }
            if !frames.is_empty() {
                let incarnation = volume.incarnation.clone();
                return Some(Batch { replica: replica.to_owned(), incarnation, frames });
            }
            if is_last {
                return None;
            }
            volume.remove();
            self.volumes.remove(0);
        }
    }

    /// Everything up to this number of that process is in the books.
    pub(crate) fn accepted(&mut self, incarnation: &str, last: u64) {
        let found = self.volumes.iter_mut().find(|volume| volume.incarnation == incarnation);
        let count = found.map_or(0, |volume| volume.accepted(last));
        self.counts.accepted(count);
    }

    /// Goes on to make room, if there is none; whether there is more to do.
    pub(crate) fn make_room(&mut self) -> bool {
        self.counts.holds(self.bytes(false), self.bytes(true));
        self.counts.full(self.is_full());
        let Some(mut work) = self.work.take().or_else(|| self.begin_fold()) else { return false };
        match self.go_on(&mut work) {
            Ok(true) => self.work = Some(work),
            Ok(false) => {
                if let Err(error) = self.finish_fold(work) {
                    self.counts.failed(&error, "a full spool could not be folded");
                    return false;
                }
            }
            Err(error) => {
                self.counts.failed(&error, "a full spool could not be read");
                return false;
            }
        }
        true
    }

    /// Whether the last segment's worth of room is reached, which is left for requests under way, or something had to be
    /// folded that is not in the books yet.
    fn is_full(&self) -> bool {
        let places = [(false, self.disk_limit), (true, self.memory_limit)];
        places.into_iter().any(|(in_memory, limit)| self.bytes(in_memory) > limit - limit / SEGMENTS)
            || self.volumes.iter().flat_map(|volume| &volume.segments).any(|segment| segment.level > 0)
    }

    fn bytes(&self, in_memory: bool) -> u64 {
        let all = self.volumes.iter().flat_map(|volume| &volume.segments);
        all.filter(|one| one.memory().is_some() == in_memory).map(|one| one.length).sum()
    }

    fn begin_fold(&self) -> Option<Work> {
        let over = [(true, self.memory_limit), (false, self.disk_limit)];
        over.into_iter().filter(|(in_memory, limit)| self.bytes(*in_memory) > *limit).find_map(
            |(in_memory, limit)| {
                // The limit is for all volumes together, a fold is of one: the oldest that has something to fold.
                let others = |own: u64| limit.saturating_sub(self.bytes(in_memory) - own);
                self.volumes.iter().find_map(|volume| {
                    let sights = volume.sights();
                    let own =
                        sights.iter().filter(|one| one.in_memory == in_memory).map(|one| one.bytes).sum();
                    let Plan { run, level } = plan(&sights, in_memory, (others(own), limit))?;
                    let first = volume.segments.get(run.start)?.from;
                    let last = volume.segments.get(run.end.checked_sub(1)?)?.to;
                    Some(Work {
                        incarnation: volume.incarnation.clone(),
                        level,
                        range: (first, last),
                        at: (first, 0),
                        folding: Folding::new(level),
                    })
                })
            },
        )
    }

    /// Reads a slice; whether there is more.
    fn go_on(&mut self, work: &mut Work) -> io::Result<bool> {
        let volume = self.volumes.iter_mut().find(|volume| volume.incarnation == work.incarnation);
        let Some(volume) = volume else { return Ok(false) };
        let (name, from) = work.at;
        let Some(segment) = volume.segments.iter_mut().find(|segment| segment.from == name) else {
            return Ok(false);
        };
        let window = segment.window(from)?;
        let mut rest = &*window;
        while let Some(entry) = entry::read(rest) {
            work.folding.add(&entry);
            rest = rest.get(entry.size()..).unwrap_or_default();
        }
        let read = (window.len() - rest.len()) as u64;
        work.at.1 += read;
        let is_over = work.at.1 >= segment.length;
        if !is_over && read > 0 {
            return Ok(true);
        }
        if !is_over {
            self.counts.damaged(segment.length - work.at.1);
        }
        work.at = (segment.to + 1, 0);
        Ok(segment.to < work.range.1)
    }

    fn finish_fold(&mut self, work: Work) -> io::Result<()> {
        let volume = self.volumes.iter_mut().find(|volume| volume.incarnation == work.incarnation);
        let Some(volume) = volume else { return Ok(()) };
        let level = (work.level + 1).min(LEVELS);
        let count = work.folding.frames();
        let Some(bytes) = work.folding.finish() else {
            volume.give_up(work.range);
            return Ok(());
        };
        volume.replace(work.range, bytes, level)?;
        self.counts.folded(count);
        Ok(())
    }
}

/// What is left of processes before, the oldest first.
fn earlier(root: &Path) -> io::Result<Vec<Volume>> {
    private_dir(root)?;
    let mut dirs: Vec<(std::time::SystemTime, PathBuf)> = Vec::new();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let found = entry.metadata()?;
        if found.is_dir() {
            dirs.push((found.modified()?, entry.path()));
        }
    }
    dirs.sort();
    dirs.iter().map(|(_, dir)| Volume::found(dir)).collect()
}
