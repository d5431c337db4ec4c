//! Signature Version 4 of a form that is posted to `/`: the one request that IAM and STS need. The data plane signs
//! other requests with code of its own, which the control plane does not link.

use super::Pair;
use aws_lc_rs::{digest, hmac};
use keyway_config::Expiry;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const CONTENT_TYPE: &str = "application/x-www-form-urlencoded";

/// Who signs, for what, and when (seconds since 1970).
pub(super) struct Signer<'a> {
    pub(super) pair: &'a Pair,
    pub(super) region: &'a str,
    pub(super) service: &'a str,
    pub(super) now: u64,
}

// === impl Signer ===

impl Signer<'_> {
    /// The headers of the request with that body.
    pub(super) fn headers(&self, host: &str, body: &str) -> [(&'static str, String); 5] {
        let at: String = Expiry::from_unix(self.now).to_string().replace(['-', ':'], "");
        let day = at.split('T').next().unwrap_or_default();
        let hash = hex(digest::digest(&digest::SHA256, body.as_bytes()).as_ref());
        let length = body.len().to_string();
        let signed = "content-length;content-type;host;x-amz-content-sha256;x-amz-date";
        let canonical = format!(
            "POST\n/\n\ncontent-length:{length}\ncontent-type:{CONTENT_TYPE}\nhost:{host}\n\
             x-amz-content-sha256:{hash}\nx-amz-date:{at}\n\n{signed}\n{hash}"
        );
        let canonical = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let signature = self.signature(day, &format!("{ALGORITHM}\n{at}\n{scope}\n{canonical}"));
        let authorization = format!(
            "{ALGORITHM} Credential={}/{scope}, SignedHeaders={signed}, Signature={signature}",
            self.pair.id
        );
        [
            ("content-length", length),
            ("content-type", CONTENT_TYPE.to_owned()),
            ("x-amz-content-sha256", hash),
            ("x-amz-date", at.clone()),
            ("authorization", authorization),
        ]
    }

    fn signature(&self, day: &str, text: &str) -> String {
        let first = zeroize::Zeroizing::new(format!("AWS4{}", self.pair.secret.as_str()));
        let parts = [day, self.region, self.service, "aws4_request", text];
        let mut last = mac(first.as_bytes(), parts[0]);
        for part in parts.into_iter().skip(1) {
            last = mac(last.as_ref(), part);
        }
        hex(last.as_ref())
    }
}

fn mac(key: &[u8], text: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
}

/// A form's body; unreserved characters stand as they are.
pub(super) fn form(parameters: &[(&str, &str)]) -> String {
    let pairs: Vec<String> =
        parameters.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    pairs.join("&")
}

fn encoded(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&hex(&[byte]).to_ascii_uppercase());
        }
        out
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `post-x-www-form-urlencoded` of AWS's own test vectors.
    #[test]
    fn a_known_answer() {
        let secret = zeroize::Zeroizing::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned());
        let pair = Pair { id: "AKIDEXAMPLE".to_owned(), secret };
        let now = Expiry::parse("2015-08-30T12:36:00Z").unwrap().unix();
        let signer = Signer { pair: &pair, region: "us-east-1", service: "service", now };
        let headers = signer.headers("example.amazonaws.com", &form(&[("Param1", "value1")]));
        let (_, authorization) = headers.last().unwrap();
        assert!(
            authorization.ends_with("d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b"),
            "{authorization}"
        );
        assert_eq!(form(&[("a", "b c/+="), ("d", "é")]), "a=b%20c%2F%2B%3D&d=%C3%A9");
    }
}
