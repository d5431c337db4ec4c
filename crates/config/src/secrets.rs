//! Tells a pasted key from a name, by the prefixes that providers give their keys.

/// How the keys of well-known providers begin.
const PREFIXES: &[&str] = &[
    "sk-",
    "sk_",
    "pk-",
    "rk_",
    "AIza",
    "gsk_",
    "xai-",
    "AKIA",
    "ASIA",
    "ghp_",
    "gho_",
    "github_pat_",
    "glpat-",
    "hf_",
    "r8_",
    "pplx-",
    "nvapi-",
    "fw_",
    "tgp_",
    "csk-",
    "key-",
    "kw_",
    "Bearer ",
    "eyJ",
    "voyage-",
    "jina_",
    "dop_v1_",
    "xoxb-",
    "xoxp-",
];

/// Keys are longer than this; what is shorter may be a name like `sk-main`.
const SHORTEST_KEY: usize = 20;

/// Keys hold a stretch of so many letters and digits without a break; names like `key-production-east-1` do not.
const RANDOM_STRETCH: usize = 12;

/// True: the text is most likely a credential and must be neither kept as a name nor shown.
#[must_use]
pub fn looks_like_secret(text: &str) -> bool {
    let text = text.trim();
    let mut stretches = text.split(|c: char| !c.is_ascii_alphanumeric());
    text.len() >= SHORTEST_KEY
        && PREFIXES.iter().any(|prefix| text.starts_with(prefix))
        && stretches.any(|part| part.len() >= RANDOM_STRETCH && part.bytes().any(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::looks_like_secret;

    #[test]
    fn keys_are_told_from_names() {
        let keys = [
            "sk-proj-abcdefghijklmnop1234567890",
            "sk-ant-api03-Zk3vQ0aT7xYp9sLm2n-AA",
            "AIzaSyA1234567890abcdefghijklmnopqrstuv",
            "gsk_0123456789abcdefghij",
            "AKIAIOSFODNN7EXAMPLE",
            "kw_zi4oHNpC8pYWwzKWMyJPVIBLY1mmtcwpIGUMWpqQ0dQ9n6",
        ];
        let names = [
            "sk-main",
            "key-production-east-1",
            "kw_team-with-a-long-name-2",
            "gpt-4.1-mini-2025-04-14",
            "",
            "openclaw-1",
        ];
        assert!(keys.into_iter().all(looks_like_secret));
        assert!(!names.into_iter().any(looks_like_secret));
    }
}
