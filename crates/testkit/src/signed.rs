//! Requests signed as AWS's SDKs sign them (Signature Version 4), written a second time, apart from the product.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};

/// What one signature is made of. Tests change a field to make a wrong one.
#[derive(Debug, Clone)]
pub struct Signed<'a> {
    /// The access key's id.
    pub id: &'a str,
    /// The secret access key.
    pub secret: &'a str,
    /// As on the wire; percent signs are encoded once more for the signature.
    pub path: &'a str,
    /// The `host` header.
    pub host: &'a str,
    /// What is signed; another may be sent.
    pub body: &'a str,
    /// `20150830T123600Z`.
    pub time: &'a str,
}

impl Signed<'_> {
    /// The whole request over HTTP/1.1, with `sent` as its body.
    #[must_use]
    pub fn post(&self, sent: &str) -> Vec<u8> {
        let Self { path, host, time, .. } = self;
        let authorization = self.authorization();
        format!(
            "POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\nx-amz-date: {time}\r\n\
             amz-sdk-invocation-id: of-the-test\r\nauthorization: {authorization}\r\n\
             content-length: {}\r\n\r\n{sent}",
            sent.len(),
        )
        .into_bytes()
    }

    /// The header that proves it.
    #[must_use]
    pub fn authorization(&self) -> String {
        const NAMES: &str = "content-type;host;x-amz-date";
        let Self { id, secret, path, host, body, time } = self;
        let day = time.get(..8).unwrap_or_default();
        let scope = format!("{day}/us-east-1/bedrock/aws4_request");
        let twice = path.replace('%', "%25");
        let headers = format!("content-type:application/json\nhost:{host}\nx-amz-date:{time}\n");
        let canonical = format!(
            "POST\n{twice}\n\n{headers}\n{NAMES}\n{}",
            hex(digest(&SHA256, body.as_bytes()).as_ref())
        );
        let hashed = hex(digest(&SHA256, canonical.as_bytes()).as_ref());
        let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{hashed}");
        let first = Key::new(HMAC_SHA256, format!("AWS4{secret}").as_bytes());
        let key = [day, "us-east-1", "bedrock", "aws4_request"]
            .iter()
            .fold(first, |key, word| Key::new(HMAC_SHA256, sign(&key, word.as_bytes()).as_ref()));
        let signature = hex(sign(&key, text.as_bytes()).as_ref());
        format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={NAMES}, Signature={signature}")
    }
}

/// A second as signatures write it.
#[must_use]
pub fn time(unix: u64) -> String {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let (mut days, second) = (unix / 86_400, unix % 86_400);
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let mut month = 1;
    for length in [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}{month:02}{:02}T{hour:02}{minute:02}{second:02}Z", days + 1)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
