//! A form that is posted to `/` and signed: the one request that IAM and STS need.

use super::Pair;
use http::{HeaderMap, HeaderValue, header};
use keyway_sigv4::{Signer, hash};
use keyway_snapshot::{Secret, SigV4};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");
/// All but what RFC 3986 calls unreserved.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The headers of the request with that body, signed for a region and a service, now (seconds since 1970); `None` if the pair
/// or the host is none.
pub(super) fn headers(
    pair: &Pair,
    (service, region): (&str, &str),
    (host, body): (&str, &str),
    now: u64,
) -> Option<HeaderMap> {
    let scope = SigV4 { service: service.into(), region: region.into(), plain: None };
    let secret = Secret::new([pair.id.as_bytes(), b":", pair.secret.as_bytes()].concat());
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, CONTENT_TYPE);
    headers.insert(header::HOST, HeaderValue::from_str(host).ok()?);
    Signer::of(&scope, &secret)?.sign(("POST", "/", ""), &mut headers, hash([body.as_bytes()]), now)?;
    Some(headers)
}

/// A form's body; unreserved characters stand as they are.
pub(super) fn form(parameters: &[(&str, &str)]) -> String {
    let encoded = |text| utf8_percent_encode(text, ESCAPED);
    let pairs: Vec<String> =
        parameters.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    pairs.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_encoded_and_signed() {
        assert_eq!(form(&[("a", "b c/+="), ("d", "é")]), "a=b%20c%2F%2B%3D&d=%C3%A9");
        let secret = zeroize::Zeroizing::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned());
        let pair = Pair { id: "AKIDEXAMPLE".to_owned(), secret };
        let body = form(&[("Param1", "value1")]);
        let place = ("service", "us-east-1");
        let signed = headers(&pair, place, ("example.amazonaws.com", &body), 1_440_938_160).unwrap();
        // The published vector signs `content-length` too: the signature here is checked by the rule it was made by, and
        // that rule by AWS's suite in `keyway-sigv4`.
        let claim = keyway_sigv4::Claim::read(&signed, 1_440_938_160).unwrap();
        let message = keyway_sigv4::Message {
            method: "POST",
            path: "/",
            query: "",
            headers: &signed,
            authority: "",
            body: hash([body.as_bytes()]),
        };
        assert_eq!(claim.check(pair.secret.as_bytes(), &message), Ok(()));
        assert!(headers(&Pair { id: String::new(), ..pair }, place, ("h", ""), 0).is_none());
    }
}
