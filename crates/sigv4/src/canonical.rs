//! A request in the one form that is signed.

use crate::hex;
use http::HeaderMap;
use percent_encoding::percent_decode_str;

/// What of a request is signed.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// `POST`.
    pub method: &'a str,
    /// As on the wire, its percent signs included.
    pub path: &'a str,
    /// As on the wire, without `?`.
    pub query: &'a str,
    /// As on the wire; which of them are signed is said with the signature.
    pub headers: &'a HeaderMap,
    /// What stands for `host` where there is no such header, as in HTTP/2.
    pub authority: &'a str,
    /// SHA-256 of the body.
    pub body: [u8; 32],
}

// === impl Message ===

impl Message<'_> {
    /// The canonical request over these headers, whose names are lower-case and in order; `None` if one is not there.
    pub(crate) fn canonical(&self, signed: &[&str]) -> Option<String> {
        let mut text = String::with_capacity(512);
        for part in [self.method, "\n", &path(self.path), "\n", &query(self.query), "\n"] {
            text.push_str(part);
        }
        for name in signed {
            text.push_str(name);
            text.push(':');
            self.value(name, &mut text)?;
            text.push('\n');
        }
        text.push('\n');
        text.push_str(&signed.join(";"));
        text.push('\n');
        text.push_str(&hex(&self.body));
        Some(text)
    }

    /// All values of a header, each without surplus spaces.
    fn value(&self, name: &str, text: &mut String) -> Option<()> {
        let mut values = self.headers.get_all(name).iter().peekable();
        if values.peek().is_none() {
            text.push_str(Some(self.authority).filter(|host| name == "host" && !host.is_empty())?);
        }
        for (place, value) in values.enumerate() {
            let value = std::str::from_utf8(value.as_bytes()).ok()?;
            text.push_str(if place > 0 { "," } else { "" });
            for (place, word) in value.split([' ', '\t']).filter(|word| !word.is_empty()).enumerate() {
                text.push_str(if place > 0 { " " } else { "" });
                text.push_str(word);
            }
        }
        Some(())
    }
}

/// Without steps that lead nowhere, and encoded once more.
fn path(raw: &str) -> String {
    let mut steps: Vec<&str> = Vec::new();
    for step in raw.split('/') {
        match step {
            "" | "." => {}
            ".." => {
                steps.pop();
            }
            step => steps.push(step),
        }
    }
    let mut text = String::with_capacity(raw.len() + 16);
    for step in &steps {
        text.push('/');
        encode(step.as_bytes(), &mut text);
    }
    if text.is_empty() || ["/", "/.", "/.."].iter().any(|end| raw.ends_with(end)) {
        text.push('/');
    }
    text
}

/// Its pairs in order.
fn query(raw: &str) -> String {
    let pairs = raw.split('&').filter(|pair| !pair.is_empty());
    let mut pairs: Vec<(String, String)> = pairs.map(pair).collect();
    pairs.sort();
    let pairs: Vec<String> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

fn pair(raw: &str) -> (String, String) {
    let (name, value) = raw.split_once('=').unwrap_or((raw, ""));
    let again = |raw: &str| {
        let mut text = String::with_capacity(raw.len());
        encode(&percent_decode_str(raw).collect::<Vec<u8>>(), &mut text);
        text
    };
    (again(name), again(value))
}

/// All but what RFC 3986 calls unreserved.
fn encode(bytes: &[u8], text: &mut String) {
    for byte in bytes {
        match byte {
            b'-' | b'.' | b'_' | b'~' => text.push(char::from(*byte)),
            _ if byte.is_ascii_alphanumeric() => text.push(char::from(*byte)),
            _ => {
                text.push('%');
                text.push_str(&hex(&[*byte]).to_ascii_uppercase());
            }
        }
    }
}
