//! One core's requests that have ended and are not in the spool yet: some one by one, the others summed by whose they
//! are. The core writes, the spool's thread swaps the whole sheet out.

use super::{Budget, Ended, Outcome, Story};
use foldhash::fast::RandomState;
use keyway_proto::fleet::v1::UsageSource;
use keyway_snapshot::{Alias, Client, METERS, Target};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::Thread,
};

/// Records of one core that wait while the spool's thread is held up; beyond them errors are summed too.
const WAITING: usize = 4_096;
/// Sums of one core that are told apart while it is held up; beyond them models, aliases and tags are not.
const ROWS: usize = 10_000;
const MINUTE_MILLIS: u64 = keyway_metering::MINUTE_MILLIS;

/// A core's way to the spool.
#[derive(Debug)]
pub(crate) struct Tray {
    sheet: Mutex<Sheet>,
    budget: Arc<Budget>,
    bell: Arc<Bell>,
}

/// Wakes the spool's thread, if it does not look by itself.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    thread: OnceLock<Thread>,
    rung: AtomicBool,
    is_watched: AtomicBool,
}

/// What has ended since the last swap.
#[derive(Debug, Default)]
pub(crate) struct Sheet {
    pub(crate) records: Vec<Ended>,
    pub(crate) sums: HashMap<Place, Row, RandomState>,
}

/// Whose it is, by where that lies in memory: nothing is copied or compared letter by letter. The row holds all of it,
/// so that no address comes to stand for something else. Two rows that are one by name become one in the spool.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    minute: u64,
    client: usize,
    target: usize,
    key: usize,
    alias: usize,
    tags: Option<Arc<str>>,
}

/// Requests of one place.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) client: Option<Arc<Client>>,
    /// `None` where no attempt was made, or too many targets would have to be told apart.
    pub(crate) target: Option<Arc<Target>>,
    pub(crate) key: Option<Arc<str>>,
    pub(crate) alias: Option<Arc<Alias>>,
    pub(crate) tags: Option<Arc<str>>,
    /// It stands for more than one model.
    pub(crate) is_coarse: bool,
    pub(crate) minute: u64,
    pub(crate) sum: Counted,
}

/// The numbers of a sum.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) cancelled: u64,
    pub(crate) unpriced: u64,
    pub(crate) estimated: u64,
    pub(crate) nano_dollars: u64,
    pub(crate) counts: [u64; METERS],
    pub(crate) delivered: u64,
    pub(crate) total_micros: u64,
    pub(crate) max_total_micros: u64,
    pub(crate) first_tokens: u64,
    pub(crate) first_token_micros: u64,
    pub(crate) upstream_micros: u64,
}

// === impl Tray ===

impl Tray {
    pub(crate) fn new(budget: Arc<Budget>, bell: Arc<Bell>) -> Self {
        Self { sheet: Mutex::default(), budget, bell }
    }

    /// Takes a request that has ended.
    pub(crate) fn end(&self, ended: Ended) {
        let mut sheet = self.sheet.lock();
        let was_empty = sheet.is_empty();
        if sheet.records.len() < WAITING && (ended.is_error() || self.budget.take()) {
            sheet.records.push(ended);
        } else {
            sheet.add(&ended);
        }
        drop(sheet);
        if was_empty {
            self.bell.ring();
        }
    }

    /// Puts an empty sheet in the place of what has been written.
    pub(crate) fn swap(&self, empty: &mut Sheet) {
        std::mem::swap(&mut *self.sheet.lock(), empty);
    }
}

// === impl Bell ===

impl Bell {
    /// This thread is the one to wake. What rang before is still heard.
    pub(crate) fn answer(&self) {
        // Set once: there is one spool.
        let _ = self.thread.set(std::thread::current());
    }

    /// Something has ended.
    pub(crate) fn ring(&self) {
        self.rung.store(true, SeqCst);
        // To wake a thread costs more than all that metering does to a request.
        if !self.is_watched.load(SeqCst) {
            self.wake();
        }
    }

    /// Whether its thread looks soon without being woken. After `false` it looks once more before it sleeps: what rang
    /// until then woke nobody.
    pub(crate) fn watch(&self, is_watched: bool) {
        self.is_watched.store(is_watched, SeqCst);
    }

    /// There is something else to do.
    pub(crate) fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// Whether it rang and was not heard yet.
    pub(crate) fn rings(&self) -> bool {
        self.rung.load(SeqCst)
    }

    /// Whether it rang since this was last asked.
    pub(crate) fn has_rung(&self) -> bool {
        self.rung.swap(false, SeqCst)
    }
}

// === impl Sheet ===

impl Sheet {
    fn is_empty(&self) -> bool {
        self.records.is_empty() && self.sums.is_empty()
    }

    /// Adds a request to the sums.
    fn add(&mut self, ended: &Ended) {
        let mut place = Place::of(ended);
        let is_coarse = self.sums.len() >= ROWS && !self.sums.contains_key(&place);
        if is_coarse {
            (place.target, place.alias, place.tags) = (usize::MAX, 0, None);
        }
        let tags = place.tags.clone();
        self.sums.entry(place).or_insert_with(|| Row::new(&ended.story, ended, is_coarse, tags)).add(ended);
    }
}

// === impl Place ===

impl Place {
    fn of(ended: &Ended) -> Self {
        let story = &ended.story;
        let last = story.last();
        Self {
            minute: ended.started_millis() / MINUTE_MILLIS,
            client: at(story.client.as_ref()),
            target: at(last.map(|last| &last.target)),
            key: at(last.map(|last| &last.key)),
            alias: at(story.asked.alias()),
            tags: story.tags.clone(),
        }
    }
}

fn at<T: ?Sized>(one: Option<&Arc<T>>) -> usize {
    one.map_or(0, |one| Arc::as_ptr(one).addr())
}

// === impl Row ===

impl Row {
    fn new(story: &Story, ended: &Ended, is_coarse: bool, tags: Option<Arc<str>>) -> Self {
        let last = story.last();
        Self {
            client: story.client.clone(),
            target: last.map(|last| Arc::clone(&last.target)),
            key: last.map(|last| Arc::clone(&last.key)),
            alias: story.asked.alias().filter(|_| !is_coarse).cloned(),
            tags,
            is_coarse,
            minute: ended.started_millis() / MINUTE_MILLIS,
            sum: Counted::default(),
        }
    }

    fn add(&mut self, ended: &Ended) {
        self.sum.add(ended);
    }
}

// === impl Counted ===

impl Counted {
    /// One request's.
    pub(crate) fn of(ended: &Ended) -> Self {
        let mut one = Self::default();
        one.add(ended);
        one
    }

    /// As `keyway_metering::of_record` of the request's record, without making one.
    fn add(&mut self, ended: &Ended) {
        let used = &ended.used;
        let estimated = matches!(used.source, UsageSource::Estimate | UsageSource::Partial);
        self.requests += 1;
        self.errors += u64::from(ended.is_error());
        self.cancelled += u64::from(ended.outcome == Outcome::Cancelled);
        self.unpriced += u64::from(used.cost.is_none());
        self.estimated += u64::from(estimated);
        self.nano_dollars = self.nano_dollars.saturating_add(used.cost.map_or(0, |cost| cost.0));
        for (sum, count) in self.counts.iter_mut().zip(&used.counts) {
            *sum = sum.saturating_add(*count);
        }
        self.delivered += used.delivered.unwrap_or_else(|| used.output());
        self.total_micros += ended.total_micros;
        self.max_total_micros = self.max_total_micros.max(ended.total_micros);
        self.first_tokens += u64::from(ended.first_token_micros > 0);
        self.first_token_micros += ended.first_token_micros;
        self.upstream_micros += ended.upstream_micros();
    }
}

#[cfg(test)]
mod tests;
