//! What an account signs to get a token: a JSON Web Token by RS256 (RFC 7515, RFC 7523).

use super::Account;
use aws_lc_rs::{rand::SystemRandom, signature::RSA_PKCS1_SHA256};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;

/// Seconds that a claim holds: the most that Google takes.
const HOLDS: u64 = 3600;

/// The claim as it is sent; `None` if the key does not sign.
pub(super) fn assertion(account: &Account, now_unix: u64) -> Option<String> {
    let header = json!({ "alg": "RS256", "typ": "JWT", "kid": account.key_id() });
    let claim = json!({
        "iss": account.email(),
        "scope": account.scope(),
        "aud": account.token_url(),
        "iat": now_unix,
        "exp": now_unix + HOLDS,
    });
    let encoded = |part: serde_json::Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let mut text = format!("{}.{}", encoded(header), encoded(claim));
    let key = account.key();
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).ok()?;
    text.push('.');
    text.push_str(&URL_SAFE_NO_PAD.encode(signature));
    Some(text)
}
