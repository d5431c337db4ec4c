//! Blots a credential out of what its provider says.

use bytes::Bytes;
use memchr::memmem;

const REDACTED: &[u8] = b"[redacted]";

/// The same without the secret, which is not empty.
pub(super) fn redact(body: &[u8], secret: &[u8]) -> Bytes {
    let mut clean = Vec::with_capacity(body.len());
    let mut from = 0;
    for at in memmem::find_iter(body, secret) {
        clean.extend_from_slice(body.get(from..at).unwrap_or_default());
        clean.extend_from_slice(REDACTED);
        from = at + secret.len();
    }
    clean.extend_from_slice(body.get(from..).unwrap_or_default());
    clean.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_blotted_out() {
        assert_eq!(redact(b"bad key sk-1, sk-1!", b"sk-1"), "bad key [redacted], [redacted]!");
    }
}
