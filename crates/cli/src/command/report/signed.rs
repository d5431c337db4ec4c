//! A signed report, and whether it is what was signed. Pure.

use keyway_controlplane::vault::verify;
use serde::Deserialize;
use serde_json::Value;

use crate::failure::Failure;

/// What every report that a control plane signs begins with.
const KINDS: &str = "keyway.";
/// Bytes of a public key.
const KEY: usize = 32;

/// What comes before an Ed25519 key in SubjectPublicKeyInfo (RFC 8410).
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// As it stands in the file.
#[derive(Debug, Deserialize)]
pub(super) struct Signed {
    evidence: String,
    signature: String,
    public_key: String,
}

// === impl Signed ===

impl Signed {
    pub(super) fn read(text: &str) -> Result<Self, Failure> {
        serde_json::from_str(text).map_err(|_| {
            Failure::Usage("this is no report; `--report FILE` of `keyway key …` writes one".into())
        })
    }

    pub(super) fn public_key(&self) -> &str {
        &self.public_key
    }

    /// What was signed, if it was signed with that key, or with the one that it names.
    pub(super) fn check(&self, key: Option<&[u8; KEY]>) -> Result<Value, Failure> {
        let wrong = |why: &str| Failure::Other(format!("NOT a report of that control plane: {why}"));
        let named = bytes(&self.public_key).ok_or_else(|| wrong("its key is not hex"))?;
        if key.is_some_and(|key| key.as_slice() != named) {
            return Err(wrong("it names another key"));
        }
        let signature = bytes(&self.signature).ok_or_else(|| wrong("its signature is not hex"))?;
        if !verify(&named, self.evidence.as_bytes(), &signature) {
            return Err(wrong(
                "the signature does not fit its text, which was changed or signed with another key",
            ));
        }
        let evidence: Value =
            serde_json::from_str(&self.evidence).map_err(|_| wrong("what was signed is no JSON"))?;
        let kind = evidence.get("report").and_then(Value::as_str).unwrap_or_default();
        if !kind.starts_with(KINDS) {
            return Err(wrong("what was signed is no report"));
        }
        Ok(evidence)
    }
}

/// From what `keyway report public-key` prints, PEM or hex.
pub(crate) fn public_key(text: &str) -> Result<[u8; KEY], Failure> {
    let body: String = text.lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect();
    let plain = bytes(&body).filter(|raw| raw.len() == KEY);
    let raw =
        plain.or_else(|| base64(&body).filter(|raw| raw.starts_with(&SPKI) && raw.len() == SPKI.len() + KEY));
    let key = raw.and_then(|raw| raw.last_chunk::<KEY>().copied());
    key.ok_or_else(|| {
        Failure::Usage("this is no public key; `keyway report public-key` prints the control plane's".into())
    })
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let pairs = hex.as_bytes().chunks(2);
    let byte = |pair: &[u8]| {
        u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok().filter(|_| pair.len() == 2)
    };
    pairs.map(byte).collect()
}

fn base64(text: &str) -> Option<Vec<u8>> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    STANDARD.decode(text).ok()
}
