//! A request with an idempotency key, as it is remembered in the store: by the same commit that makes its change, so that it
//! is never made twice, and then with its answer. What is kept is sealed, since an answer may show a made token.

use super::{Body, Change, Kind, MadePair, Proposal, Refusal, Shown, State, TokenText};
use keyway_config::Problem;
use keyway_snapshot::Version;
use serde::{Deserialize, Serialize};

/// How long one is remembered, milliseconds.
pub const ANSWER_KEPT_MS: u64 = 24 * 3600 * 1000;
/// Requests that are remembered; the oldest go.
pub const ANSWERS: usize = 1024;
/// Bytes of what is kept of one, before it is sealed: of a larger one it is known only that it was.
pub const ANSWER_BYTES: usize = 16 << 10;
/// So many that had their time are forgotten by one change: a commit stays small.
const FORGOTTEN: usize = 32;

/// A request with an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Of caller, method, path, query and key: hex.
    pub name: String,
    /// Keyed hash of its body, hex.
    pub body: String,
}

/// What the store holds of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerDocument {
    /// As [`Asked::body`].
    pub body: String,
    /// When it was asked, milliseconds since 1970.
    pub at: u64,
    /// A [`Kept`], which the vault sealed; base64.
    pub sealed: String,
}

/// What is remembered of a request.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kept {
    /// Its change was made; the answer is made of this.
    Made(Made),
    /// It was answered so.
    Answered {
        /// HTTP's.
        status: u16,
        /// Of the one resource that it shows.
        version: Option<u64>,
        /// JSON.
        body: String,
    },
    /// It was done, and what there was to say of it is too much to keep.
    Done,
}

/// What a change did, as [`crate::Outcome`] says it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    epoch: u64,
    counter: u64,
    changes: Vec<Change>,
    /// Fields and what there is to say of them.
    warnings: Vec<(String, String)>,
    /// Clients and their tokens.
    tokens: Vec<(String, String)>,
    /// Of a made pair its id and secret.
    pair: Option<(String, String)>,
}

// === impl Kept ===

impl std::fmt::Debug for Kept {
    /// Without what may be a token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Kept(..)")
    }
}

// === impl Made ===

impl std::fmt::Debug for Made {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Made(..)")
    }
}

impl Made {
    /// Of an outcome, whose version is known by now.
    pub(crate) fn of(outcome: &crate::Outcome, version: Version) -> Self {
        let token = |shown: &Shown| (shown.client.clone(), shown.token.expose().to_owned());
        let pair = |pair: &MadePair| (pair.access_key_id.clone(), pair.secret.expose().to_owned());
        let warning = |problem: &Problem| (problem.field.clone(), problem.reason.clone());
        Self {
            epoch: version.epoch,
            counter: version.counter,
            changes: outcome.changes.clone(),
            warnings: outcome.warnings.iter().map(warning).collect(),
            tokens: outcome.tokens.iter().map(token).collect(),
            pair: outcome.pair.as_ref().map(pair),
        }
    }

    /// The outcome again.
    pub(crate) fn outcome(self) -> crate::Outcome {
        let token = |(client, token)| Shown { client, token: TokenText::of(token) };
        let pair = |(access_key_id, secret)| MadePair { access_key_id, secret: TokenText::of(secret) };
        crate::Outcome {
            version: Version { epoch: self.epoch, counter: self.counter },
            changes: self.changes,
            warnings: self.warnings.into_iter().map(|(field, reason)| Problem::new(field, reason)).collect(),
            tokens: self.tokens.into_iter().map(token).collect(),
            pair: self.pair.map(pair),
        }
    }
}

/// What is remembered of that request, unless its time is over.
pub(crate) fn remembered<'a>(state: &'a State, asked: &Asked, now: u64) -> Option<&'a AnswerDocument> {
    match &state.get(Kind::Answer, &asked.name)?.document.body {
        Body::Answer(document) if now.saturating_sub(document.at) <= ANSWER_KEPT_MS => Some(document),
        _ => None,
    }
}

// === impl Proposal ===

impl Proposal<'_> {
    /// Remembers a request; the oldest go, and some of those that had their time.
    pub(crate) fn remember(&mut self, asked: &Asked, sealed: String) -> Result<(), Refusal> {
        let now = self.now();
        let of = |(name, held): (&str, &std::sync::Arc<super::Held>)| match &held.document.body {
            Body::Answer(document) => Some((document.at, name.to_owned())),
            _ => None,
        };
        let mut all: Vec<_> = self.state.each(Kind::Answer).filter_map(of).collect();
        all.retain(|(_, name)| *name != asked.name);
        all.sort_unstable();
        let over = (all.len() + 1).saturating_sub(ANSWERS);
        let old = all.iter().filter(|(at, _)| now.saturating_sub(*at) > ANSWER_KEPT_MS).count();
        for (_, name) in all.into_iter().take(over.max(old).min(FORGOTTEN)) {
            self.delete(Kind::Answer, &name)?;
        }
        let document = AnswerDocument { body: asked.body.clone(), at: now, sealed };
        self.put(Kind::Answer, &asked.name, Body::Answer(document))
    }
}
