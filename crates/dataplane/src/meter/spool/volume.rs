//! The segments of one process, oldest first: this one's, which takes what ends now, or what one before it left.

use super::{
    BATCH,
    entry::{self, HEAD},
    folding::Sight,
    segment::{Segment, sync_dir},
};
use std::{
    collections::VecDeque,
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Frames of one batch, each small in an idle replica.
const BATCH_FRAMES: usize = 1_024;

/// What one process metered.
#[derive(Debug)]
pub(super) struct Volume {
    pub(super) incarnation: String,
    /// `None` = in memory.
    dir: Option<PathBuf>,
    pub(super) segments: VecDeque<Segment>,
    next: u64,
    /// The last segment takes more.
    is_open: bool,
    /// Of the first segment: behind what was accepted.
    pub(super) read: u64,
    /// Offered and not accepted: last number and bytes of each entry.
    given: VecDeque<(u64, u64)>,
    /// Files that have not been brought down to the disk.
    dirty: Vec<Arc<File>>,
    /// Bytes that were none of ours and were passed over.
    pub(super) damaged: u64,
}

// === impl Volume ===

impl Volume {
    /// An empty one; its directory is made with the first entry.
    pub(super) fn new(root: Option<&Path>, incarnation: &str) -> Self {
        Self {
            incarnation: incarnation.to_owned(),
            dir: root.map(|root| root.join(incarnation)),
            segments: VecDeque::new(),
            next: 1,
            is_open: false,
            read: 0,
            given: VecDeque::new(),
            dirty: Vec::new(),
            damaged: 0,
        }
    }

    /// What an earlier process left in its directory. Of a fold that a crash came into, the result counts.
    ///
    /// # Errors
    /// The system refused it.
    pub(super) fn found(dir: &Path) -> io::Result<Self> {
        let incarnation = dir.file_name().unwrap_or_default().to_string_lossy();
        let mut volume = Self::new(dir.parent(), &incarnation);
        let mut all = Vec::new();
        for file in fs::read_dir(dir)? {
            all.extend(Segment::found(&file?.path())?);
        }
        all.sort_by_key(|segment| (segment.from, std::cmp::Reverse(segment.to)));
        for segment in all {
            let is_within = volume.segments.back().is_some_and(|last| segment.to <= last.to);
            if is_within {
                segment.remove()?;
            } else {
                volume.segments.push_back(segment);
            }
        }
        Ok(volume)
    }

    /// Appends an entry, to a file if the disk takes it, else in memory.
    ///
    /// # Errors
    /// Why it is in memory, told once: what follows goes there too until `try_disk`.
    pub(super) fn append(&mut self, entry: &[u8], segment_limit: u64) -> io::Result<()> {
        let is_full = |last: &Segment| last.length > 0 && last.length + entry.len() as u64 > segment_limit;
        if self.segments.back().is_some_and(is_full) {
            self.is_open = false;
        }
        let mut refused = Ok(());
        if !self.is_open {
            refused = self.open();
            self.drop_read();
        }
        let Some(last) = self.segments.back_mut() else { return refused };
        match last.append(entry) {
            Ok(()) => {
                let file = last.file().filter(|_| self.dirty.is_empty() || last.length == entry.len() as u64);
                self.dirty.extend(file);
                refused
            }
            Err(error) => {
                let mut spare = Segment::in_memory(self.number());
                spare.append(entry)?;
                self.segments.push_back(spare);
                Err(error)
            }
        }
    }

    /// Begins a segment: a file, unless what came before is in memory still.
    fn open(&mut self) -> io::Result<()> {
        let number = self.number();
        self.is_open = true;
        let dir = self.dir.clone().filter(|_| !self.has_memory());
        let made = dir.map(|dir| {
            private_dir(&dir).and_then(|()| Segment::create(&dir, number)).and_then(|file| {
                sync_dir(&dir)?;
                Ok(file)
            })
        });
        let (segment, result) = match made {
            Some(Ok(segment)) => (segment, Ok(())),
            Some(Err(error)) => (Segment::in_memory(number), Err(error)),
            None => (Segment::in_memory(number), Ok(())),
        };
        self.segments.push_back(segment);
        result
    }

    fn number(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }

    fn has_memory(&self) -> bool {
        self.segments.iter().any(|segment| segment.memory().is_some())
    }

    /// Whether something is in memory that belongs on the disk.
    pub(super) fn is_held_up(&self) -> bool {
        self.dir.is_some() && self.has_memory()
    }

    /// Brings what is in memory to the disk, oldest first.
    ///
    /// # Errors
    /// The system still refuses it.
    pub(super) fn try_disk(&mut self) -> io::Result<()> {
        let Some(dir) = self.dir.clone() else { return Ok(()) };
        private_dir(&dir)?;
        for segment in &mut self.segments {
            let Some(bytes) = segment.memory() else { continue };
            let stored = Segment::store(&dir, (segment.from, segment.to), segment.is_sent, bytes)?;
            let level = segment.level;
            *segment = stored;
            segment.level = level;
        }
        self.is_open = false;
        Ok(())
    }

    /// Whether it was written to since the last `sync`.
    pub(super) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Files that are to be brought down to the disk; what is given in their place still is.
    pub(super) fn dirty(&mut self) -> &mut Vec<Arc<File>> {
        &mut self.dirty
    }

    /// The disk failed at it: the file takes no more, and what it holds of the last second may not outlive a loss of
    /// power.
    pub(super) fn distrust(&mut self) {
        self.is_open = false;
    }

    /// Whether anything was not accepted.
    pub(super) fn has_unread(&self) -> bool {
        let mut from = self.read;
        self.segments.iter().any(|segment| segment.length > std::mem::take(&mut from))
    }

    /// The oldest frames that were not accepted, at most so many bytes but at least one, and whether a segment was
    /// offered for the first time.
    ///
    /// # Errors
    /// The system refused it; nothing may be offered then.
    pub(super) fn batch(&mut self, limit: usize) -> io::Result<(Vec<Vec<u8>>, bool)> {
        let (mut frames, mut bytes, mut is_new) = (Vec::new(), 0, false);
        let mut from = self.read;
        self.given.clear();
        for segment in &mut self.segments {
            let from = std::mem::take(&mut from);
            let window = segment.window(from)?;
            let mut rest = &*window;
            while let Some(entry) = entry::read(rest) {
                bytes += entry.frame.len();
                if bytes > limit && !frames.is_empty() || frames.len() == BATCH_FRAMES {
                    return Ok((frames, is_new));
                }
                if !segment.is_sent {
                    segment.offer()?;
                    is_new = true;
                }
                frames.push(entry.frame.to_vec());
                self.given.push_back((entry.last, entry.size() as u64));
                rest = rest.get(entry.size()..).unwrap_or_default();
            }
            if !rest.is_empty() {
                if window.len() >= BATCH + HEAD && !frames.is_empty() {
                    // The window ends within an entry.
                    return Ok((frames, is_new));
                }
                // Half an entry, as a crash leaves it: what lies behind it has no beginning that could be known.
                let whole = from + (window.len() - rest.len()) as u64;
                self.damaged += segment.length.saturating_sub(whole);
                segment.length = whole;
                // What comes now would follow the damage.
                self.is_open = false;
            }
        }
        Ok((frames, is_new))
    }

    /// Everything up to this number is in the control plane's books. Gives how many entries that were.
    pub(super) fn accepted(&mut self, last: u64) -> u64 {
        let mut count = 0;
        while let Some((_, bytes)) = self.given.front().filter(|(number, _)| *number <= last).copied() {
            // The entry may lie in a later segment.
            while self.segments.front().is_some_and(|segment| segment.length <= self.read) {
                self.drop_first();
            }
            self.read += bytes;
            self.given.pop_front();
            count += 1;
        }
        self.drop_read();
        count
    }

    /// Removes segments that were accepted whole and take no more.
    fn drop_read(&mut self) {
        while self.segments.front().is_some_and(|first| first.length <= self.read)
            && !(self.is_open && self.segments.len() == 1)
        {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        self.read = 0;
        // Left where it cannot be removed: it is sent once more after a start, and passed over there.
        let _ = self.segments.pop_front().map(Segment::remove);
    }

    /// Removes its directory, once nothing is in it that was not accepted.
    pub(super) fn remove(&mut self) {
        self.segments.drain(..).for_each(|segment| drop(segment.remove()));
        if let Some(dir) = &self.dir {
            // Not empty: then it is looked at again after a start.
            let _ = fs::remove_dir(dir);
        }
    }

    /// Puts these bytes in the place of neighbours.
    ///
    /// # Errors
    /// The system refused it; nothing has changed.
    pub(super) fn replace(&mut self, (from, to): (u64, u64), bytes: Vec<u8>, level: u8) -> io::Result<()> {
        let Some(at) = self.segments.iter().position(|segment| segment.from == from) else { return Ok(()) };
        let in_memory = self.segments.get(at).is_some_and(|segment| segment.memory().is_some());
        let mut folded = match self.dir.as_ref().filter(|_| !in_memory) {
            Some(dir) => Segment::store(dir, (from, to), false, &bytes)?,
            None => Segment::of_bytes(from, to, bytes),
        };
        let end = self.segments.iter().position(|segment| segment.to == to).map_or(at, |end| end + 1);
        // One alone was replaced by the new one of its name.
        let is_alone = end - at == 1;
        let old: Vec<Segment> = self.segments.drain(at..end).collect();
        if !is_alone {
            old.into_iter().for_each(|segment| drop(segment.remove()));
        }
        folded.level = level;
        self.segments.insert(at, folded);
        Ok(())
    }

    /// Leaves these as they are for good.
    pub(super) fn give_up(&mut self, (from, to): (u64, u64)) {
        let meant = |segment: &&mut Segment| from <= segment.from && segment.to <= to;
        self.segments.iter_mut().filter(meant).for_each(|segment| segment.level = u8::MAX);
    }

    /// Its segments as a plan sees them.
    pub(super) fn sights(&self) -> Vec<Sight> {
        let count = self.segments.len();
        let sight = |(at, segment): (usize, &Segment)| Sight {
            bytes: segment.length,
            is_free: !(segment.is_sent || self.is_open && at + 1 == count),
            in_memory: segment.memory().is_some(),
            level: segment.level,
        };
        self.segments.iter().enumerate().map(sight).collect()
    }

    /// Whether what comes now goes to memory.
    pub(super) fn is_in_memory(&self) -> bool {
        self.dir.is_none() || self.has_memory()
    }
}

/// Makes a directory that only this user may look into, down to the disk: what is brought down in it goes with its name.
///
/// # Errors
/// The system refused it.
pub(super) fn private_dir(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.map_or(Ok(()), private_dir)?;
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    sync_dir(parent.unwrap_or(Path::new(".")))
}
