//! What a control plane knows of its replicas, for simulations: the registry and how a stream's messages are taken, without
//! sockets and clock. No program uses it.

use super::{Evidence, registry::Registry};
use crate::{
    push::{Heard, Session},
    resource::ReplicaDocument,
};
use keyway_proto::fleet::v1::{FromReplica, Hello, from_replica};
use keyway_snapshot::{StateHash, Version};
use std::time::Instant;
use tokio::sync::mpsc;

/// What is known of each replica.
#[derive(Debug, Default)]
pub struct Books(Registry);

/// A replica that was let in.
#[derive(Debug, Clone, Copy)]
pub struct Entered {
    /// Names its stream.
    pub stream: u64,
    /// What the same process refused last.
    pub refused: Option<StateHash>,
}

// === impl Books ===

impl Books {
    /// A replica that an earlier life knew.
    pub fn remember(&mut self, id: &str, now: Instant) {
        let document = ReplicaDocument { host: String::new(), supervisor: String::new(), evicted: false };
        self.0.remember(id, &document, now);
    }

    /// A replica says hello; `None`: it is not let in.
    pub fn hello(&mut self, hello: Hello, now: Instant) -> Option<Entered> {
        // Nobody sends it orders here.
        let (link, _orders) = mpsc::channel(1);
        let known = self.0.hello(hello, link, now).ok()?;
        Some(Entered { stream: known.stream, refused: known.refused })
    }

    /// One message of a replica, as its stream takes it.
    ///
    /// # Errors
    /// Why the stream is to end.
    pub fn hear(
        &mut self,
        id: &str,
        session: &mut Session,
        message: FromReplica,
        (now, unix_millis): (Instant, u64),
    ) -> Result<(), &'static str> {
        use from_replica::Message;
        self.0.heard(id, now);
        let heard = match message.message.ok_or("an empty message")? {
            Message::Hello(_) => return Err("a second Hello"),
            Message::Beat(beat) => {
                session.serves(beat.version.map(Version::from), &beat.state_hash)?;
                self.0.beat(id, beat, now, unix_millis);
                return Ok(());
            }
            Message::Ack(ack) => {
                session.ack(ack.version.map(Version::from).unwrap_or_default(), &ack.state_hash, now)
            }
            Message::Nack(nack) => {
                let heard = session.nack(&nack);
                if let Heard::Refused { version, hash } = heard {
                    self.0.refused(id, version, hash, nack);
                }
                heard
            }
            _ => return Ok(()),
        };
        match heard {
            Heard::Applied { version, hash, took } => self.0.applied(id, (version, hash), took, now),
            Heard::Refused { .. } | Heard::Again { .. } => {}
            Heard::Broken(why) => return Err(why),
        }
        Ok(())
    }

    /// A stream ended.
    pub fn ended(&mut self, id: &str, stream: u64, now: Instant) {
        self.0.ended(id, stream, false, now);
    }

    /// Whether a stream is still its replica's own.
    #[must_use]
    pub fn is_current(&self, id: &str, stream: u64) -> bool {
        self.0.is_current(id, stream)
    }

    pub(crate) fn evidence(&self, epoch: u64, now: Instant) -> Vec<Evidence> {
        self.0.evidence(epoch, now)
    }
}
