//! Signs requests to a provider.

use crate::{ALGORITHM, DATE, Instant, Message, Scope, TOKEN, hex};
use aws_lc_rs::hmac::sign;
use http::{HeaderMap, HeaderValue, header};
use keyway_snapshot::{Secret, SigV4, header_value};
use std::{fmt, ops::Range};

/// Headers that are signed where they are there, in order. Nothing on the way may change them.
const SIGNED: [&str; 4] = ["content-type", "host", "x-amz-date", "x-amz-security-token"];

/// A key pair, and what it signs for.
pub struct Signer {
    access_key_id: Box<str>,
    secret: Secret,
    /// Where the secret access key stands in the secret.
    key: Range<usize>,
    token: Option<HeaderValue>,
    region: Box<str>,
    service: Box<str>,
}

// === impl Signer ===

impl Signer {
    /// From `ACCESS_KEY_ID:SECRET_ACCESS_KEY[:SESSION_TOKEN]`; `None` if it is not of that form.
    #[must_use]
    pub fn of(scope: &SigV4, secret: &Secret) -> Option<Self> {
        let text = std::str::from_utf8(secret.expose()).ok()?;
        let (access_key_id, rest) = text.split_once(':')?;
        let (key, token) = rest.split_once(':').map_or((rest, None), |(key, token)| (key, Some(token)));
        let named = access_key_id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !named || access_key_id.is_empty() || key.is_empty() {
            return None;
        }
        let token = match token {
            None => None,
            Some(token) => Some(header_value("", token.as_bytes())?),
        };
        let from = access_key_id.len() + 1;
        Some(Self {
            access_key_id: access_key_id.into(),
            key: from..from + key.len(),
            secret: secret.clone(),
            token,
            region: scope.region.clone(),
            service: scope.service.clone(),
        })
    }

    /// Looks at the secret access key, and at the session token.
    pub fn each_mark(&self, look: &mut impl FnMut(&[u8])) {
        if let Some(key) = self.secret.expose().get(self.key.clone()) {
            look(key);
        }
        if let Some(token) = &self.token {
            look(token.as_bytes());
        }
    }

    /// Signs a request whose headers are complete but for its own: `authorization` and `x-amz-*`.
    #[must_use]
    pub fn sign(
        &self,
        (method, path, query): (&str, &str, &str),
        headers: &mut HeaderMap,
        body: [u8; 32],
        now_unix: u64,
    ) -> Option<()> {
        let at = Instant::at(now_unix);
        headers.insert(DATE, HeaderValue::from_str(at.text()).ok()?);
        if let Some(token) = &self.token {
            headers.insert(TOKEN, token.clone());
        }
        let signed: Vec<&str> = SIGNED.into_iter().filter(|name| headers.contains_key(*name)).collect();
        let scope = Scope { date: at.date(), region: &self.region, service: &self.service };
        let message = Message { method, path, query, headers, authority: "", body };
        let text = scope.string_to_sign(at, &message.canonical(&signed)?);
        let key = scope.key(self.secret.expose().get(self.key.clone())?);
        let signature = hex(sign(&key, text.as_bytes()).as_ref());
        let authorization = format!(
            "{ALGORITHM} Credential={}/{}, SignedHeaders={}, Signature={signature}",
            self.access_key_id,
            scope.text(),
            signed.join(";"),
        );
        headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&authorization).ok()?);
        Some(())
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.access_key_id)
    }
}
