//! Reports: what is known of a key, as one text that the control plane signs. Whoever has its public key can check one
//! without any server; docs/rotation.md says how.

use super::{
    super::{
        answer::{Answer, Fault},
        call::Call,
        usage::{Exposure, exposure},
    },
    shown::{History, find, history_of, names},
};
use crate::hex::hex;
use base64::{Engine, engine::general_purpose::STANDARD};
use schemars::JsonSchema;
use serde::Serialize;

/// Stands first in the text, so that it is nothing else that this control plane ever signs.
const KIND: &str = "keyway.key/1";
/// What comes before the 32 bytes of an Ed25519 key in SubjectPublicKeyInfo (RFC 8410).
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// What is proven of a key, and a signature of the control plane over its exact text.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct Report {
    /// JSON; the signature is over these bytes, as UTF-8.
    evidence: String,
    /// Ed25519, hex.
    signature: String,
    /// Of the control plane, hex.
    public_key: String,
}

/// The half of the control plane's key that may be known.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct PublicKey {
    /// Ed25519, 32 bytes, hex.
    public_key: String,
    /// The same as openssl reads it.
    pem: String,
}

/// The text that is signed.
#[derive(Debug, Serialize)]
struct Evidence<'a> {
    report: &'static str,
    cluster: &'a str,
    #[serde(flatten)]
    history: &'a History,
    /// Who used the key, for what and at what cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    exposure: Option<Exposure>,
}

pub(in crate::api) async fn report(call: Call) -> Result<Answer, Fault> {
    let history = history_of(&call).await?;
    Answer::json(&Report::of(&call, &history, None)?)
}

/// The same with what the books know of the key's use.
pub(in crate::api) async fn exposed(call: Call) -> Result<Answer, Fault> {
    let (provider, name) = names(&call);
    let (history, key) = (history_of(&call).await?, find(&call)?);
    // The oldest version that this change took out of use.
    let rollout = key.rollout.iter().flat_map(|rollout| &rollout.leaving);
    let oldest = rollout.filter_map(|number| key.version(*number)).map(|version| version.at).min();
    let since = oldest.or(key.versions.first().map(|first| first.at)).unwrap_or_default();
    let exposure = exposure(&call, &format!("{provider}/{name}"), since.saturating_mul(1000)).await?;
    Answer::json(&Report::of(&call, &history, Some(exposure))?)
}

pub(in crate::api) async fn public_key(call: Call) -> Result<Answer, Fault> {
    let key = call.plane().vault().public_key();
    let pem = STANDARD.encode([&SPKI[..], &key].concat());
    Answer::json(&PublicKey {
        public_key: hex(&key),
        pem: format!("-----BEGIN PUBLIC KEY-----\n{pem}\n-----END PUBLIC KEY-----\n"),
    })
}

// === impl Report ===

impl Report {
    fn of(call: &Call, history: &History, exposure: Option<Exposure>) -> Result<Self, Fault> {
        let cluster = call.plane().fleet().cluster();
        let evidence = Evidence { report: KIND, cluster, history, exposure };
        let evidence =
            serde_json::to_string(&evidence).map_err(|_| Fault::internal("a report that is no JSON"))?;
        let vault = call.plane().vault();
        let signature = hex(&vault.sign(evidence.as_bytes()));
        Ok(Self { evidence, signature, public_key: hex(&vault.public_key()) })
    }
}
