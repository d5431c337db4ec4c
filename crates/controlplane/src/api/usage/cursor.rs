//! Where the next page begins, in words that only this control plane makes: what a page was asked for is sealed with it, so
//! that nobody goes on in another's list or in another question.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;

/// What the key is for.
const PURPOSE: &str = "keyway 2026-11 cursors of the admin API";
/// Bytes of the seal.
const SEAL: usize = 16;
/// A text that begins so is taken for no secret, whatever follows.
const PREFIX: &str = "q.";
/// What may differ from page to page.
const FREE: [&str; 2] = ["cursor", "limit"];

/// Seals cursors of one question.
pub(super) struct Sealer {
    key: [u8; 32],
}

// === impl Sealer ===

impl Sealer {
    /// For that caller's team, that route and whatever the query asks for.
    pub(super) fn new(
        secret: &[u8; 32],
        team: Option<&str>,
        route: &str,
        query: &BTreeMap<String, String>,
    ) -> Self {
        let root = blake3::derive_key(PURPOSE, secret);
        let mut hasher = blake3::Hasher::new_keyed(&root);
        let mut part = |text: &str| {
            hasher.update(&(text.len() as u64).to_be_bytes());
            hasher.update(text.as_bytes());
        };
        part(if team.is_some() { "team" } else { "all" });
        part(team.unwrap_or_default());
        part(route);
        for (name, value) in query.iter().filter(|(name, _)| !FREE.contains(&name.as_str())) {
            part(name);
            part(value);
        }
        Self { key: *hasher.finalize().as_bytes() }
    }

    pub(super) fn seal(&self, position: &impl Serialize) -> Option<String> {
        let body = serde_json::to_vec(position).ok()?;
        let mut sealed = self.mac(&body).to_vec();
        sealed.extend(body);
        Some(format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(sealed)))
    }

    /// `None`: it was not made here for this question.
    pub(super) fn open<T: DeserializeOwned>(&self, text: &str) -> Option<T> {
        let sealed = BASE64_URL_SAFE_NO_PAD.decode(text.strip_prefix(PREFIX)?).ok()?;
        let (seal, body) = sealed.split_first_chunk::<SEAL>()?;
        let mut whole = [0; 32];
        let mut expected = [0; 32];
        whole.get_mut(..SEAL)?.copy_from_slice(seal);
        expected.get_mut(..SEAL)?.copy_from_slice(&self.mac(body));
        // Equality of BLAKE3 hashes takes constant time.
        let good = blake3::Hash::from_bytes(whole) == blake3::Hash::from_bytes(expected);
        good.then(|| serde_json::from_slice(body).ok())?
    }

    fn mac(&self, body: &[u8]) -> [u8; SEAL] {
        let mut seal = [0; SEAL];
        let hash = blake3::keyed_hash(&self.key, body);
        seal.iter_mut().zip(hash.as_bytes()).for_each(|(place, byte)| *place = *byte);
        seal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(parts: &[(&str, &str)]) -> BTreeMap<String, String> {
        parts.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_cursor_opens_for_its_own_question_only() {
        let asked = [("client", "a"), ("since", "7d")];
        let with =
            |team, route: &str, parts: &[(&str, &str)]| Sealer::new(&[7; 32], team, route, &query(parts));
        let cursor = with(Some("red"), "/logs", &asked).seal(&(1_u64, "x")).unwrap();
        let open = |sealer: &Sealer| sealer.open::<(u64, String)>(&cursor);
        let free = [("client", "a"), ("cursor", "c"), ("limit", "9"), ("since", "7d")];
        assert_eq!(open(&with(Some("red"), "/logs", &free)), Some((1, "x".to_owned())));
        let others = [
            with(None, "/logs", &asked),
            with(Some("blue"), "/logs", &asked),
            with(Some(""), "/logs", &asked),
            with(Some("red"), "/usage", &asked),
            with(Some("red"), "/logs", &[("client", "b"), ("since", "7d")]),
            with(Some("red"), "/logs", &[("since", "7d")]),
            Sealer::new(&[8; 32], Some("red"), "/logs", &query(&asked)),
        ];
        others.iter().for_each(|other| assert_eq!(open(other), None));
    }

    #[test]
    fn every_byte_counts() {
        let sealer = Sealer::new(&[7; 32], None, "/logs", &query(&[]));
        let cursor = sealer.seal(&[1, 2, 3]).unwrap();
        assert_eq!(sealer.open::<[u8; 3]>(&cursor), Some([1, 2, 3]));
        for place in 0..cursor.len() {
            for other in *b"AZaz09-_.q" {
                let mut changed = cursor.clone().into_bytes();
                if std::mem::replace(&mut changed[place], other) == other {
                    continue;
                }
                let changed = String::from_utf8(changed).unwrap();
                assert_eq!(sealer.open::<[u8; 3]>(&changed), None, "{changed}");
            }
            assert_eq!(sealer.open::<[u8; 3]>(&cursor[..place]), None);
        }
        assert!(!keyway_config::looks_like_secret(&format!("q.eyJ{cursor}A1b2C3d4E5f6G7")));
    }
}
