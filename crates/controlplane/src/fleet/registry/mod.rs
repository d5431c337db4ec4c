//! What is known of each replica. Pure but for the map: time is passed in. Rows are written by the replica's own
//! stream and read by the admin API.

use super::Order;
use crate::observe::Answers;
use keyway_proto::fleet::v1::{Beat, Hello, Nack};
use keyway_snapshot::{StateHash, Version};
use schemars::JsonSchema;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

/// A replica that said nothing for so long is silent; it beats once a second.
pub(super) const SILENT_AFTER: Duration = Duration::from_secs(3);
/// A lost replica leaves the list after this time.
pub(super) const LOST_KEPT: Duration = Duration::from_secs(3600);
/// Replicas in the list, lost ones included.
pub(super) const REPLICA_LIMIT: usize = 4096;
/// Bytes of a replica's words (id, host, addresses, reasons) that are kept.
const WORD_LIMIT: usize = 512;

/// What a replica is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReplicaState {
    /// Takes in its first state, or a newer one.
    Syncing,
    /// Serves the newest state.
    Ready,
    /// Refused the newest state and serves the one before.
    Rejected,
    /// Connected, but said nothing for three seconds.
    Silent,
    /// Finishes what runs.
    Draining,
    /// Its stream ended without a drain.
    Lost,
}

/// One replica as the admin API shows it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Replica {
    /// Unique among running replicas.
    pub id: String,
    /// Where it runs.
    pub host: String,
    /// Its process.
    pub pid: u32,
    /// What it is doing.
    pub state: ReplicaState,
    /// The state that it serves, `epoch.counter`; absent = none yet.
    pub snapshot: Option<String>,
    /// Versions that it is behind.
    pub lag: u64,
    /// Requests that it is answering.
    pub in_flight: u64,
    /// Requests a second between its last two beats.
    pub rps: f64,
    /// Requests since its start.
    pub requests: u64,
    /// Of the program.
    pub version: String,
    /// Where it answers callers.
    pub listen: String,
    /// Where its health and metrics are.
    pub ops_listen: String,
    /// Milliseconds since it last said anything.
    pub last_heard_ms: u64,
    /// From its last state's first frame to its answer, microseconds; absent = it acknowledged none on this stream.
    pub ack_micros: Option<u64>,
    /// What it refused last; absent = nothing.
    pub refused: Option<Refused>,
}

/// A state that a replica refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Refused {
    /// Which state.
    pub snapshot: String,
    /// Where in it.
    pub field: String,
    /// Why.
    pub reason: String,
}

#[derive(Debug)]
struct Row {
    hello: Hello,
    /// Counts the streams that this replica opened: an old stream's end says nothing of the new one.
    stream: u64,
    link: Option<mpsc::Sender<Order>>,
    draining: bool,
    served: Option<(Version, StateHash)>,
    refused: Option<(StateHash, Refused)>,
    heard: Instant,
    ack: Option<Duration>,
    in_flight: u64,
    requests: u64,
    counted: Instant,
    rps: f64,
}

/// All replicas by id.
#[derive(Debug, Default)]
pub(super) struct Registry {
    rows: BTreeMap<String, Row>,
    streams: u64,
    /// Whoever started the replicas reaps them, and says so by `forget`.
    supervised: bool,
}

/// What is known of a replica that says hello.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    /// Names its stream.
    pub(super) stream: u64,
    /// What the same process refused last.
    pub(super) refused: Option<StateHash>,
}

// === impl Registry ===

impl Registry {
    /// A replica says hello. `None`: the list is full.
    pub(super) fn hello(
        &mut self,
        mut hello: Hello,
        link: mpsc::Sender<Order>,
        now: Instant,
    ) -> Option<Known> {
        self.forget_lost(now);
        if self.rows.len() >= REPLICA_LIMIT && !self.rows.contains_key(&hello.id) {
            return None;
        }
        for word in
            [&mut hello.id, &mut hello.host, &mut hello.build, &mut hello.listen, &mut hello.ops_listen]
        {
            shorten(word);
        }
        self.streams += 1;
        let stream = self.streams;
        let mut row = Row::new(hello, stream, link, now);
        if let Some(old) = self.rows.remove(&row.hello.id).filter(|old| old.hello.pid == row.hello.pid) {
            let serving = row.hello.serving.map(Version::from);
            row.served = old.served.filter(|(version, _)| Some(*version) == serving);
            (row.refused, row.draining) = (old.refused, old.draining);
            (row.requests, row.counted) = (old.requests, old.counted);
        }
        let known = Known { stream, refused: row.refused.as_ref().map(|(hash, _)| *hash) };
        self.rows.insert(row.hello.id.clone(), row);
        Some(known)
    }

    /// Any message came.
    pub(super) fn heard(&mut self, id: &str, now: Instant) {
        if let Some(row) = self.rows.get_mut(id) {
            row.heard = now;
        }
    }

    pub(super) fn beat(&mut self, id: &str, beat: &Beat, now: Instant) {
        let Some(row) = self.rows.get_mut(id) else { return };
        let seconds = now.saturating_duration_since(row.counted).as_secs_f64();
        if seconds > 0.0 {
            let count = u32::try_from(beat.requests_total.saturating_sub(row.requests)).unwrap_or(u32::MAX);
            row.rps = f64::from(count) / seconds;
        }
        (row.requests, row.counted) = (beat.requests_total, now);
        row.in_flight = beat.requests_in_flight;
        row.draining |= beat.draining;
    }

    pub(super) fn applied(&mut self, id: &str, state: (Version, StateHash), took: Duration) {
        if let Some(row) = self.rows.get_mut(id) {
            (row.served, row.ack, row.refused) = (Some(state), Some(took), None);
        }
    }

    pub(super) fn refused(&mut self, id: &str, version: Version, hash: StateHash, nack: Nack) {
        let Some(row) = self.rows.get_mut(id) else { return };
        let (mut field, mut reason) = (nack.field, nack.reason);
        shorten(&mut field);
        shorten(&mut reason);
        row.refused = Some((hash, Refused { snapshot: version.to_string(), field, reason }));
    }

    /// From now on a drained replica stays in the list until its process is proven ended.
    pub(super) fn supervise(&mut self) {
        self.supervised = true;
    }

    /// A stream ended. A drained replica leaves the list unless somebody will reap it, any other is lost.
    pub(super) fn ended(&mut self, id: &str, stream: u64, now: Instant) {
        let Some(row) = self.rows.get_mut(id).filter(|row| row.stream == stream) else { return };
        if row.draining && !self.supervised {
            self.rows.remove(id);
        } else {
            (row.link, row.heard) = (None, now);
            (row.in_flight, row.rps) = (0, 0.0);
        }
    }

    /// Its process is proven ended: it leaves the list.
    pub(super) fn forget(&mut self, id: &str) -> bool {
        self.rows.remove(id).is_some()
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
    pub(super) fn askable(&self, now: Instant) -> Vec<mpsc::Sender<Order>> {
        let talks = |row: &&Row| !row.draining && now.saturating_duration_since(row.heard) < SILENT_AFTER;
        let (ready, other): (Vec<_>, Vec<_>) =
            self.rows.values().filter(talks).partition(|row| row.served.is_some());
        ready.into_iter().chain(other).filter_map(|row| row.link.clone()).collect()
    }

    /// All replicas as the API shows them.
    pub(super) fn list(&self, newest: (Version, StateHash), now: Instant) -> Vec<Replica> {
        let kept = |row: &&Row| row.link.is_some() || now.saturating_duration_since(row.heard) < LOST_KEPT;
        self.rows.values().filter(kept).map(|row| row.view(newest, now)).collect()
    }

    /// How many replicas are connected and serve at least that version.
    pub(super) fn serving(&self, version: Version) -> usize {
        let serves =
            |row: &&Row| row.link.is_some() && row.served.is_some_and(|(served, _)| served >= version);
        self.rows.values().filter(serves).count()
    }

    /// What connected replicas made of one state.
    pub(super) fn answers(&self, version: Version, hash: StateHash) -> Answers {
        let refused = |row: &&Row| row.refused.as_ref().is_some_and(|(of, _)| *of == hash);
        let connected = || self.rows.values().filter(|row| row.link.is_some());
        Answers {
            connected: connected().count(),
            acked: self.serving(version),
            refused: connected().filter(refused).count(),
        }
    }

    fn forget_lost(&mut self, now: Instant) {
        self.rows.retain(|_, row| row.link.is_some() || now.saturating_duration_since(row.heard) < LOST_KEPT);
    }
}

// === impl Row ===

impl Row {
    fn new(hello: Hello, stream: u64, link: mpsc::Sender<Order>, now: Instant) -> Self {
        Self {
            hello,
            stream,
            link: Some(link),
            draining: false,
            served: None,
            refused: None,
            heard: now,
            ack: None,
            in_flight: 0,
            requests: 0,
            counted: now,
            rps: 0.0,
        }
    }

    fn state(&self, newest: (Version, StateHash), now: Instant) -> ReplicaState {
        if self.draining {
            // Without a link too: its process is still to be reaped.
            ReplicaState::Draining
        } else if self.link.is_none() {
            ReplicaState::Lost
        } else if now.saturating_duration_since(self.heard) >= SILENT_AFTER {
            ReplicaState::Silent
        } else if self.refused.as_ref().is_some_and(|(hash, _)| *hash == newest.1) {
            ReplicaState::Rejected
        } else if self.served.is_some_and(|(version, _)| version >= newest.0) {
            ReplicaState::Ready
        } else {
            ReplicaState::Syncing
        }
    }

    fn view(&self, newest: (Version, StateHash), now: Instant) -> Replica {
        let hello = &self.hello;
        // What it says to serve counts until it acknowledges something on this stream.
        let serving = self.served.map(|(version, _)| version).or_else(|| hello.serving.map(Version::from));
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Replica {
            id: hello.id.clone(),
            host: hello.host.clone(),
            pid: hello.pid,
            state: self.state(newest, now),
            snapshot: serving.map(|version| version.to_string()),
            lag: newest.0.counter.saturating_sub(serving.map_or(0, |version| version.counter)),
            in_flight: self.in_flight,
            rps: (self.rps * 10.0).round() / 10.0,
            requests: self.requests,
            version: hello.build.clone(),
            listen: hello.listen.clone(),
            ops_listen: hello.ops_listen.clone(),
            last_heard_ms: micros(now.saturating_duration_since(self.heard)) / 1000,
            ack_micros: self.ack.map(micros),
            refused: self.refused.as_ref().map(|(_, refused)| refused.clone()),
        }
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
