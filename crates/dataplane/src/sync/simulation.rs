//! A replica's side of the fleet stream for simulations: the session that a data plane runs, without its sockets, threads
//! and disk. No program uses it.

use super::{session::Session, trust::Trust};
use keyway_proto::fleet::v1::{Ack, from_replica, to_replica};
use keyway_snapshot::Snapshot;
use std::sync::Arc;

/// One process.
#[derive(Debug, Default)]
pub struct SimulatedReplica {
    serving: Option<Arc<Snapshot>>,
    session: Session,
    trust: Trust,
}

// === impl SimulatedReplica ===

impl SimulatedReplica {
    /// A process that starts with this from its disk.
    #[must_use]
    pub fn new(kept: Option<Arc<Snapshot>>) -> Self {
        Self { session: Session::new(kept.clone()), serving: kept, trust: Trust::default() }
    }

    /// A stream begins.
    pub fn connected(&mut self) {
        self.session = Session::new(self.serving.clone());
    }

    /// What it serves.
    #[must_use]
    pub fn serving(&self) -> Option<&Arc<Snapshot>> {
        self.serving.as_ref()
    }

    /// One message, and what is to be answered.
    pub fn hear(&mut self, message: to_replica::Message) -> Option<from_replica::Message> {
        let commit = match message {
            to_replica::Message::Begin(begin) => {
                self.session.begin(begin);
                return None;
            }
            to_replica::Message::Chunk(chunk) => {
                self.session.chunk(chunk);
                return None;
            }
            to_replica::Message::Commit(commit) => commit,
            _ => return None,
        };
        let built = self.session.commit(commit, &self.trust).and_then(|build| build.run());
        Some(match built {
            Ok(built) => {
                self.trust.keep(&built.signature.signer);
                self.session.serves(&built.snapshot);
                let (version, state_hash) = (built.snapshot.version, built.snapshot.hash.0.to_vec());
                self.serving = Some(built.snapshot);
                let version = Some(version.into());
                from_replica::Message::Ack(Ack { version, state_hash, apply_micros: 0 })
            }
            Err(nack) => from_replica::Message::Nack(nack),
        })
    }
}
