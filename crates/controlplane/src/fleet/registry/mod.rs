//! What is known of each replica. Pure but for the map: time is passed in. Rows are written by the replica's own
//! stream and read by the admin API and by rotation.
//!
//! A row stays until its books are closed: the replica said that it ended, whoever started it reaped it, it came back as
//! another process, its lease on secrets ran out, or an operator evicted it.

mod books;
mod evidence;
mod old_uses;
mod view;

pub(crate) use books::Member;
pub(crate) use evidence::Evidence;
use old_uses::OldUses;
pub use view::{Refused, Replica, ReplicaState};

use super::Order;
use crate::{
    observe::Answers,
    push::{Push, lacks},
};
use keyway_proto::fleet::v1::{AuditHead, Beat, Hello, KeyUse, Nack, TokenUse};
use keyway_snapshot::{StateHash, Version};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

/// A replica that said nothing for so long is silent; it beats once a second.
pub(super) const SILENT_AFTER: Duration = Duration::from_secs(3);
/// Acknowledgements of one replica whose times are remembered.
const ACKS: usize = 64;
/// Key versions of one replica whose use is remembered.
const USES: usize = 16_384;
/// Tokens of one replica whose use is remembered.
const TOKENS: usize = 1024;
/// Replicas in the list, lost ones included.
pub(super) const REPLICA_LIMIT: usize = 4096;
/// Features of one replica that are shown.
const FEATURES: usize = 64;
/// Bytes of a replica's words (id, host, addresses, reasons) that are kept.
const WORD_LIMIT: usize = 512;

#[derive(Debug)]
struct Row {
    hello: Hello,
    /// Counts the streams that this replica opened: an old stream's end says nothing of the new one.
    stream: u64,
    link: Option<mpsc::Sender<Order>>,
    draining: bool,
    served: Option<(Version, StateHash)>,
    refused: Option<((Version, StateHash), Refused)>,
    /// What it cannot do that the newest state needs.
    lacks: Option<String>,
    secrets: Option<Version>,
    /// When this process was heard of first.
    since: Instant,
    heard: Instant,
    ack: Option<Duration>,
    in_flight: u64,
    requests: u64,
    counted: Instant,
    rps: f64,
    /// Its store document is written: a restart of the control plane does not forget it.
    recorded: bool,
    /// It said that it has ended.
    ended: bool,
    /// The state in force when its key use was counted.
    used_at: Option<Version>,
    uses: BTreeMap<String, KeyUse>,
    /// The last of those that are not counted any more: they come back with these counts.
    past: BTreeMap<String, KeyUse>,
    /// How tokens of clients are used that are about to change theirs.
    tokens: Vec<TokenUse>,
    kept: Option<Version>,
    acks: VecDeque<(Version, Instant)>,
    clock_ahead_ms: Option<i64>,
    /// The newest that it was told of the audit log.
    told: Option<AuditHead>,
}

/// How long a replica uses secrets without word; absent = without limit.
type Lease = Option<Duration>;

/// All replicas by id.
#[derive(Debug, Default)]
pub(super) struct Registry {
    rows: BTreeMap<String, Row>,
    streams: u64,
    evicted: BTreeSet<String>,
    /// How long secrets are used without word from here; not told at first.
    lease: Option<Lease>,
    /// Up to this version states gave them longer, and at most so long.
    longer: Option<(Version, Lease)>,
    old_uses: OldUses,
}

/// What is known of a replica that says hello.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    /// Names its stream.
    pub(super) stream: u64,
    /// What the same process refused last.
    pub(super) refused: Option<StateHash>,
    /// Whether its document is written.
    pub(super) recorded: bool,
}

/// What one that is connected would say now.
#[derive(Debug)]
pub(super) struct Connected {
    /// Its stream's number.
    pub(super) stream: u64,
    pub(super) hello: Hello,
    /// Its newest.
    pub(super) beat: Beat,
    /// What it refused last.
    pub(super) refused: Option<(StateHash, Nack)>,
}

/// Why a replica is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turned {
    /// The list is full.
    Full,
    /// An operator evicted it.
    Evicted,
}

// === impl Registry ===

impl Registry {
    /// A replica says hello.
    ///
    /// # Errors
    /// Why it is not let in.
    pub(super) fn hello(
        &mut self,
        mut hello: Hello,
        link: mpsc::Sender<Order>,
        now: Instant,
    ) -> Result<Known, Turned> {
        self.close_books(now);
        if self.evicted.contains(&hello.id) {
            return Err(Turned::Evicted);
        }
        if self.rows.len() >= REPLICA_LIMIT && !self.rows.contains_key(&hello.id) {
            return Err(Turned::Full);
        }
        for word in [
            &mut hello.id,
            &mut hello.host,
            &mut hello.build,
            &mut hello.listen,
            &mut hello.ops_listen,
            &mut hello.incarnation,
            &mut hello.supervisor,
        ] {
            shorten(word);
        }
        hello.features.truncate(FEATURES);
        hello.features.iter_mut().for_each(shorten);
        self.streams += 1;
        let stream = self.streams;
        let mut row = Row::new(hello, Some((stream, link)), now);
        row.kept = row.hello.kept.map(Version::from);
        row.told = row.hello.audit.take();
        if let Some(old) = self.rows.remove(&row.hello.id) {
            row.recorded = old.recorded;
            row.go_on_from(old);
        }
        let refused = row.refused.as_ref().map(|((_, hash), _)| *hash);
        let known = Known { stream, refused, recorded: row.recorded };
        self.rows.insert(row.hello.id.clone(), row);
        Ok(known)
    }

    /// Every replica that is connected here, and what it would say now.
    pub(super) fn connected(&self) -> Vec<Connected> {
        let said = |row: &Row| Connected {
            stream: row.stream,
            hello: row.as_hello(),
            beat: row.as_beat(),
            refused: row.as_nack(),
        };
        self.rows.values().filter(|row| row.link.is_some()).map(said).collect()
    }

    /// What rotation needs to know of each replica.
    pub(super) fn evidence(&self, epoch: u64, now: Instant) -> Vec<Evidence> {
        self.rows.values().map(|row| row.evidence(epoch, &self.old_uses, now)).collect()
    }

    /// Any message came.
    pub(super) fn heard(&mut self, id: &str, now: Instant) {
        if let Some(row) = self.rows.get_mut(id) {
            row.heard = now;
        }
    }

    pub(super) fn beat(&mut self, id: &str, beat: Beat, now: Instant, unix_millis: u64) {
        let Some(row) = self.rows.get_mut(id) else { return };
        let seconds = now.saturating_duration_since(row.counted).as_secs_f64();
        if seconds > 0.0 {
            let count = u32::try_from(beat.requests_total.saturating_sub(row.requests)).unwrap_or(u32::MAX);
            row.rps = f64::from(count) / seconds;
        }
        (row.requests, row.counted) = (beat.requests_total, now);
        row.in_flight = beat.requests_in_flight;
        row.draining |= beat.draining;
        row.ended |= beat.ended;
        row.used_at = beat.version.map(Version::from);
        row.kept = beat.kept.map(Version::from);
        row.secrets = beat.secrets.map(Version::from);
        row.told = beat.audit;
        let signed = |millis: u64| i64::try_from(millis).unwrap_or(i64::MAX);
        row.clock_ahead_ms = (beat.unix_millis > 0).then(|| signed(beat.unix_millis) - signed(unix_millis));
        row.tokens = beat.tokens.into_iter().take(TOKENS).collect();
        self.old_uses.take(&row.tokens, unix_millis);
        let uses = beat.keys.into_iter().take(USES).map(|one| (one.id.clone(), one)).collect();
        let before = std::mem::replace(&mut row.uses, uses);
        if row.past.len() < USES {
            let uses = &row.uses;
            row.past.extend(before.into_iter().filter(|(id, _)| !uses.contains_key(id)));
        }
    }

    /// What each was told of the audit log, as far as it said so.
    pub(super) fn told(&self) -> Vec<(String, AuditHead)> {
        let told = |(id, row): (&String, &Row)| Some((id.clone(), row.told.clone()?));
        self.rows.iter().filter_map(told).collect()
    }

    pub(super) fn applied(&mut self, id: &str, state: (Version, StateHash), took: Duration, now: Instant) {
        if let Some(row) = self.rows.get_mut(id) {
            (row.served, row.ack, row.refused) = (Some(state), Some(took), None);
            if row.acks.len() >= ACKS {
                row.acks.pop_front();
            }
            row.acks.push_back((state.0, now));
        }
    }

    pub(super) fn refused(&mut self, id: &str, version: Version, hash: StateHash, nack: Nack) {
        let Some(row) = self.rows.get_mut(id) else { return };
        let (mut field, mut reason) = (nack.field, nack.reason);
        shorten(&mut field);
        shorten(&mut reason);
        row.refused = Some(((version, hash), Refused { snapshot: version.to_string(), field, reason }));
    }

    /// What it cannot do that the newest state needs; absent = nothing.
    pub(super) fn lacks(&mut self, id: &str, feature: Option<String>) {
        if let Some(row) = self.rows.get_mut(id) {
            row.lacks = feature;
        }
    }

    /// Looks at what those who are connected cannot do that this state needs: who serves elsewhere has no stream here that would.
    pub(super) fn look_what_they_lack(&mut self, newest: &Push) {
        // Of one that is only remembered nothing is known.
        for row in self.rows.values_mut().filter(|row| row.link.is_some()) {
            row.lacks = lacks(&row.hello, newest);
        }
    }

    /// What it refused last, of which state.
    pub(super) fn refusal(&self, id: &str) -> Option<(StateHash, Nack)> {
        self.rows.get(id).and_then(Row::as_nack)
    }

    /// Who started that replica; empty = nobody, or it is not known.
    pub(super) fn supervisor(&self, id: &str) -> String {
        self.rows.get(id).map(|row| row.hello.supervisor.clone()).unwrap_or_default()
    }

    pub(super) fn draining(&mut self, id: &str) {
        if let Some(row) = self.rows.get_mut(id) {
            row.draining = true;
        }
    }

    /// The way to a connected replica.
    pub(super) fn link(&self, id: &str) -> Option<mpsc::Sender<Order>> {
        self.rows.get(id).and_then(|row| row.link.clone())
    }

    /// Whether a stream of that number is still the replica's own.
    pub(super) fn is_current(&self, id: &str, stream: u64) -> bool {
        self.rows.get(id).is_some_and(|row| row.stream == stream)
    }

    /// Connected replicas that talk, those that serve something first: whom to ask for a probe.
    pub(super) fn askable(&self, now: Instant) -> Vec<(String, mpsc::Sender<Order>)> {
        let talks = |row: &&Row| !row.draining && now.saturating_duration_since(row.heard) < SILENT_AFTER;
        let (ready, other): (Vec<_>, Vec<_>) =
            self.rows.values().filter(talks).partition(|row| row.served.is_some());
        let named = |row: &Row| Some((row.hello.id.clone(), row.link.clone()?));
        ready.into_iter().chain(other).filter_map(named).collect()
    }

    /// All replicas as the API shows them.
    pub(super) fn list(&self, newest: (Version, StateHash), now: Instant) -> Vec<Replica> {
        self.rows.values().map(|row| row.view(newest, now)).collect()
    }

    /// How many replicas are connected and serve at least that version.
    pub(super) fn serving(&self, version: Version) -> usize {
        let serves = |row: &&Row| row.link.is_some() && row.serving().is_some_and(|at| at >= version);
        self.rows.values().filter(serves).count()
    }

    /// What connected replicas made of one state.
    pub(super) fn answers(&self, version: Version, hash: StateHash) -> Answers {
        let refused = |row: &&Row| row.refused.as_ref().is_some_and(|((_, of), _)| *of == hash);
        let connected = || self.rows.values().filter(|row| row.link.is_some());
        Answers {
            connected: connected().count(),
            acked: self.serving(version),
            refused: connected().filter(refused).count(),
        }
    }
}

// === impl Row ===

impl Row {
    fn new(hello: Hello, link: Option<(u64, mpsc::Sender<Order>)>, now: Instant) -> Self {
        let (stream, link) = link.map_or((0, None), |(stream, link)| (stream, Some(link)));
        Self {
            hello,
            stream,
            link,
            draining: false,
            served: None,
            refused: None,
            lacks: None,
            secrets: None,
            since: now,
            heard: now,
            ack: None,
            in_flight: 0,
            requests: 0,
            counted: now,
            rps: 0.0,
            recorded: false,
            ended: false,
            used_at: None,
            uses: BTreeMap::new(),
            past: BTreeMap::new(),
            tokens: Vec::new(),
            kept: None,
            acks: VecDeque::new(),
            clock_ahead_ms: None,
            told: None,
        }
    }

    fn as_hello(&self) -> Hello {
        Hello {
            serving: self.serving().map(Version::into),
            kept: self.kept.map(Version::into),
            audit: self.told.clone(),
            ..self.hello.clone()
        }
    }

    fn as_beat(&self) -> Beat {
        Beat {
            version: self.used_at.map(Version::into),
            kept: self.kept.map(Version::into),
            requests_in_flight: self.in_flight,
            requests_total: self.requests,
            draining: self.draining,
            ended: self.ended,
            keys: self.uses.values().cloned().collect(),
            audit: self.told.clone(),
            tokens: self.tokens.clone(),
            ..Beat::default()
        }
    }

    fn as_nack(&self) -> Option<(StateHash, Nack)> {
        let ((version, hash), Refused { field, reason, .. }) = self.refused.clone()?;
        Some((hash, Nack { version: Some(version.into()), field, reason, resend: false }))
    }

    /// The same process on another stream goes on; another process starts anew, which closes the old one's books.
    fn go_on_from(&mut self, old: Self) {
        if old.hello.pid != self.hello.pid || old.hello.incarnation != self.hello.incarnation {
            return;
        }
        let serving = self.hello.serving.map(Version::from);
        self.served = old.served.filter(|(version, _)| Some(*version) == serving);
        (self.refused, self.draining) = (old.refused, old.draining);
        (self.requests, self.counted) = (old.requests, old.counted);
        (self.used_at, self.uses, self.acks) = (old.used_at, old.uses, old.acks);
        self.past = old.past;
        (self.tokens, self.since) = (old.tokens, old.since);
    }

    /// What it says to serve counts until it acknowledges something on this stream.
    fn serving(&self) -> Option<Version> {
        self.served.map(|(version, _)| version).or_else(|| self.hello.serving.map(Version::from))
    }
}

fn shorten(word: &mut String) {
    if word.len() > WORD_LIMIT {
        let end = (0..=WORD_LIMIT).rev().find(|end| word.is_char_boundary(*end)).unwrap_or(0);
        word.truncate(end);
    }
}

#[cfg(test)]
mod tests;
