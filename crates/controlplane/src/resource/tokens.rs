//! Client tokens. A made one is `kw_`, 40 random characters and a checksum of six for secret scanners; the checksum
//! never decides access. Only the keyed digest of a token is kept.

use keyway_snapshot::DigestKey;
use std::fmt;
use zeroize::Zeroizing;

const PREFIX: &str = "kw_";
const RANDOM: usize = 40;
const ACCESS_KEY_PREFIX: &str = "KWIA";
const ACCESS_KEY: usize = 16;
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const CHECKSUM: usize = 6;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A token in clear, between its making and the one answer that shows it. Nothing else can write it:
/// ```compile_fail,E0277
/// fn takes(_: impl std::fmt::Display) {}
/// takes(keyway_controlplane::resource::TokenText::make().unwrap());
/// ```
/// ```compile_fail,E0277
/// fn takes(_: impl serde::Serialize) {}
/// takes(keyway_controlplane::resource::TokenText::make().unwrap());
/// ```
#[derive(Clone)]
pub struct TokenText(Zeroizing<String>);

/// A made key pair for callers that sign, for the one answer that shows it.
#[derive(Debug, Clone)]
pub struct MadePair {
    /// Names it.
    pub access_key_id: String,
    /// Signs.
    pub secret: TokenText,
}

// === impl MadePair ===

impl MadePair {
    /// Makes one. The id has the form of AWS's own, which some tools look for.
    pub(crate) fn make() -> Result<Self, getrandom::Error> {
        let mut random = [0u8; ACCESS_KEY];
        getrandom::fill(&mut random)?;
        let digit = |byte: &u8| BASE32.get(usize::from(byte % 32)).map_or('A', |digit| char::from(*digit));
        let access_key_id = format!("{ACCESS_KEY_PREFIX}{}", random.iter().map(digit).collect::<String>());
        Ok(Self { access_key_id, secret: TokenText::make()? })
    }
}

// === impl TokenText ===

impl TokenText {
    /// Makes one.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn make() -> Result<Self, getrandom::Error> {
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + RANDOM + CHECKSUM));
        text.push_str(PREFIX);
        let mut bytes = Zeroizing::new([0u8; 64]);
        while text.len() < PREFIX.len() + RANDOM {
            getrandom::fill(bytes.as_mut_slice())?;
            // 248 is the largest multiple of 62 in a byte: above it the choice would not be even.
            let even = bytes.iter().filter(|byte| **byte < 248).map(|byte| digit(u32::from(*byte)));
            let missing = PREFIX.len() + RANDOM - text.len();
            text.extend(even.take(missing));
        }
        let sum = checksum(&text);
        text.push_str(&sum);
        Ok(Self(text))
    }

    /// One that was made elsewhere.
    pub(crate) fn of(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text, for the one answer that shows it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenText(..)")
    }
}

/// What is kept of a token, hex.
pub(crate) fn digest(key: &DigestKey, token: &str) -> String {
    blake3::Hash::from_bytes(key.digest(token.as_bytes()).0).to_hex().to_string()
}

fn digit(value: u32) -> char {
    let place = usize::try_from(value % 62).unwrap_or_default();
    ALPHABET.get(place).map_or('0', |byte| char::from(*byte))
}

fn checksum(text: &str) -> String {
    let hash = blake3::hash(text.as_bytes());
    let mut left = hash.as_bytes().first_chunk::<4>().map_or(0, |bytes| u32::from_be_bytes(*bytes));
    let mut digits = [' '; CHECKSUM];
    for place in digits.iter_mut().rev() {
        *place = digit(left);
        left /= 62;
    }
    digits.iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn made_tokens_are_long_random_and_checked() {
        let made: HashSet<String> =
            (0..100).map(|_| TokenText::make().unwrap().expose().to_owned()).collect();
        assert_eq!(made.len(), 100);
        for token in made {
            let (body, sum) = token.split_at(PREFIX.len() + RANDOM);
            assert!(token.starts_with(PREFIX) && token.len() == PREFIX.len() + RANDOM + CHECKSUM);
            assert!(token[PREFIX.len()..].bytes().all(|byte| ALPHABET.contains(&byte)));
            assert_eq!(checksum(body), sum);
        }
    }

    #[test]
    fn made_pairs_differ_and_name_themselves() {
        let made: HashSet<String> = (0..100).map(|_| MadePair::make().unwrap().access_key_id).collect();
        assert_eq!(made.len(), 100);
        assert!(made.iter().all(|id| id.len() == 20 && id.bytes().all(|byte| byte.is_ascii_alphanumeric())));
    }

    #[test]
    fn digests_are_keyed_and_never_the_text() {
        let digests = [1, 2].map(|key| digest(&DigestKey::new([key; 32]), "kw_secret"));
        assert_ne!(digests[0], digests[1]);
        assert_eq!(digests[0].len(), 64);
        assert_eq!(format!("{:?}", TokenText::make().unwrap()), "TokenText(..)");
    }
}
