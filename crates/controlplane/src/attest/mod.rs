//! Signed statements of how far the audit log is. The chain of hashes shows that nothing in the middle was changed; that nobody
//! wrote the whole of it anew, or cut its end off, is shown by statements that only this cluster's key makes: they stand in the
//! log itself, in what the control plane says, and wherever else people keep them.

mod check;
#[cfg(test)]
mod tests;
mod told;

pub use check::{Attested, Check, Unfit};

pub(crate) use told::{Contradiction, contradiction, contradictions, head};

use crate::{
    Plane,
    hex::{hex, unhex},
    plane::unix_millis,
    resource::Refusal,
    store::Revision,
    vault::{Vault, verify},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::watch, time::sleep};

/// What the audit log calls one.
pub(crate) const ACTION: &str = "audit.attest";
/// Stands first in the text, so that it is nothing else that this cluster ever signs.
const KIND: &str = "keyway.audit/1";
/// What was written is signed after so long,
const EVERY: Duration = Duration::from_secs(60);
/// or after so many records.
const RECORDS: u64 = 1000;
/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// A statement and a signature of the cluster over its exact text, in the form of all reports that it signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Attestation {
    /// JSON, a [`Statement`]; the signature is over these bytes, as UTF-8.
    pub evidence: String,
    /// Ed25519, hex.
    pub signature: String,
    /// Of the cluster, hex.
    pub public_key: String,
}

/// That the log of that cluster had that record as its newest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    report: String,
    /// Whose log.
    pub cluster: String,
    /// In which life of it.
    pub epoch: u64,
    /// The newest record then,
    pub revision: Revision,
    /// and the hash over it and all before it, hex.
    pub head: String,
    /// When, milliseconds since 1970.
    pub at: u64,
}

/// When the next one is due.
#[derive(Debug)]
struct Due {
    /// The record that holds the newest one; 0 = none was made since the start.
    last: Revision,
    at: Instant,
}

/// Makes them when they are due, until `stop` says so. Only where changes are made.
pub(crate) async fn run(plane: Arc<Plane>, mut stop: watch::Receiver<bool>) {
    let mut due = Due { last: 0, at: Instant::now() };
    loop {
        tokio::select! {
            () = crate::serve::stopped(&mut stop) => return,
            () = sleep(LOOK) => {}
        }
        if !due.is(plane.store().head().0, Instant::now()) {
            continue;
        }
        match plane.attest("system").await {
            Ok((revision, _)) => due.last = revision,
            Err(refusal) => tracing::warn!(%refusal, "how far the audit log is was not signed"),
        }
        due.at = Instant::now();
    }
}

// === impl Due ===

impl Due {
    /// Whether what was written since then is to be signed now.
    fn is(&self, head: Revision, now: Instant) -> bool {
        let behind = head.saturating_sub(self.last);
        let rested = now.saturating_duration_since(self.at);
        behind > 0 && (rested >= EVERY || (self.last > 0 && behind >= RECORDS))
    }
}

// === impl Attestation ===

impl Attestation {
    /// Says and signs it.
    pub(crate) fn new(
        vault: &Vault,
        (cluster, epoch): (&str, u64),
        (revision, hash): (Revision, [u8; 32]),
    ) -> Result<Self, Refusal> {
        let statement = Statement {
            report: KIND.to_owned(),
            cluster: cluster.to_owned(),
            epoch,
            revision,
            head: hex(&hash),
            at: unix_millis(),
        };
        let evidence = serde_json::to_string(&statement)
            .map_err(|_| Refusal::Internal("a statement that is no JSON"))?;
        let signature = hex(&vault.sign(evidence.as_bytes()));
        Ok(Self { evidence, signature, public_key: hex(&vault.public_key()) })
    }

    /// What it says, if the key signed it, or else the key that it names.
    ///
    /// # Errors
    /// Why it is not to be believed.
    pub fn read(&self, key: Option<&[u8]>) -> Result<Statement, Unfit> {
        let named = unhex(&self.public_key).ok_or(Unfit::Text)?;
        if key.is_some_and(|key| key != named) {
            return Err(Unfit::OtherKey);
        }
        let signature = unhex(&self.signature).ok_or(Unfit::Text)?;
        if !verify(&named, self.evidence.as_bytes(), &signature) {
            return Err(Unfit::Signature);
        }
        let said: Statement = serde_json::from_str(&self.evidence).map_err(|_| Unfit::Text)?;
        if said.report == KIND { Ok(said) } else { Err(Unfit::Text) }
    }
}
