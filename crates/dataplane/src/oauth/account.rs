//! A service account's JSON, read without leaving copies of its key behind.

use aws_lc_rs::signature::RsaKeyPair;
use base64::Engine as _;
use http::{Uri, uri::PathAndQuery};
use keyway_snapshot::Origin;
use serde_json::value::RawValue;
use std::{collections::HashMap, fmt};
use zeroize::Zeroizing;

/// The kind of JSON that is an account with a key; others (`authorized_user`, `external_account`) have none.
const KIND: &str = "service_account";
const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

/// A service account that can sign.
pub(super) struct Account {
    email: String,
    /// Which of its keys.
    key_id: String,
    key: RsaKeyPair,
    /// Where its tokens are had.
    pub(super) origin: Origin,
    pub(super) path: PathAndQuery,
    /// The same, as it is signed.
    token_url: String,
    scope: Box<str>,
}

// === impl Account ===

impl Account {
    /// `None` if it is not an account's JSON, or its token server is reached in clear from elsewhere than this machine.
    pub(super) fn read(json: &[u8], token_url: &str, scope: &str) -> Option<Self> {
        let fields: HashMap<&str, &RawValue> = serde_json::from_slice(json).ok()?;
        let text = |name: &str| Some(unescaped(fields.get(name)?.get())?.to_string());
        if text("type")? != KIND {
            return None;
        }
        let token_url =
            text("token_uri").filter(|own| !own.is_empty()).unwrap_or_else(|| token_url.to_owned());
        let uri: Uri = token_url.parse().ok()?;
        let origin = Origin::of(&uri).ok()?;
        if !origin.tls && !is_loopback(&origin.host) {
            return None;
        }
        Some(Self {
            email: text("client_email")?,
            key_id: text("private_key_id")?,
            key: key(&unescaped(fields.get("private_key")?.get())?)?,
            path: uri.path_and_query()?.clone(),
            origin,
            token_url,
            scope: scope.into(),
        })
    }

    pub(super) fn email(&self) -> &str {
        &self.email
    }

    pub(super) fn key_id(&self) -> &str {
        &self.key_id
    }

    pub(super) fn key(&self) -> &RsaKeyPair {
        &self.key
    }

    pub(super) fn token_url(&self) -> &str {
        &self.token_url
    }

    pub(super) fn scope(&self) -> &str {
        &self.scope
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Account({})", self.email)
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A JSON text without its quotes and escapes. A parser's own buffers would keep what they held.
fn unescaped(raw: &str) -> Option<Zeroizing<String>> {
    let mut rest = raw.strip_prefix('"')?.strip_suffix('"')?.chars();
    let mut text = Zeroizing::new(String::with_capacity(raw.len()));
    while let Some(first) = rest.next() {
        text.push(match first {
            '\\' => match rest.next()? {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'u' => {
                    let (code, tail) = rest.as_str().split_at_checked(4)?;
                    rest = tail.chars();
                    char::from_u32(u32::from_str_radix(code, 16).ok()?)?
                }
                same @ ('"' | '\\' | '/') => same,
                _ => return None,
            },
            plain => plain,
        });
    }
    Some(text)
}

/// From PEM of PKCS #8.
fn key(pem: &str) -> Option<RsaKeyPair> {
    let body = pem.trim().strip_prefix(BEGIN)?.strip_suffix(END)?;
    let mut digits = Zeroizing::new(Vec::with_capacity(body.len()));
    digits.extend(body.bytes().filter(|byte| !byte.is_ascii_whitespace()));
    let mut der = Zeroizing::new(vec![0; digits.len() / 4 * 3 + 3]);
    let length = base64::engine::general_purpose::STANDARD.decode_slice(&*digits, &mut der).ok()?;
    RsaKeyPair::from_pkcs8(der.get(..length)?).ok()
}
