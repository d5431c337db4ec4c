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

/// True: the text is most likely a credential and must be neither kept as a name nor shown.
#[must_use]
pub fn looks_like_secret(text: &str) -> bool {
    let text = text.trim();
    text.len() >= SHORTEST_KEY
        && text.bytes().any(|b| b.is_ascii_digit())
        && PREFIXES.iter().any(|prefix| text.starts_with(prefix))
}
