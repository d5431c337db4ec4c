//! What names may look like. No name is repeated in a reason: it may be a pasted secret.

use crate::secrets::looks_like_secret;

/// Characters of the name of a provider, key, client or team.
const NAME_LIMIT: usize = 63;
/// Characters of the name of an alias or an upstream model.
const MODEL_LIMIT: usize = 256;

const PASTED: &str = "looks like a key, not like a name; secrets belong into `api_key`, `secret` or `token`";

/// Of a provider, key, client or team.
///
/// # Errors
/// What is wrong with it, without the name.
pub fn name(name: &str) -> Result<(), String> {
    if looks_like_secret(name) {
        return Err(PASTED.into());
    }
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
    let begins = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if begins && name.len() <= NAME_LIMIT && name.bytes().all(fits) {
        return Ok(());
    }
    Err(format!(
        "a name has 1 to {NAME_LIMIT} lowercase letters, digits, '.', '_' or '-' and begins with a letter or digit"
    ))
}

/// Of an alias. Capitals and ':' are allowed, since aliases often repeat a model's name; '/' is not, because what
/// stands before it would be taken for a provider.
pub(super) fn alias(name: &str) -> Result<(), String> {
    if looks_like_secret(name) {
        return Err(PASTED.into());
    }
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b':');
    let begins = name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    if begins && name.len() <= MODEL_LIMIT && name.bytes().all(fits) {
        return Ok(());
    }
    Err(format!(
        "an alias has 1 to {MODEL_LIMIT} letters, digits, '.', '_', '-' or ':' and begins with a letter or digit"
    ))
}

/// Of an upstream model, or a pattern over models.
pub(super) fn model(name: &str) -> Result<(), String> {
    if looks_like_secret(name) {
        return Err(PASTED.into());
    }
    if !name.is_empty() && name.len() <= MODEL_LIMIT && name.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(());
    }
    Err(format!("a model's name has 1 to {MODEL_LIMIT} visible ASCII characters"))
}
