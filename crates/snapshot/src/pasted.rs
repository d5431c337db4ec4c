//! Tells a key that was pasted where a name belongs: by the shape that providers give their keys, and by being too random
//! for a word.
//! Sees through a text: a header's `Bearer sk-…`, a tag's `k=sk-…`, a URL's path. Allocates nothing: callers can ask it.

/// How keys begin, and whose they are.
const PREFIXES: &[(&str, &str)] = &[
    ("sk-ant-", "an Anthropic key"),
    ("sk-proj-", "an OpenAI key"),
    ("sk-or-", "an OpenRouter key"),
    ("sk-", "an OpenAI key or one of that form"),
    ("sk_", "a key that begins with sk_"),
    ("pk-", "a key that begins with pk-"),
    ("rk_", "a key that begins with rk_"),
    ("AIza", "a Google key"),
    ("gsk_", "a Groq key"),
    ("xai-", "an xAI key"),
    ("AKIA", "an AWS key"),
    ("ASIA", "an AWS key"),
    ("ghp_", "a GitHub token"),
    ("gho_", "a GitHub token"),
    ("github_pat_", "a GitHub token"),
    ("glpat-", "a GitLab token"),
    ("hf_", "a Hugging Face token"),
    ("r8_", "a Replicate token"),
    ("pplx-", "a Perplexity key"),
    ("nvapi-", "an NVIDIA key"),
    ("fw_", "a Fireworks key"),
    ("tgp_", "a Together key"),
    ("csk-", "a Cerebras key"),
    ("key-", "a key that begins with key-"),
    ("kw_", "a token of Keyway"),
    ("eyJ", "a signed token (JWT)"),
    ("voyage-", "a Voyage key"),
    ("jina_", "a Jina key"),
    ("dop_v1_", "a DigitalOcean token"),
    ("xoxb-", "a Slack token"),
    ("xoxp-", "a Slack token"),
];
/// What is shorter may be a name.
const SHORTEST_KEY: usize = 20;
/// Keys hold a stretch of so many letters and digits without a break.
const RANDOM_STRETCH: usize = 12;
/// Different characters in that stretch.
const DIFFERENT: u32 = 8;
/// Lengths of the parts of a UUID, which is a name.
const UUID: [usize; 5] = [8, 4, 4, 4, 12];

/// True: the text most likely holds a credential and must be neither kept as a name nor shown.
#[must_use]
pub fn looks_like_key(text: &str) -> bool {
    key_pattern(text).is_some()
}

/// What kind of credential the text most likely holds, in words; `None` if none.
#[must_use]
pub fn key_pattern(text: &str) -> Option<&'static str> {
    if text.len() < SHORTEST_KEY {
        return None;
    }
    if text.contains("-----BEGIN") && text.contains("PRIVATE KEY") {
        return Some("a private key");
    }
    let breaks = |c: char| c.is_whitespace() || "=:,;/?&@\"'`()[]{}<>|".contains(c);
    text.split(breaks).find_map(of_word)
}

fn of_word(word: &str) -> Option<&'static str> {
    if word.len() < SHORTEST_KEY {
        return None;
    }
    let (rest, pattern) =
        PREFIXES.iter().find_map(|(prefix, pattern)| Some((word.strip_prefix(prefix)?, *pattern)))?;
    let mut stretches = word.split(|c: char| !c.is_ascii_alphanumeric());
    (!is_uuid(rest) && stretches.any(is_random)).then_some(pattern)
}

fn is_random(stretch: &str) -> bool {
    let has = |kind: fn(&u8) -> bool| stretch.as_bytes().iter().any(kind);
    let mixed = has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase);
    // One bit for each character: all are ASCII.
    let seen = stretch.bytes().fold(0_u128, |seen, byte| seen | 1 << (byte & 127));
    stretch.len() >= RANDOM_STRETCH && (has(u8::is_ascii_digit) || mixed) && seen.count_ones() >= DIFFERENT
}

fn is_uuid(text: &str) -> bool {
    text.split('-').map(str::len).eq(UUID) && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_from_models() {
        for key in [
            "sk-proj-Ab3dEf6hIj9lMn2pQr5t",
            "sk-ant-api03-Zk3vQ0aT7xYp9sLm2n-AA",
            "AIzaSyA1234567890abcdefghijklmnopqrstuv",
            "gsk_0123456789abcdefghij",
            "AKIAIOSFODNN7EXAMPLE",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abcdefghijklmnop",
            "accounts/fireworks/fw_3ZgT9bQ2mXcV7nKpLr5s",
            "-----BEGIN EC PRIVATE KEY-----\nMHcCAQ",
            "Bearer sk-proj-Ab3dEf6hIj9lMn2pQr5t",
        ] {
            assert!(looks_like_key(key), "{key}");
        }
        for name in [
            "accounts/fireworks/models/llama-v3p1-405b-instruct",
            "accounts/acme/deployedModels/qwen2p5-coder-32b-instruct-a1b2c3d4e5f6",
            "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3d4e5f6",
            "ft:gpt-4o-mini:org::id",
            "ft:gpt-4o-mini-2024-07-18:my-org::A1b2C3d4E5f6G7h8",
            "@cf/meta/llama-3.3-70b-instruct-fp8-fast",
            "meta/meta-llama-3-70b:5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa",
            "Qwen/Qwen3-235B-A22B-Instruct-2507-tput",
            "user/Meta-Llama-3.1-8B-Instruct-Reference-my-suffix-30b975fd",
            "nousresearch/hermes-3-llama-3.1-405b:free",
            "gemini-2.5-flash-lite-preview-09-2025",
            "projects/p/locations/us-central1/endpoints/1234567890123456789",
            "voyage-multilingual-2-instruct",
            "jina_embeddings-v3-text-matching",
            "key-550e8400-e29b-41d4-a716-446655440000",
            "sk-000000000000000000001",
            "o4-mini-deep-research-2025-06-26",
            "",
        ] {
            assert!(!looks_like_key(name), "{name}");
        }
    }
}
