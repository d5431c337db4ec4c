//! Requests with an idempotency key, in the store: a change is remembered by the commit that makes it, an answer once it is
//! known. So neither a restart nor another leader makes a change twice.

use super::{Outcome, Plane, Planned, unix_millis};
use crate::resource::{
    ANSWER_BYTES, Asked, Author, Held, Kept, MadeBefore, Proposal, Refusal, State, remembered,
};
use base64::{Engine, engine::general_purpose::STANDARD};

/// What is known of a request that came.
#[derive(Debug)]
pub(crate) enum Known {
    /// Nothing: it is new.
    Nothing,
    /// Its key came with another body.
    OtherBody,
    /// It was here, and this is kept of it.
    Kept(Kept),
}

// === impl Plane ===

impl Plane {
    /// What is known of that request.
    pub(crate) fn known(&self, asked: &Asked) -> Known {
        let state = self.state();
        match remembered(&state, asked, unix_millis()) {
            None => Known::Nothing,
            Some(document) if document.body != asked.body => Known::OtherBody,
            Some(document) => Known::Kept(self.opened(asked, &document.sealed)),
        }
    }

    /// Keeps the answer to a request for as long as it is remembered.
    ///
    /// # Errors
    /// When the store refuses; then the request's change is remembered, if it made one.
    pub(crate) async fn keep(&self, author: &Author, asked: &Asked, kept: &Kept) -> Result<(), Refusal> {
        let sealed = self.sealed(asked, kept)?;
        self.change(author, |proposal| proposal.remember(asked, sealed)).await.map(drop)
    }

    /// What a change did that was made for that request before.
    pub(super) fn made_before(&self, state: &State, author: &Author) -> Result<Option<Outcome>, Refusal> {
        let Some(asked) = &author.asked else { return Ok(None) };
        let Some(document) = remembered(state, asked, unix_millis()) else { return Ok(None) };
        match self.opened(asked, &document.sealed) {
            Kept::Made(made) => Ok(Some(made.outcome())),
            Kept::Answered { .. } | Kept::Done => {
                Err(Refusal::Internal("a request that was answered was begun again"))
            }
        }
    }

    /// Adds to a change that it was made for that request.
    pub(super) fn remember(
        &self,
        proposal: &mut Proposal<'_>,
        planned: &mut Planned,
        (asked, outcome): (&Asked, &Outcome),
    ) -> Result<(), Refusal> {
        let version = if planned.sent.is_some() { proposal.next() } else { proposal.state.version() };
        let made = Kept::Made(MadeBefore::of(outcome, version));
        let before: Vec<_> = proposal.touches.keys().cloned().collect();
        proposal.remember(asked, self.sealed(asked, &made)?)?;
        for (key, touch) in proposal.touches.iter().filter(|(key, _)| !before.contains(key)) {
            match touch.document.clone() {
                Some(document) => {
                    let held = Held { version: touch.expected + 1, document, resources: Vec::new() };
                    planned.state.put(key.clone(), held);
                }
                None => planned.state.remove(key),
            }
        }
        Ok(())
    }

    fn sealed(&self, asked: &Asked, kept: &Kept) -> Result<String, Refusal> {
        let encode = |kept: &Kept| {
            serde_json::to_vec(kept).map_err(|_| Refusal::Internal("an answer that is no JSON"))
        };
        let mut plain = zeroize::Zeroizing::new(encode(kept)?);
        if plain.len() > ANSWER_BYTES {
            *plain = encode(&Kept::Done)?;
        }
        Ok(STANDARD.encode(self.vault.seal_answer(&asked.name, &plain)?))
    }

    /// What does not open says only that the request was done.
    fn opened(&self, asked: &Asked, sealed: &str) -> Kept {
        let open = || {
            let plain = self.vault.open_answer(&asked.name, &STANDARD.decode(sealed).ok()?)?;
            serde_json::from_slice(&plain).ok()
        };
        open().unwrap_or(Kept::Done)
    }
}
