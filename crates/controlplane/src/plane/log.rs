//! Lines of the audit log that go with no change of a document.

use super::{Plane, unix_millis};
use crate::{
    attest::{self, Attestation},
    resource::{Author, Refusal, State},
    store::{Batch, Entry, Revision},
};
use std::sync::Arc;

// === impl Plane ===

impl Plane {
    /// Writes a line into the audit log that goes with no change.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn note(&self, author: &Author) -> Result<(), Refusal> {
        self.write_down(|| Ok(author.entry(unix_millis()))).await.map(drop)
    }

    /// Signs how far the audit log is, in the log itself; where it says so, and what.
    pub(crate) async fn attest(&self, actor: &str) -> Result<(Revision, Attestation), Refusal> {
        let author = Author { actor: actor.to_owned(), ..Author::system(attest::ACTION, "") };
        let mut said = None;
        let entry = || {
            let whose = (self.fleet.cluster(), self.store.identity().epoch);
            let attestation = Attestation::new(&self.vault, whose, self.store.head())?;
            let detail = serde_json::to_value(&attestation);
            let detail = detail.map_err(|_| Refusal::Internal("a statement that is no JSON"))?;
            said = Some(attestation);
            Ok(Entry { detail, ..author.entry(unix_millis()) })
        };
        let revision = self.write_down(entry).await?;
        let said = said.ok_or(Refusal::Internal("nothing was signed"))?;
        // Whoever keeps what is logged elsewhere can tell later that the end of the log was cut off.
        tracing::info!(
            revision,
            evidence = said.evidence,
            signature = said.signature,
            "the audit log was signed"
        );
        Ok((revision, said))
    }

    async fn write_down(&self, entry: impl FnOnce() -> Result<Entry, Refusal>) -> Result<Revision, Refusal> {
        let mut one_at_a_time = self.writing.lock().await;
        self.may_write()?;
        self.take_over(&mut one_at_a_time).await?;
        let mut state = State::clone(&self.state.load());
        let batch = Batch { writes: Vec::new(), entry: entry()? };
        state.revision = self.store.commit_over(batch, state.revision).await?;
        let revision = state.revision;
        self.state.store(Arc::new(state));
        Ok(revision)
    }
}
