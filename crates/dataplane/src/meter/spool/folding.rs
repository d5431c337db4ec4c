//! A full spool: which segments become one, and how. Detail is lost, no count is. Which ones is decided here, pure; the
//! work is done in slices, so that what ends meanwhile is written in time.

use super::entry;
use keyway_metering::{Fold, OTHER};
use keyway_proto::{
    BATCH_LIMIT,
    fleet::v1::{Frame, Record, Spender, Sum},
};
use prost::Message;
use std::ops::Range;

/// Rows of one fold that tell tags apart; also bounds the memory that folding takes.
const TAGGED: usize = 20_000;
/// One fold takes this part of what the spool may hold.
const SHARE: u64 = 4;
/// Bytes of sums in one frame. Frames are as large at most, so that those of a fold are never more than it was made of.
pub(super) const FRAME_LIMIT: usize = BATCH_LIMIT / 4;
/// Key and length of a field in its frame, at most.
const FIELD: usize = 8;
const HOUR: u64 = 60;
const DAY: u64 = 24 * HOUR;
/// Bytes of a name in what would fit into no frame; those that the configuration gives are no longer.
const NAME_LIMIT: usize = 256;
/// Minutes, then without tags, then hours, then days: coarser there is nothing.
pub(super) const LEVELS: u8 = 4;

/// One segment as the plan sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sight {
    pub(super) bytes: u64,
    /// Closed, and nothing of it has been offered.
    pub(super) is_free: bool,
    pub(super) in_memory: bool,
    pub(super) level: u8,
}

/// What to fold: neighbours, and how coarse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) run: Range<usize>,
    pub(super) level: u8,
}

/// The oldest neighbours that are least coarse yet, where the segments of that kind are over `most` together; a run is a
/// part of `limit`.
pub(super) fn plan(segments: &[Sight], in_memory: bool, (most, limit): (u64, u64)) -> Option<Plan> {
    let kind = |one: &&Sight| one.in_memory == in_memory;
    if segments.iter().filter(kind).map(|one| one.bytes).sum::<u64>() <= most {
        return None;
    }
    (0..=LEVELS).find_map(|level| {
        let may = |one: &Sight| one.is_free && one.in_memory == in_memory && one.level <= level;
        let mut start = 0;
        while let Some(at) = segments.iter().skip(start).position(may).map(|at| start + at) {
            let (mut end, mut bytes) = (at, 0);
            while let Some(one) =
                segments.get(end).filter(|one| may(one) && (end == at || bytes < limit / SHARE))
            {
                (end, bytes) = (end + 1, bytes + one.bytes);
            }
            // The coarsest are only joined.
            let is_gain = level < LEVELS || end - at > 1;
            let is_new = segments.get(at..end).is_some_and(|run| run.iter().any(|one| one.level == level));
            if is_gain && is_new {
                return Some(Plan { run: at..end, level });
            }
            start = end;
        }
        None
    })
}

/// Sums of a run under way.
#[derive(Debug)]
pub(super) struct Folding {
    fold: Fold,
    level: u8,
    first: Option<u64>,
    last: u64,
    frames: u64,
}

// === impl Folding ===

impl Folding {
    pub(super) fn new(level: u8) -> Self {
        let tagged = if level == 0 { TAGGED } else { 0 };
        Self { fold: Fold::new(tagged), level, first: None, last: 0, frames: 0 }
    }

    /// Adds an entry. One that is no frame is passed over: it would be refused by the control plane too.
    pub(super) fn add(&mut self, entry: &entry::Entry<'_>) {
        self.first.get_or_insert(entry.first);
        self.last = entry.last;
        self.frames += 1;
        let Ok(frame) = Frame::decode(entry.frame) else { return };
        let records = frame.records.iter().map(keyway_metering::of_record);
        records.chain(frame.sums).for_each(|sum| self.fold.sum(&coarse(sum, self.level)));
    }

    /// How many it was made of.
    pub(super) fn frames(&self) -> u64 {
        self.frames
    }

    /// The entries that stand for all of it; `None` if there was nothing, or if they would not fit the numbers.
    pub(super) fn finish(self) -> Option<Vec<u8>> {
        let first = self.first?;
        let frames = split(Vec::new(), self.fold.into_sums());
        let spare = u64::try_from(frames.len()).ok()?.checked_sub(1)?;
        if first + spare > self.last {
            return None;
        }
        let mut bytes = Vec::new();
        for (number, frame) in (first..).zip(frames) {
            let last = if number == first + spare { self.last } else { number };
            let frame = Frame { first: number, last, ..frame };
            bytes.extend_from_slice(&entry::encode(number, last, &frame.encode_to_vec()));
        }
        Some(bytes)
    }
}

/// A sum with less detail.
fn coarse(mut sum: Sum, level: u8) -> Sum {
    if let Some(spender) = sum.spender.as_mut().filter(|spender| level > 0 && !spender.tags.is_empty()) {
        spender.tags = vec![OTHER.to_owned()];
    }
    let unit = match level {
        0 | 1 => 1,
        2 => HOUR,
        _ => DAY,
    };
    sum.minute -= sum.minute % unit;
    sum
}

/// Frames, not numbered yet, none larger than the limit.
pub(super) fn split(records: Vec<Record>, sums: Vec<Sum>) -> Vec<Frame> {
    let mut frames = Frames { all: Vec::new(), open: Frame::default(), bytes: 0 };
    for mut record in records {
        if record.encoded_len() > FRAME_LIMIT {
            shorten(&mut record);
        }
        frames.room_for(record.encoded_len());
        frames.open.records.push(record);
    }
    for mut sum in sums {
        if sum.encoded_len() > FRAME_LIMIT {
            sum.spender.as_mut().into_iter().for_each(shorten_spender);
        }
        frames.room_for(sum.encoded_len());
        frames.open.sums.push(sum);
    }
    frames.all.push(frames.open);
    frames.all
}

/// Leaves what counts, and what says whose it was: no frame is larger than what is read back.
fn shorten(record: &mut Record) {
    record.attempts.clear();
    record.route.clear();
    record.price_rules.clear();
    [&mut record.asked, &mut record.reason].into_iter().for_each(cut);
    record.spender.as_mut().into_iter().for_each(shorten_spender);
}

fn shorten_spender(spender: &mut Spender) {
    let Spender { client, team, provider, model, key, alias, tags } = spender;
    [client, team, provider, model, key, alias].into_iter().for_each(cut);
    if !tags.is_empty() {
        *tags = vec![OTHER.to_owned()];
    }
}

fn cut(name: &mut String) {
    name.truncate(name.floor_char_boundary(NAME_LIMIT));
}

struct Frames {
    all: Vec<Frame>,
    open: Frame,
    bytes: usize,
}

impl Frames {
    fn room_for(&mut self, size: usize) {
        if self.bytes > 0 && self.bytes + size + FIELD > FRAME_LIMIT {
            self.all.push(std::mem::take(&mut self.open));
            self.bytes = 0;
        }
        self.bytes += size + FIELD;
    }
}
