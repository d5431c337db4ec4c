//! What is known of each host's supervisor. Pure but for the map: time is passed in.
//!
//! A supervisor is believed about processes that it started: one that it proved gone has its books closed. It holds no keys
//! and has no books of its own.

pub(super) mod stream;
#[cfg(test)]
mod tests;
mod view;

pub use view::{Host, HostReplica, HostReplicaState, HostState};

use keyway_proto::fleet::v1::{EndedReplica, Hello, HostOrder, HostReport};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};
use tokio::sync::mpsc;

/// Hosts in the list, lost ones included.
const HOST_LIMIT: usize = 1024;
/// Replicas of one host that are listed: twice as many as it may keep, since old ones finish beside new ones.
const LISTED: usize = 128;

/// All hosts by name.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    rows: BTreeMap<String, Row>,
    streams: u64,
    /// Replicas that an operator wants there.
    wanted: BTreeMap<String, u32>,
}

#[derive(Debug)]
struct Row {
    hello: Hello,
    report: HostReport,
    stream: u64,
    link: Option<mpsc::Sender<HostOrder>>,
    heard: Instant,
    /// Nothing was reported on this stream yet.
    is_new: bool,
}

// === impl Hosts ===

impl Hosts {
    /// A supervisor says hello: gives the number of its stream; `None` = the list is full.
    pub(super) fn hello(&mut self, hello: Hello, link: mpsc::Sender<HostOrder>, now: Instant) -> Option<u64> {
        let name = hello.supervisor.clone();
        if self.rows.len() >= HOST_LIMIT && !self.rows.contains_key(&name) {
            return None;
        }
        self.streams += 1;
        let before = self.rows.remove(&name).map(|row| row.report).unwrap_or_default();
        let (stream, link) = (self.streams, Some(link));
        let row = Row { hello, report: before, stream, link, heard: now, is_new: true };
        self.rows.insert(name, row);
        Some(self.streams)
    }

    /// What it does; gives the processes that it proved gone. `None`: the stream is not its own any more.
    pub(super) fn report(
        &mut self,
        name: &str,
        stream: u64,
        mut report: HostReport,
        now: Instant,
    ) -> Option<Vec<EndedReplica>> {
        let row = self.rows.get_mut(name).filter(|row| row.stream == stream)?;
        report.replicas.truncate(LISTED);
        report.ended.truncate(LISTED);
        let ended = report.ended.clone();
        // A number that it keeps already is not said again: replicas that were drained would come back with it.
        let wanted = self.wanted.get(name).filter(|wanted| **wanted != report.wanted);
        if let Some(replicas) = wanted.filter(|_| row.is_new) {
            row.order(HostOrder { replicas: *replicas, upgrade: false });
        }
        (row.report, row.heard, row.is_new) = (report, now, false);
        Some(ended)
    }

    /// A stream ended. A supervisor that keeps nothing any more leaves the list; any other is away.
    pub(super) fn ended(&mut self, name: &str, stream: u64, now: Instant) {
        let Some(row) = self.rows.get_mut(name).filter(|row| row.stream == stream) else { return };
        if row.report.replicas.is_empty() {
            self.rows.remove(name);
        } else {
            (row.link, row.heard) = (None, now);
        }
    }

    /// Every supervisor that is connected: its stream's number, its hello and its newest report.
    pub(super) fn connected(&self) -> Vec<(u64, Hello, HostReport)> {
        let connected = self.rows.values().filter(|row| row.link.is_some());
        connected.map(|row| (row.stream, row.hello.clone(), row.report.clone())).collect()
    }

    /// Whether that supervisor is there to reap what it started.
    pub(super) fn is_connected(&self, name: &str) -> bool {
        self.rows.get(name).is_some_and(|row| row.link.is_some())
    }

    /// From now on so many replicas on these hosts; whoever is there is told what has changed.
    pub(super) fn want(&mut self, wanted: BTreeMap<String, u32>) {
        let before = std::mem::replace(&mut self.wanted, wanted);
        for (name, replicas) in &self.wanted {
            if let Some(row) = self.rows.get(name).filter(|_| before.get(name) != Some(replicas)) {
                row.order(HostOrder { replicas: *replicas, upgrade: false });
            }
        }
    }

    /// Tells a supervisor something. `false`: it is not there, or takes no orders.
    pub(super) fn order(&self, name: &str, order: HostOrder) -> bool {
        self.rows.get(name).is_some_and(|row| row.order(order))
    }

    /// All hosts as the API shows them.
    pub(super) fn list(&self, now: Instant) -> Vec<Host> {
        let lost = |name: &&String| !self.rows.contains_key(*name);
        let names: BTreeSet<&String> = self.rows.keys().chain(self.wanted.keys().filter(lost)).collect();
        let view = |name: &String| Host::of(name, self.rows.get(name), self.wanted.get(name).copied(), now);
        names.into_iter().map(view).collect()
    }
}

// === impl Row ===

impl Row {
    fn order(&self, order: HostOrder) -> bool {
        self.link.as_ref().is_some_and(|link| link.try_send(order).is_ok())
    }
}
