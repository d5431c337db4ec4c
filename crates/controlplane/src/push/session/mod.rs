//! What one stream sends next. Pure: messages, the newest state and the time come in; frames and findings go out.
//! One state is under way at a time and only the newest is ever begun, so a slow replica skips versions instead of
//! queueing them. A replica that takes changes is sent what changed since the state that it holds; where that does not
//! fit, the whole, once. A state that a replica refused, or cannot read, is never sent to it.

use crate::push::{Base, Frames, Push, frame};
use bytes::Bytes;
use keyway_proto::{
    SCHEMA, feature,
    fleet::v1::{AuditHead, Beat, Hello, Nack, to_replica::Message},
};
use keyway_snapshot::{StateHash, Version};
use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

/// From the last frame of a state to its ACK or NACK; a replica that answers nothing for so long is hung up on.
pub const ANSWER_DEADLINE: Duration = Duration::from_secs(30);
/// From one frame of a state to the next; a replica that reads nothing for so long is hung up on.
const FRAME_DEADLINE: Duration = Duration::from_secs(30);
/// Orders (drain, probe) that wait for their turn on one stream.
const ORDER_LIMIT: usize = 16;

/// One replica's stream.
#[derive(Debug)]
pub struct Session {
    newest: Arc<Push>,
    peer: Peer,
    refused: Option<StateHash>,
    /// Something did not fit on this stream: only whole states are sent on it from then on.
    whole_only: bool,
    under_way: Option<UnderWay>,
    begun: Option<Begun>,
    orders: VecDeque<Bytes>,
    /// What is to be known beside the state; only the newest is ever sent.
    word: Option<Bytes>,
}

/// What a replica says of itself: what it serves, and what it can read.
#[derive(Debug, Clone, Default)]
pub struct Peer {
    serves: Option<Version>,
    /// Not known of a replica that takes no changes.
    hash: Option<StateHash>,
    schema: u32,
    features: BTreeSet<String>,
}

/// A state that was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begun {
    /// Everything, not what changed.
    pub whole: bool,
    /// Of resources and removals.
    pub bytes: u64,
}

#[derive(Debug)]
struct UnderWay {
    push: Arc<Push>,
    frames: Arc<Frames>,
    next: usize,
    begun: Instant,
    /// When its last frame so far went out.
    moved: Instant,
    /// All of it went out.
    sent: bool,
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
    /// What changed does not fit what it holds: it is sent the whole.
    Again {
        /// Which state.
        version: Version,
    },
    /// It answers what was not asked.
    Broken(&'static str),
}

// === impl Peer ===

impl From<&Hello> for Peer {
    fn from(hello: &Hello) -> Self {
        Self {
            serves: hello.serving.map(Version::from),
            hash: <[u8; 32]>::try_from(hello.state_hash.as_slice()).ok().map(StateHash),
            schema: hello.schema,
            features: hello.features.iter().cloned().collect(),
        }
    }
}

impl Peer {
    /// What it cannot do that this state needs.
    fn lacks(&self, push: &Push) -> Option<String> {
        lacking(self.schema, push, |need| self.features.contains(need))
    }

    fn base(&self) -> Option<Base> {
        let (version, hash) = self.serves.zip(self.hash)?;
        self.features.contains(feature::CHANGES).then_some(Base { version, hash })
    }
}

/// What a replica that says this of itself cannot do that a state needs.
pub(crate) fn lacks(hello: &Hello, push: &Push) -> Option<String> {
    lacking(hello.schema, push, |need| hello.features.iter().any(|feature| feature == need))
}

fn lacking(schema: u32, push: &Push, can: impl Fn(&str) -> bool) -> Option<String> {
    if schema < SCHEMA {
        return Some(format!("schema {SCHEMA}"));
    }
    push.needs().iter().find(|need| !can(need)).cloned()
}

// === impl Session ===

impl Session {
    /// A stream begins. Only a higher version than the replica says to serve is sent, or the same one where it is not the
    /// same state. `refused` is what the same process refused on an earlier stream.
    #[must_use]
    pub fn new(newest: Arc<Push>, peer: Peer, refused: Option<StateHash>) -> Self {
        let (under_way, begun, orders) = (None, None, VecDeque::new());
        Self { newest, peer, refused, whole_only: false, under_way, begun, orders, word: None }
    }

    /// There is a newer state.
    pub fn newest(&mut self, push: Arc<Push>) {
        self.newest = push;
    }

    /// What the replica cannot do that the newest state needs: it is not sent, and the replica stays at what it serves.
    #[must_use]
    pub fn lacks(&self) -> Option<String> {
        self.peer.lacks(&self.newest)
    }

    /// Whether the newest state is what the replica refused, under whichever version.
    #[must_use]
    pub fn refuses_newest(&self) -> bool {
        self.refused == Some(self.newest.hash)
    }

    /// The state that was begun last, once.
    pub fn begun(&mut self) -> Option<Begun> {
        self.begun.take()
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
    pub fn beat(&mut self, audit: Option<AuditHead>) {
        if self.orders.is_empty() && self.under_way.is_none() {
            let beat = Beat {
                version: Some(self.newest.version.into()),
                state_hash: self.newest.hash.0.to_vec(),
                audit,
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
            let push = Arc::clone(&self.newest);
            let frames = push.frames(self.peer.base().filter(|_| !self.whole_only));
            self.begun = Some(Begun { whole: frames.whole, bytes: frames.bytes });
            self.under_way = Some(UnderWay { push, frames, next: 0, begun: now, moved: now, sent: false });
        }
        let under_way = self.under_way.as_mut()?;
        let frame = under_way.frames.get(under_way.next)?.clone();
        under_way.next += 1;
        under_way.moved = now;
        under_way.sent = under_way.frames.get(under_way.next).is_none();
        Some(frame)
    }

    /// Orders that wait still, for a stream that is about to end.
    pub fn last_orders(&mut self) -> impl Iterator<Item = Bytes> {
        self.orders.drain(..)
    }

    /// Whether a call of [`Self::next_frame`] would give one.
    #[must_use]
    pub fn has_frame(&self) -> bool {
        let begun = self.under_way.as_ref().map(|under_way| !under_way.sent);
        !self.orders.is_empty() || self.word.is_some() || begun.unwrap_or_else(|| self.wants_newest())
    }

    /// The replica serves what it was sent.
    pub fn ack(&mut self, version: Version, hash: &[u8], now: Instant) -> Heard {
        match self.under_way.take_if(|under_way| under_way.push.version == version) {
            Some(UnderWay { sent: false, .. }) => Heard::Broken("acknowledged a state before its end"),
            Some(UnderWay { push, .. }) if push.hash.0 != *hash => Heard::Broken("acknowledged another hash"),
            Some(UnderWay { push, begun, .. }) => {
                (self.peer.serves, self.peer.hash) = (Some(version), Some(push.hash));
                Heard::Applied { version, hash: push.hash, took: now.saturating_duration_since(begun) }
            }
            None => Heard::Broken("acknowledged a state that is not under way"),
        }
    }

    /// The replica refused what it was sent, or is being sent.
    pub fn nack(&mut self, nack: &Nack) -> Heard {
        let version = nack.version.map(Version::from);
        match self.under_way.take_if(|under_way| Some(under_way.push.version) == version) {
            Some(UnderWay { push, frames, .. }) if nack.resend && !frames.whole => {
                self.whole_only = true;
                Heard::Again { version: push.version }
            }
            Some(UnderWay { push, .. }) => {
                self.refused = Some(push.hash);
                Heard::Refused { version: push.version, hash: push.hash }
            }
            None => Heard::Broken("refused a state that is not under way"),
        }
    }

    /// The replica's life sign says what it serves. Another state under the version that it acknowledged is replaced by
    /// the whole, once: a replica that goes on so is broken.
    ///
    /// # Errors
    /// It is.
    pub fn serves(&mut self, version: Option<Version>, hash: &[u8]) -> Result<(), &'static str> {
        let held = self.peer.hash.filter(|_| self.under_way.is_none() && version == self.peer.serves);
        if held.is_none_or(|held| hash.is_empty() || held.0 == *hash) {
            return Ok(());
        }
        if self.whole_only {
            return Err("serves another state than it acknowledged");
        }
        self.whole_only = true;
        self.peer.hash = <[u8; 32]>::try_from(hash).ok().map(StateHash);
        Ok(())
    }

    /// Whether an answer is owed for too long, or a state that was begun does not go out.
    #[must_use]
    pub fn overdue(&self, now: Instant) -> bool {
        self.under_way.as_ref().is_some_and(|under_way| {
            let deadline = if under_way.sent { ANSWER_DEADLINE } else { FRAME_DEADLINE };
            now.saturating_duration_since(under_way.moved) > deadline
        })
    }

    fn wants_newest(&self) -> bool {
        let newer = self.peer.serves.is_none_or(|served| served < self.newest.version);
        let differs = self.peer.serves == Some(self.newest.version)
            && self.peer.hash.is_some_and(|hash| hash != self.newest.hash);
        (newer || differs) && !self.refuses_newest() && self.lacks().is_none()
    }
}

#[cfg(test)]
mod tests;
