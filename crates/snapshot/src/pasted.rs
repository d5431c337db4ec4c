//! Tells a key that was pasted in the place of a model's name, by how keys begin and by being too random for a name.
//! As `keyway-config` tells it, on which replicas do not depend.

/// How keys begin.
const PREFIXES: [&str; 31] = [
    "sk-ant-",
    "sk-proj-",
    "sk-or-",
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
    "eyJ",
    "voyage-",
    "jina_",
    "dop_v1_",
    "xoxb-",
    "xoxp-",
];
/// What is shorter may be a name.
const SHORTEST_KEY: usize = 20;
/// Keys hold a stretch of so many letters and digits without a break.
const RANDOM_STRETCH: usize = 12;
/// Different characters in that stretch.
const DIFFERENT: u32 = 8;
/// Lengths of the parts of a UUID, which is a name.
const UUID: [usize; 5] = [8, 4, 4, 4, 12];

/// Whether some part of a name most likely is a key. It allocates nothing.
#[must_use]
pub fn looks_like_key(name: &str) -> bool {
    let breaks = |c: char| c.is_whitespace() || "=:,;/?&@\"'`()[]{}<>|".contains(c);
    let is_file = || name.contains("-----BEGIN") && name.contains("PRIVATE KEY");
    name.len() >= SHORTEST_KEY && (is_file() || name.split(breaks).any(is_key))
}

fn is_key(word: &str) -> bool {
    let rest = || PREFIXES.iter().find_map(|prefix| word.strip_prefix(prefix));
    word.len() >= SHORTEST_KEY
        && rest().is_some_and(|rest| !is_uuid(rest))
        && word.split(|c: char| !c.is_ascii_alphanumeric()).any(is_random)
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

    #[test]
    fn it_knows_as_many_kinds_as_the_configuration() {
        let (_, list) = include_str!("../../config/src/secrets.rs").split_once("const PREFIXES").unwrap();
        let (list, _) = list.split_once("];").unwrap();
        let known: Vec<&str> =
            list.lines().filter_map(|line| line.trim().strip_prefix("(\"")?.split('"').next()).collect();
        assert_eq!(known, PREFIXES);
    }
}
