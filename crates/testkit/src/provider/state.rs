//! What the simulated provider remembers: scripts, refused keys, and every request it saw.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fmt;
use std::sync::OnceLock;
use std::time::Instant;

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::watch;

use super::ANY;
use super::dialect::Surface;
use super::organisation::{Organisation, Told};
use super::plan::Asked;
use super::reply::{Failure, Reply};
use super::seen::{KeyUse, Outcome, Seen};

/// What is answered where nothing is scripted.
pub(super) type Decide = Box<dyn Fn(&Seen) -> Reply + Send + Sync>;

#[derive(Default)]
pub(super) struct State {
    inner: Mutex<Inner>,
    decide: OnceLock<Decide>,
    released: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Inner {
    connections: u64,
    scripts: HashMap<String, Queue>,
    refused: HashMap<String, u16>,
    /// Where it is set, every other key is refused with 401.
    accepted: Option<HashSet<String>>,
    organisations: Vec<Organisation>,
    seen: Vec<Seen>,
    keys: BTreeMap<String, KeyUse>,
    broken: Vec<Bytes>,
}

#[derive(Debug, Default)]
struct Queue {
    next: VecDeque<Reply>,
    always: Option<Reply>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl Inner {
    fn scripted(&mut self, model: &str) -> Option<Reply> {
        let queue = self.scripts.get_mut(model)?;
        queue.next.pop_front().or_else(|| queue.always.clone())
    }

    /// What the limit of a key says to one more request.
    fn limited(&mut self, key: &str, now: Instant) -> Option<Told> {
        Some(self.organisations.iter_mut().find(|one| one.has(key))?.take(now))
    }

    /// The status with which a key is refused.
    fn refusal(&self, key: &str) -> Option<u16> {
        let stranger = self.accepted.as_ref().is_some_and(|accepted| !accepted.contains(key));
        self.refused.get(key).copied().or(stranger.then_some(401))
    }
}

impl State {
    pub(super) fn queue(&self, model: &str, reply: Reply) {
        self.inner.lock().scripts.entry(model.to_owned()).or_default().next.push_back(reply);
    }

    pub(super) fn always(&self, model: &str, reply: Reply) {
        self.inner.lock().scripts.entry(model.to_owned()).or_default().always = Some(reply);
    }

    pub(super) fn clear(&self, model: &str) {
        self.inner.lock().scripts.remove(model);
    }

    /// The first one stays.
    pub(super) fn decide(&self, decide: Decide) {
        let _second = self.decide.set(decide);
    }

    pub(super) fn refuse(&self, key: &str, status: u16) {
        self.inner.lock().refused.insert(key.to_owned(), status);
    }

    pub(super) fn accept(&self, key: &str) {
        let mut inner = self.inner.lock();
        inner.refused.remove(key);
        if let Some(accepted) = &mut inner.accepted {
            accepted.insert(key.to_owned());
        }
    }

    pub(super) fn accept_only(&self, keys: &[&str]) {
        self.inner.lock().accepted = Some(keys.iter().map(|&key| key.to_owned()).collect());
    }

    pub(super) fn organisation(&self, organisation: Organisation) {
        self.inner.lock().organisations.push(organisation);
    }

    pub(super) fn release(&self) {
        self.released.send_replace(true);
    }

    pub(super) async fn released(&self) {
        // The sender lives as long as this state: waiting cannot fail.
        let _ = self.released.subscribe().wait_for(|released| *released).await;
    }

    pub(super) fn connected(&self) -> u64 {
        let mut inner = self.inner.lock();
        inner.connections += 1;
        inner.connections
    }

    pub(super) fn broken(&self, bytes: Bytes) {
        self.inner.lock().broken.push(bytes);
    }

    /// Notes the request and chooses its answer: a refused key's first, then a limit's, then the script of the model,
    /// then the script for any model, then a good answer.
    pub(super) fn answer(&self, connection: u64, head: Bytes, body: Bytes) -> (usize, Reply, Asked) {
        let arrived = Instant::now();
        let seen = Seen { connection, head, body, arrived, outcome: None };
        let mut asked = asked(&seen);
        let mut inner = self.inner.lock();
        let refused = inner.refusal(&asked.credential);
        let told = inner.limited(&asked.credential, arrived).filter(|_| refused.is_none());
        let is_over = told.as_ref().is_some_and(|told| told.refused);
        let key = inner.keys.entry(asked.credential.clone()).or_default();
        key.requests += 1;
        key.refused += u64::from(refused.is_some());
        key.throttled += u64::from(is_over);
        key.first = key.first.or(Some(arrived));
        key.last = Some(arrived);
        if let Some(told) = told {
            asked.headers = told.headers;
        }
        let reply = match refused {
            Some(status) => Reply::status(status),
            None if is_over => {
                let headers = asked.headers.clone();
                Reply::Error(Failure { status: 429, headers, ..Failure::default() })
            }
            None => {
                let scripted = inner.scripted(&asked.model).or_else(|| inner.scripted(ANY));
                let decided = || self.decide.get().map(|decide| decide(&seen));
                scripted.or_else(decided).unwrap_or_default()
            }
        };
        inner.seen.push(seen);
        (inner.seen.len() - 1, reply, asked)
    }

    pub(super) fn ended(&self, place: usize, outcome: Outcome) {
        if let Some(seen) = self.inner.lock().seen.get_mut(place) {
            seen.outcome = Some(outcome);
        }
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.inner.lock().seen.clone()
    }

    pub(super) fn requests(&self) -> usize {
        self.inner.lock().seen.len()
    }

    pub(super) fn connections(&self) -> u64 {
        self.inner.lock().connections
    }

    pub(super) fn keys(&self) -> BTreeMap<String, KeyUse> {
        self.inner.lock().keys.clone()
    }

    pub(super) fn broken_heads(&self) -> Vec<Bytes> {
        self.inner.lock().broken.clone()
    }
}

fn asked(seen: &Seen) -> Asked {
    let json = seen.json();
    let flag = |value: Option<&Value>| value.and_then(Value::as_bool).unwrap_or(false);
    Asked {
        surface: Surface::of(seen.path()),
        model: json.get("model").and_then(Value::as_str).unwrap_or_default().to_owned(),
        stream: flag(json.get("stream")),
        usage: flag(json.pointer("/stream_options/include_usage")),
        credential: seen.credential().to_owned(),
        headers: Vec::new(),
    }
}
