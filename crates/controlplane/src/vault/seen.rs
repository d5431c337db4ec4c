//! What people may see of a secret.

/// Hex digits of a fingerprint that people see.
const SHOWN_FINGERPRINT: usize = 8;
/// Characters of a secret that people see, at its end, and the length below which they see none.
const SHOWN_END: usize = 4;
const SHOWN_FROM: usize = 12;

/// What of a secret may be seen: `sk-…` and its last four characters; of a short one nothing.
#[must_use]
pub(crate) fn shown(secret: &str) -> String {
    let mut end = secret.char_indices().rev().skip(SHOWN_END - 1).map(|(at, _)| at);
    let from = end.next().and_then(|at| secret.get(at..));
    let prefix = secret.split_once('-').map(|(head, _)| head).filter(|head| head.len() <= SHOWN_END);
    let prefix = prefix.map(|head| format!("{head}-")).unwrap_or_default();
    match from {
        Some(end) if secret.chars().count() >= SHOWN_FROM => format!("{prefix}…{end}"),
        _ => "…".to_owned(),
    }
}

/// The first digits of a fingerprint.
#[must_use]
pub(crate) fn short(fingerprint: &str) -> &str {
    fingerprint.get(..SHOWN_FINGERPRINT).unwrap_or(fingerprint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_little() {
        assert_eq!(shown("sk-proj-0123456789abcdef"), "sk-…cdef");
        assert_eq!(shown("AIzaSy0123456789"), "…6789");
        assert_eq!(shown("short-one"), "…");
        assert_eq!(shown("a"), "…");
        assert_eq!(shown("ключ-длинный-ключ"), "…ключ");
    }
}
