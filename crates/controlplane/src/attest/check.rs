//! Whether the statements that stand in a log hold of it, record by record. Pure.

use super::{ACTION, Attestation, Statement};
use crate::{
    hex::{hex, unhex},
    store::{Entry, Revision},
};
use std::collections::VecDeque;

/// A statement names one of so many records before its own: few are written between its making and its place.
const RECENT: usize = 4096;

/// What is wrong with a statement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It is none.
    #[error("it is no signed statement of an audit log")]
    Text,
    /// It names another key than was given, or than those before it.
    #[error("another key signed it")]
    OtherKey,
    /// Its text is not what was signed.
    #[error("its signature does not fit its text, which was changed or signed with another key")]
    Signature,
    /// It is of another log.
    #[error("it is of the log of another cluster, {0}")]
    OtherCluster(String),
    /// The log has something else there.
    #[error("it says that record {revision} has the hash {said}, and the log has {found}")]
    OtherRecord {
        /// Which.
        revision: Revision,
        /// By the statement.
        said: String,
        /// In the log.
        found: String,
    },
}

/// What statements say of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attested {
    /// How many stand in it.
    pub statements: u64,
    /// The last record that one of them is about; 0 = none.
    pub revision: Revision,
    /// When that one was made, milliseconds since 1970.
    pub at: u64,
    /// Who signed them, hex; empty = there is none.
    pub public_key: String,
}

/// Reads a log, oldest record first.
#[derive(Debug)]
pub struct Check {
    cluster: String,
    key: Option<Vec<u8>>,
    recent: VecDeque<(Revision, [u8; 32])>,
    wanted: Option<Statement>,
    attested: Attested,
}

// === impl Check ===

impl Check {
    /// Of that cluster's log; without a key the one that the first statement names is taken for all.
    #[must_use]
    pub fn new(cluster: &str, key: Option<Vec<u8>>) -> Self {
        let recent = VecDeque::with_capacity(RECENT);
        Self { cluster: cluster.to_owned(), key, recent, wanted: None, attested: Attested::default() }
    }

    /// One that was kept elsewhere has to hold of it too: [`Self::is_met`] says whether it was reached.
    #[must_use]
    pub fn wanting(self, wanted: Option<Statement>) -> Self {
        Self { wanted, ..self }
    }

    /// The log's own first record says whose it is.
    pub(crate) fn of_cluster(&mut self, cluster: &str) {
        cluster.clone_into(&mut self.cluster);
    }

    /// Takes the next record.
    ///
    /// # Errors
    /// When it holds a statement that does not hold, or is not what was said of it elsewhere.
    pub fn next(&mut self, (revision, hash): (Revision, [u8; 32]), entry: &Entry) -> Result<(), Unfit> {
        if entry.action == ACTION {
            self.statement(entry)?;
        }
        if let Some(wanted) = self.wanted.take_if(|wanted| wanted.revision == revision) {
            self.same(&wanted, hash)?;
        }
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back((revision, hash));
        Ok(())
    }

    /// What was wanted and was not reached: the log ends before it.
    #[must_use]
    pub fn is_met(&self) -> Option<&Statement> {
        self.wanted.as_ref()
    }

    /// What the statements that were read say.
    #[must_use]
    pub fn attested(self) -> Attested {
        self.attested
    }

    fn statement(&mut self, entry: &Entry) -> Result<(), Unfit> {
        let attestation: Attestation =
            serde_json::from_value(entry.detail.clone()).map_err(|_| Unfit::Text)?;
        let said = attestation.read(self.key.as_deref())?;
        let found = self.recent.iter().rev().find(|(revision, _)| *revision == said.revision);
        self.same(&said, found.map_or([0; 32], |(_, hash)| *hash))?;
        if self.key.is_none() {
            self.key = unhex(&attestation.public_key);
        }
        self.attested.statements += 1;
        self.attested.public_key = attestation.public_key;
        (self.attested.revision, self.attested.at) = (said.revision, said.at);
        Ok(())
    }

    fn same(&self, said: &Statement, found: [u8; 32]) -> Result<(), Unfit> {
        if said.cluster != self.cluster {
            return Err(Unfit::OtherCluster(said.cluster.clone()));
        }
        let found = hex(&found);
        if said.head == found {
            return Ok(());
        }
        Err(Unfit::OtherRecord { revision: said.revision, said: said.head.clone(), found })
    }
}
