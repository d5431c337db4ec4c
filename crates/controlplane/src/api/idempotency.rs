//! The same request sent twice is done once: what is under way, and answers of the last minutes as they were given. Bounded in
//! number, bytes and time, and in memory; what a restart must not forget is `once`'s.

use super::answer::{Answer, Fault};
use http::StatusCode;
use parking_lot::Mutex;
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

/// Answers that are kept.
const ENTRY_LIMIT: usize = 1024;
/// Bytes of all answers that are kept; the oldest go first, and a larger one is not kept.
const BYTE_LIMIT: usize = 4 << 20;
/// How long one is kept.
const KEPT: Duration = Duration::from_secs(600);
/// Bytes of a caller's key.
pub(super) const KEY_LIMIT: usize = 255;

/// Which request: method, path, query and key together.
pub(super) type RequestKey = blake3::Hash;

#[derive(Debug, Default)]
pub(super) struct Kept {
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    entries: HashMap<RequestKey, Entry>,
    /// Those that are done, oldest first.
    order: VecDeque<(RequestKey, Instant)>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    body: blake3::Hash,
    /// `None` while it is under way.
    answer: Option<Answer>,
}

/// A request that is under way; forgotten unless it is finished.
#[derive(Debug)]
pub(super) struct UnderWay {
    kept: Arc<Kept>,
    key: RequestKey,
}

/// What to do with a request that has a key.
#[derive(Debug)]
pub(super) enum Turn {
    /// Do it.
    New(UnderWay),
    /// It was done: this is the answer.
    Done(Answer),
}

/// Its key came with another body.
pub(super) fn other_body() -> Fault {
    let message = "this idempotency key came with another body before";
    Fault::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_conflict", message)
}

// === impl Kept ===

impl Kept {
    pub(super) fn begin(self: &Arc<Self>, key: RequestKey, body: &[u8], now: Instant) -> Result<Turn, Fault> {
        let body = blake3::hash(body);
        let mut held = self.held.lock();
        held.forget_old(now);
        match held.entries.get(&key) {
            Some(entry) if entry.body != body => Err(other_body()),
            Some(Entry { answer: Some(answer), .. }) => Ok(Turn::Done(answer.clone())),
            Some(Entry { answer: None, .. }) => {
                let message = "the same request is under way";
                Err(Fault::new(StatusCode::CONFLICT, "idempotency_in_progress", message))
            }
            None if held.entries.len() >= ENTRY_LIMIT * 2 => {
                let message = "too many requests with an idempotency key are under way";
                Err(Fault::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", message))
            }
            None => {
                held.entries.insert(key, Entry { body, answer: None });
                Ok(Turn::New(UnderWay { kept: Arc::clone(self), key }))
            }
        }
    }
}

// === impl Held ===

impl Held {
    fn finish(&mut self, key: RequestKey, answer: &Answer, now: Instant) {
        if answer.body.len() > BYTE_LIMIT {
            self.entries.remove(&key);
            return;
        }
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.answer = Some(answer.clone());
            self.bytes += answer.body.len();
            self.order.push_back((key, now));
        }
        while self.bytes > BYTE_LIMIT || self.order.len() > ENTRY_LIMIT {
            self.forget_oldest();
        }
    }

    fn forget_old(&mut self, now: Instant) {
        while self.order.front().is_some_and(|(_, done)| now.saturating_duration_since(*done) > KEPT) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((key, _)) = self.order.pop_front()
            && let Some(Entry { answer: Some(answer), .. }) = self.entries.remove(&key)
        {
            self.bytes -= answer.body.len();
        }
    }
}

// === impl UnderWay ===

impl UnderWay {
    /// Keeps a good answer; a refused request may be sent again.
    pub(super) fn finish(self, answer: &Result<Answer, Fault>, now: Instant) {
        if let Ok(answer) = answer {
            self.kept.held.lock().finish(self.key, answer, now);
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut held = self.kept.held.lock();
        if held.entries.get(&self.key).is_some_and(|entry| entry.answer.is_none()) {
            held.entries.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(kept: &Arc<Kept>, key: &str, body: &str, now: Instant) -> Result<Turn, Fault> {
        kept.begin(blake3::hash(key.as_bytes()), body.as_bytes(), now)
    }

    fn new(turn: Result<Turn, Fault>) -> UnderWay {
        match turn {
            Ok(Turn::New(under_way)) => under_way,
            other => panic!("{other:?}"),
        }
    }

    fn code(turn: Result<Turn, Fault>) -> &'static str {
        turn.unwrap_err().error.code
    }

    #[test]
    fn once_under_way_twice_done_and_another_body_is_a_conflict() {
        let (kept, now) = (Arc::new(Kept::default()), Instant::now());
        let first = new(begin(&kept, "k", "a", now));
        assert_eq!(code(begin(&kept, "k", "a", now)), "idempotency_in_progress");
        first.finish(&Answer::json(&"one"), now);
        let Ok(Turn::Done(answer)) = begin(&kept, "k", "a", now) else { panic!("it was done") };
        assert_eq!(&answer.body[..], b"\"one\"");
        assert_eq!(code(begin(&kept, "k", "b", now)), "idempotency_conflict");
        new(begin(&kept, "k", "b", now + KEPT * 2));
    }

    #[test]
    fn what_failed_or_was_given_up_may_be_sent_again() {
        let (kept, now) = (Arc::new(Kept::default()), Instant::now());
        new(begin(&kept, "k", "a", now)).finish(&Err(Fault::malformed("no")), now);
        drop(new(begin(&kept, "k", "a", now)));
        new(begin(&kept, "k", "a", now));
    }

    #[test]
    fn bounded_in_number_and_bytes() {
        let (kept, now) = (Arc::new(Kept::default()), Instant::now());
        for n in 0..ENTRY_LIMIT * 3 {
            new(begin(&kept, &n.to_string(), "a", now)).finish(&Answer::json(&n), now);
        }
        assert_eq!(kept.held.lock().entries.len(), ENTRY_LIMIT);
        for n in 0..10 {
            new(begin(&kept, &format!("large {n}"), "a", now))
                .finish(&Answer::json(&"x".repeat(BYTE_LIMIT / 4)), now);
        }
        assert!(kept.held.lock().bytes <= BYTE_LIMIT);
        new(begin(&kept, "too large", "a", now)).finish(&Answer::json(&"x".repeat(BYTE_LIMIT)), now);
        new(begin(&kept, "too large", "a", now));
    }
}
