//! AWS Signature Version 4, both ways: requests to providers are signed, and signatures of callers are checked. Pure: what
//! time it is is passed in. Rules are AWS's for every service but S3: the path is encoded once more for the signature.

mod canonical;
mod claim;
mod instant;
mod signer;

#[cfg(test)]
mod tests;

pub use canonical::Message;
pub use claim::{Claim, Wrong};
pub use instant::Instant;
pub use signer::Signer;

use aws_lc_rs::{
    digest::{Context, SHA256},
    hmac::{HMAC_SHA256, Key, Tag, sign},
};
use http::HeaderName;
use zeroize::Zeroizing;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// How every scope ends.
const TERMINATOR: &str = "aws4_request";
const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");
/// Says the body's hash itself.
const CONTENT: HeaderName = HeaderName::from_static("x-amz-content-sha256");

/// What a key is derived for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope<'a> {
    /// `20150830`.
    pub date: &'a str,
    /// `us-east-1`.
    pub region: &'a str,
    /// `bedrock`.
    pub service: &'a str,
}

/// SHA-256 of a body in pieces.
pub fn hash<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut hash = Context::new(&SHA256);
    pieces.into_iter().for_each(|piece| hash.update(piece));
    hash.finish().as_ref().try_into().unwrap_or_default()
}

// === impl Scope ===

impl Scope<'_> {
    /// As it stands in headers and in what is signed.
    fn text(&self) -> String {
        format!("{}/{}/{}/{TERMINATOR}", self.date, self.region, self.service)
    }

    /// What is signed of a request.
    fn string_to_sign(&self, at: Instant, canonical: &str) -> String {
        let hashed = hex(&hash([canonical.as_bytes()]));
        format!("{ALGORITHM}\n{}\n{}\n{hashed}", at.text(), self.text())
    }

    /// The key that signs, for one day, region and service.
    fn key(&self, secret: &[u8]) -> Key {
        let mut first = Zeroizing::new(Vec::with_capacity(4 + secret.len()));
        first.extend_from_slice(b"AWS4");
        first.extend_from_slice(secret);
        let words = [self.date, self.region, self.service, TERMINATOR];
        words.iter().fold(Key::new(HMAC_SHA256, &first), |key, word| derived(&sign(&key, word.as_bytes())))
    }
}

fn derived(tag: &Tag) -> Key {
    Key::new(HMAC_SHA256, tag.as_ref())
}

/// Lower-case.
fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from_digit(u32::from(digit), 16).unwrap_or('0')).collect()
}
