//! What an error event of a target says, as far as choosing the next step needs it. Never its text.

use serde_json::Value;

/// Letters of a code that are kept.
const CODE_LIMIT: usize = 64;

/// A target's own error, sent in a stream with status 200.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The status that the error would have had as a plain reply, guessed from its code and type; 502 if unknown.
    pub status: u16,
    /// The target's code or type, if it has the form of one: a short word, never free text.
    pub code: Option<String>,
}

// === impl Refused ===

impl Refused {
    /// Reads the data of an error event of any dialect.
    pub(crate) fn read(data: &[u8]) -> Self {
        let value: Value = serde_json::from_slice(data).unwrap_or_default();
        let response = value.get("response").unwrap_or(&value);
        let error = response.get("error").filter(|error| error.is_object()).unwrap_or(response);
        let words = [word(error, "code"), word(error, "type"), word(error, "status")];
        let status = ["code", "status", "status_code"].iter().find_map(|key| number(error, key));
        let status =
            status.or_else(|| words.iter().flatten().find_map(|word| status_of(word))).unwrap_or(502);
        let code = words.into_iter().flatten().find(|word| word != "error");
        Self { status, code }
    }

    /// An error that its dialect tells by a name alone.
    pub(crate) fn named(status: u16, name: &str) -> Self {
        Self { status, code: plain(name).map(str::to_owned) }
    }
}

/// A status that stands as a number or as its digits.
fn number(error: &Value, key: &str) -> Option<u16> {
    let value = error.get(key)?;
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
    u16::try_from(number).ok().filter(|status| (400..600).contains(status))
}

fn word(error: &Value, key: &str) -> Option<String> {
    plain(error.get(key)?.as_str()?).map(str::to_owned)
}

/// A text that has the form of a code.
fn plain(text: &str) -> Option<&str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    (!text.is_empty() && text.len() <= CODE_LIMIT && text.bytes().all(plain)).then_some(text)
}

fn status_of(word: &str) -> Option<u16> {
    let status = match word {
        "invalid_request_error" | "invalid_prompt" | "context_length_exceeded" | "invalid_request" => 400,
        "authentication_error" | "invalid_api_key" => 401,
        "billing_error" => 402,
        "permission_error" | "permission_denied" => 403,
        "not_found_error" | "model_not_found" => 404,
        "conflict_error" => 409,
        "request_too_large" => 413,
        "rate_limit_error" | "rate_limit_exceeded" | "insufficient_quota" | "tokens" | "requests" => 429,
        "api_error" | "server_error" | "internal_error" | "internal_server_error" => 500,
        "overloaded" | "service_unavailable" | "service_unavailable_error" => 503,
        "timeout_error" | "timeout" => 504,
        "overloaded_error" => 529,
        _ => return None,
    };
    Some(status)
}
