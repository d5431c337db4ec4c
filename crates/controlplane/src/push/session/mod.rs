//! What one stream sends next. Pure: messages, the newest state and the time come in; frames and findings go out.
//! One state is under way at a time and only the newest is ever begun, so a slow replica skips versions instead of
//! queueing them. A state that a replica refused is never sent to it again.

use crate::push::{Push, frame};
use bytes::Bytes;
use keyway_proto::fleet::v1::{Beat, Nack, to_replica::Message};
use keyway_snapshot::{StateHash, Version};
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

/// From the last frame of a state to its ACK or NACK; a replica that answers nothing for so long is hung up on.
pub const ANSWER_DEADLINE: Duration = Duration::from_secs(30);
/// Orders (drain, probe) that wait for their turn on one stream.
const ORDER_LIMIT: usize = 16;

/// One replica's stream.
#[derive(Debug)]
pub struct Session {
    newest: Arc<Push>,
    served: Option<Version>,
    refused: Option<StateHash>,
    under_way: Option<UnderWay>,
    orders: VecDeque<Bytes>,
    /// What is to be known beside the state; only the newest is ever sent.
    word: Option<Bytes>,
}

#[derive(Debug)]
struct UnderWay {
    push: Arc<Push>,
    next: usize,
    begun: Instant,
    sent: Option<Instant>,
}

/// What an answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// It serves this state; from the first frame sent to the ACK.
    Applied {
        /// Which state.
        version: Version,
        /// Its hash.
        hash: StateHash,
        /// How long it took, the way back included.
        took: Duration,
    },
    /// It refused this state whole.
    Refused {
        /// Which state.
        version: Version,
        /// Its hash, never to be sent to this replica again.
        hash: StateHash,
    },
    /// It answers what was not asked.
    Broken(&'static str),
}

// === impl Session ===

impl Session {
    /// A stream begins. `served` is the version that the replica says to serve: only a higher one is sent. `refused` is
    /// what the same process refused on an earlier stream.
    #[must_use]
    pub fn new(newest: Arc<Push>, served: Option<Version>, refused: Option<StateHash>) -> Self {
        Self { newest, served, refused, under_way: None, orders: VecDeque::new(), word: None }
    }

    /// There is a newer state.
    pub fn newest(&mut self, push: Arc<Push>) {
        self.newest = push;
    }

    /// Puts an order before whatever state is under way. False: too many wait already.
    #[must_use]
    pub fn order(&mut self, message: Message) -> bool {
        let fits = self.orders.len() < ORDER_LIMIT;
        if fits {
            self.orders.push_back(frame(message));
        }
        fits
    }

    /// Puts a frame that is no part of any state before it, in place of an older one that still waits.
    pub fn word(&mut self, frame: Bytes) {
        self.word = Some(frame);
    }

    /// The control plane's life sign, once a second. Left out while the stream does not move: it would only queue.
    pub fn beat(&mut self) {
        if self.orders.is_empty() && self.under_way.is_none() {
            let beat = Beat {
                version: Some(self.newest.version.into()),
                state_hash: self.newest.hash.0.to_vec(),
                ..Beat::default()
            };
            self.orders.push_back(frame(Message::Beat(beat)));
        }
    }

    /// The next frame, when the stream has room for one.
    pub fn next_frame(&mut self, now: Instant) -> Option<Bytes> {
        if let Some(order) = self.orders.pop_front().or_else(|| self.word.take()) {
            return Some(order);
        }
        if self.under_way.is_none() && self.wants_newest() {
            self.under_way =
                Some(UnderWay { push: Arc::clone(&self.newest), next: 0, begun: now, sent: None });
        }
        let under_way = self.under_way.as_mut()?;
        let frame = under_way.push.frame(under_way.next)?.clone();
        under_way.next += 1;
        if under_way.push.frame(under_way.next).is_none() {
            under_way.sent = Some(now);
        }
        Some(frame)
    }

    /// Whether a call of [`Self::next_frame`] would give one.
    #[must_use]
    pub fn has_frame(&self) -> bool {
        let begun = self.under_way.as_ref().map(|under_way| under_way.sent.is_none());
        !self.orders.is_empty() || self.word.is_some() || begun.unwrap_or_else(|| self.wants_newest())
    }

    /// The replica serves what it was sent.
    pub fn ack(&mut self, version: Version, hash: &[u8], now: Instant) -> Heard {
        match self.under_way.take_if(|under_way| under_way.push.version == version) {
            Some(UnderWay { sent: None, .. }) => Heard::Broken("acknowledged a state before its end"),
            Some(UnderWay { push, .. }) if push.hash.0 != *hash => Heard::Broken("acknowledged another hash"),
            Some(UnderWay { push, begun, .. }) => {
                self.served = Some(version);
                Heard::Applied { version, hash: push.hash, took: now.saturating_duration_since(begun) }
            }
            None => Heard::Broken("acknowledged a state that is not under way"),
        }
    }

    /// The replica refused what it was sent, or is being sent.
    pub fn nack(&mut self, nack: &Nack) -> Heard {
        let version = nack.version.map(Version::from);
        match self.under_way.take_if(|under_way| Some(under_way.push.version) == version) {
            Some(UnderWay { push, .. }) => {
                self.refused = Some(push.hash);
                Heard::Refused { version: push.version, hash: push.hash }
            }
            None => Heard::Broken("refused a state that is not under way"),
        }
    }

    /// Whether an answer is owed for too long.
    #[must_use]
    pub fn overdue(&self, now: Instant) -> bool {
        let sent = self.under_way.as_ref().and_then(|under_way| under_way.sent);
        sent.is_some_and(|sent| now.saturating_duration_since(sent) > ANSWER_DEADLINE)
    }

    fn wants_newest(&self) -> bool {
        self.served.is_none_or(|served| served < self.newest.version)
            && self.refused != Some(self.newest.hash)
    }
}

#[cfg(test)]
mod tests;
