//! Finds a pasted secret in what a file or a call says, and names its field.

use crate::path;
pub use keyway_snapshot::{key_pattern as secret_pattern, looks_like_key as looks_like_secret};
use serde_json::Value;

/// Fields that are there to take a secret, and one that names a key pair.
const SECRET_FIELDS: &[&str] = &["api_key", "secret", "token", "secret_access_key", "access_key_id"];

/// The first text in a value, field's name or content, that looks like a secret where none belongs: its field and what
/// kind it is.
#[must_use]
pub fn plain_secret(value: &Value) -> Option<(String, &'static str)> {
    below(value, &At::Top, Inside::Fields)
}

/// What the names of an object are.
#[derive(Clone, Copy, PartialEq)]
enum Inside {
    /// Fields that this product knows, those for secrets among them.
    Fields,
    /// Names that the user gave.
    Names,
    /// Anything: no field is there for a secret.
    Open,
}

/// Where a value stands; written out only for the one that is found.
#[derive(Clone, Copy)]
enum At<'a> {
    Top,
    Field(&'a At<'a>, &'a str),
    Item(&'a At<'a>, usize),
}

fn below(value: &Value, at: &At<'_>, inside: Inside) -> Option<(String, &'static str)> {
    match value {
        Value::String(text) => secret_pattern(text).map(|pattern| (at.path(), pattern)),
        Value::Array(items) => {
            let mut items = items.iter().enumerate();
            items.find_map(|(place, item)| below(item, &At::Item(at, place), inside))
        }
        Value::Object(fields) => fields.iter().find_map(|(name, value)| {
            let field = At::Field(at, name);
            if let Some(pattern) = secret_pattern(name) {
                return Some((field.path(), pattern));
            }
            let takes_it =
                inside == Inside::Fields && value.is_string() && SECRET_FIELDS.contains(&name.as_str());
            if takes_it { None } else { below(value, &field, inside.of(name)) }
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

// === impl At ===

impl At<'_> {
    fn path(&self) -> String {
        match self {
            Self::Top => String::new(),
            Self::Field(above, name) => path::field(&above.path(), name),
            Self::Item(above, place) => path::item(&above.path(), *place),
        }
    }
}

// === impl Inside ===

impl Inside {
    /// What the names are in the object that has this name.
    fn of(self, name: &str) -> Self {
        match (self, name) {
            (Self::Open, _) => Self::Open,
            (Self::Fields, "providers" | "models" | "teams" | "clients") => Self::Names,
            (
                Self::Fields,
                "headers" | "limits" | "passthrough" | "policies" | "prices" | "rotation" | "telemetry",
            ) => Self::Open,
            (Self::Fields | Self::Names, _) => Self::Fields,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_are_told_from_names() {
        let keys = [
            "sk-proj-abcdefghijklmnop1234567890",
            "sk-ant-api03-Zk3vQ0aT7xYp9sLm2n-AA",
            "sk-AbCdEfGhIjKlMnOpQrStUvWx",
            "AIzaSyA1234567890abcdefghijklmnopqrstuv",
            "gsk_0123456789abcdefghij",
            "xai-0a1b2c3d4e5f6g7h8i9j",
            "AKIAIOSFODNN7EXAMPLE",
            "hf_abcdefGHIJKLmnop1234",
            "r8_0a1b2c3d4e5f6g7h8i9j",
            "nvapi-0a1b2c3d4e5f6g7h8i9j",
            "pplx-0a1b2c3d4e5f6g7h8i9j",
            "ghp_0a1b2c3d4e5f6g7h8i9j",
            "kw_zi4oHNpC8pYWwzKWMyJPVIBLY1mmtcwpIGUMWpqQ0dQ9n6",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abcdefghijklmnop",
            "-----BEGIN EC PRIVATE KEY-----\nMHcCAQ",
            "Bearer sk-proj-abcdefghijklmnop1234567890",
            "team=a,key=gsk_0123456789abcdefghij",
            "https://proxy/sk-proj-abcdefghijklmnop1234567890/v1",
        ];
        let names = [
            "sk-main",
            "sk-team",
            "sk-000000000000000000001",
            "key-production-east-1",
            "key-550e8400-e29b-41d4-a716-446655440000",
            "550e8400-e29b-41d4-a716-446655440000",
            "kw_team-with-a-long-name-2",
            "gpt-4.1-mini-2025-04-14",
            "ft:gpt-4o:org::abc",
            "ft:gpt-4o-mini-2024-07-18:my-org::A1b2C3d4E5f6G7h8",
            "voyage-multilingual-2-and-more",
            "",
            "openclaw-1",
            "https://api.openai.com/v1",
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/abc",
            "Bearer ",
        ];
        for key in keys {
            assert!(looks_like_secret(key), "{key}");
        }
        for name in names {
            assert!(!looks_like_secret(name), "{name}");
        }
    }

    #[test]
    fn every_place_but_those_for_secrets_is_looked_at_and_none_is_repeated() {
        let key = "sk-proj-abcdefghijklmnop1234567890";
        let cases = [
            (json!({ "providers": { "a": { "api_key": key, "keys": [{ "secret": key }] } } }), None),
            (json!({ "clients": { "a": { "token": key, "sigv4": { "access_key_id": key } } } }), None),
            (json!({ "providers": { "a": { "headers": { "x": key } } } }), Some("providers.a.headers.x")),
            (
                json!({ "models": { "a": { "targets": [1, { "model": key }] } } }),
                Some("models.a.targets[1].model"),
            ),
            (json!({ "models": { key: {} } }), Some("models.(withheld)")),
            (json!({ "token": { "deep": key } }), Some("token.deep")),
            (json!({ "headers": { "token": key } }), Some("headers.token")),
            (json!({ "file": { "policies": { "a": { "secret": key } } } }), Some("file.policies.a.secret")),
            (
                json!({ "providers": { "headers": { "api_key": key } }, "clients": { "limits": { "token": key } } }),
                None,
            ),
            (json!({ "clients": { "token": key } }), Some("clients.token")),
            (json!({ "policies": { "any": [[key]] } }), Some("policies.any[0][0]")),
        ];
        for (value, field) in cases {
            let found = plain_secret(&value).map(|(field, _)| field);
            assert_eq!(found.as_deref(), field, "{value}");
        }
    }
}
