//! Who may hold secrets: whose books are open, what the store remembers of it, and by what word or proof books are closed.

use super::{Lease, Registry, Row};
use crate::resource::ReplicaDocument;
use keyway_proto::fleet::v1::Hello;
use keyway_snapshot::Version;
use std::time::Instant;

/// A replica whose books are open.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) id: String,
    pub(crate) host: String,
    /// Who started it; empty = nobody.
    pub(crate) supervisor: String,
    /// Its document is written.
    pub(crate) recorded: bool,
}

// === impl Registry ===

impl Registry {
    /// A replica that an earlier life of the control plane knew.
    pub(in crate::fleet) fn remember(&mut self, id: &str, document: &ReplicaDocument, now: Instant) {
        if document.evicted {
            self.evicted.insert(id.to_owned());
            return;
        }
        let (host, supervisor) = (document.host.clone(), document.supervisor.clone());
        let hello = Hello { id: id.to_owned(), host, supervisor, ..Hello::default() };
        let mut row = Row::new(hello, None, now);
        row.recorded = true;
        self.rows.insert(id.to_owned(), row);
    }

    /// Its document is written, whoever wrote it.
    pub(in crate::fleet) fn known(&mut self, id: &str, replica: &ReplicaDocument, now: Instant) {
        match self.rows.get_mut(id) {
            Some(row) => row.recorded = true,
            None => self.remember(id, replica, now),
        }
    }

    /// Its document is gone: its books are closed, unless it is connected here.
    pub(in crate::fleet) fn unknown(&mut self, id: &str) {
        match self.rows.get_mut(id) {
            Some(row) if row.link.is_some() => row.recorded = false,
            _ => drop(self.rows.remove(id)),
        }
    }

    /// What time passed before does not count against one that is not connected here.
    pub(in crate::fleet) fn begin_anew(&mut self, id: &str, now: Instant) {
        if let Some(row) = self.rows.get_mut(id).filter(|row| row.link.is_none()) {
            row.heard = now;
        }
    }

    /// Their documents are written.
    pub(in crate::fleet) fn recorded(&mut self, ids: &[String]) {
        for id in ids {
            if let Some(row) = self.rows.get_mut(id) {
                row.recorded = true;
            }
        }
    }

    /// Every replica whose books are open.
    pub(in crate::fleet) fn members(&self) -> impl Iterator<Item = Member> {
        self.rows.values().map(|row| Member {
            id: row.hello.id.clone(),
            host: row.hello.host.clone(),
            supervisor: row.hello.supervisor.clone(),
            recorded: row.recorded,
        })
    }

    /// Whether its document is written.
    pub(in crate::fleet) fn is_recorded(&self, id: &str) -> bool {
        self.rows.get(id).is_some_and(|row| row.recorded)
    }

    /// Its books are closed by an operator's word, and it may not come back. `false`: it is not known.
    pub(in crate::fleet) fn evict(&mut self, id: &str) -> bool {
        self.evicted.insert(id.to_owned());
        self.rows.remove(id).is_some()
    }

    /// Whether an operator evicted it.
    pub(in crate::fleet) fn is_evicted(&self, id: &str) -> bool {
        self.evicted.contains(id)
    }

    /// How long secrets are used without word from here by states after `version`. A replica goes by the state that it holds,
    /// so a shorter lease says nothing of those that have not taken it over.
    pub(in crate::fleet) fn set_lease(&mut self, lease: Lease, version: Version) {
        if let Some(before) = self.lease.replace(lease).filter(|before| is_longer(*before, lease)) {
            let longest = self.longer.map(|(_, longer)| longer).filter(|longer| is_longer(*longer, before));
            self.longer = Some((version, longest.unwrap_or(before)));
        }
    }

    /// The lease that a replica may go by.
    fn lease_of(&self, row: &Row) -> Lease {
        let now = self.lease.flatten();
        let longer =
            self.longer.filter(|(version, _)| row.serving().is_none_or(|serving| serving <= *version));
        longer.map(|(_, longer)| longer).filter(|longer| is_longer(*longer, now)).unwrap_or(now)
    }

    /// A stream ended. A replica that said that it has ended leaves the list unless somebody will reap it; any other is
    /// lost, and what it may hold stays in the books.
    pub(in crate::fleet) fn ended(&mut self, id: &str, stream: u64, is_reaped: bool, now: Instant) {
        let Some(row) = self.rows.get_mut(id).filter(|row| row.stream == stream) else { return };
        if row.ended && !is_reaped {
            self.rows.remove(id);
        } else {
            (row.link, row.heard) = (None, now);
            (row.in_flight, row.rps) = (0, 0.0);
        }
    }

    /// Its supervisor proved that its process is gone: it leaves the list. `false`: it is another's, or another process
    /// runs under its name by now.
    pub(in crate::fleet) fn reaped(&mut self, supervisor: &str, id: &str, pid: u32) -> bool {
        let is_meant =
            |row: &Row| row.hello.supervisor == supervisor && (row.link.is_none() || row.hello.pid == pid);
        let known = self.rows.get(id).is_some_and(is_meant);
        known && self.rows.remove(id).is_some()
    }

    /// Takes those off the list that said that they have ended and have nobody to reap them.
    pub(in crate::fleet) fn close_ended(&mut self, is_there: impl Fn(&str) -> bool) {
        let is_over = |row: &Row| row.ended && row.link.is_none() && !is_there(&row.hello.supervisor);
        self.rows.retain(|_, row| !is_over(row));
    }

    /// Whoever was not heard for a whole lease does not use what it holds any more. `true`: some left the list.
    pub(in crate::fleet) fn close_books(&mut self, now: Instant) -> bool {
        let owes = |row: &Row| {
            let is_leased = |lease| now.saturating_duration_since(row.heard) < lease;
            row.link.is_some() || self.lease_of(row).is_none_or(is_leased)
        };
        let over: Vec<String> =
            self.rows.iter().filter(|(_, row)| !owes(row)).map(|(id, _)| id.clone()).collect();
        for id in &over {
            self.rows.remove(id);
        }
        !over.is_empty()
    }
}

fn is_longer(one: Lease, other: Lease) -> bool {
    other.is_some_and(|other| one.is_none_or(|one| one > other))
}
