//! AWS's published test suite of signatures (github.com/awslabs/aws-c-auth, tests/aws-signing-test-suite/v4), as far as it
//! is about services other than S3, sent headers, and paths as they stand on the wire.

use super::*;
use http::HeaderMap;
use keyway_snapshot::Secret;
use serde_json::Value;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
/// Its own files are of two different days.
const CANONICAL_ONLY: &str = "double-encode-path";

struct Vector {
    name: String,
    message: [String; 4],
    headers: HeaderMap,
    at: Instant,
    canonical: String,
    authorization: String,
}

fn vectors() -> Vec<Vector> {
    let all: Vec<Value> = serde_json::from_str(include_str!("vectors.json")).unwrap();
    all.iter().map(vector).collect()
}

fn vector(from: &Value) -> Vector {
    let text = |field: &str| from[field].as_str().unwrap_or_default().to_owned();
    let mut headers = HeaderMap::new();
    for pair in from["headers"].as_array().unwrap() {
        let name: http::HeaderName = pair[0].as_str().unwrap().parse().unwrap();
        headers.append(name, pair[1].as_str().unwrap().parse().unwrap());
    }
    headers.insert(DATE, text("date").parse().unwrap());
    if let Some(token) = from["token"].as_str() {
        headers.insert(TOKEN, token.parse().unwrap());
    }
    Vector {
        name: text("name"),
        message: ["method", "path", "query", "body"].map(text),
        headers,
        at: Instant::parse(&text("date")).unwrap(),
        canonical: text("canonical"),
        authorization: text("authorization"),
    }
}

impl Vector {
    fn message<'a>(&'a self, headers: &'a HeaderMap) -> Message<'a> {
        let [method, path, query, body] = &self.message;
        Message { method, path, query, headers, authority: "", body: hash([body.as_bytes()]) }
    }

    fn claim(&self) -> (Claim, HeaderMap) {
        let mut headers = self.headers.clone();
        headers.insert(http::header::AUTHORIZATION, self.authorization.parse().unwrap());
        assert!(Claim::is_made(&headers));
        (Claim::read(&headers, self.at.unix() + 299).unwrap(), headers)
    }
}

#[test]
fn the_published_suite() {
    let all = vectors();
    assert!(all.len() >= 30, "{}", all.len());
    for vector in &all {
        let signed = vector.authorization.split("SignedHeaders=").nth(1).unwrap().split(',').next().unwrap();
        let signed: Vec<&str> = signed.split(';').collect();
        let canonical = vector.message(&vector.headers).canonical(&signed);
        assert_eq!(canonical.as_deref(), Some(vector.canonical.as_str()), "{}", vector.name);
        if vector.name != CANONICAL_ONLY {
            let (claim, headers) = vector.claim();
            assert_eq!(claim.check(SECRET.as_bytes(), &vector.message(&headers)), Ok(()), "{}", vector.name);
        }
    }
}

#[test]
fn a_signature_is_over_one_request_by_one_key() {
    for vector in vectors().iter().filter(|vector| vector.name != CANONICAL_ONLY) {
        let (claim, headers) = vector.claim();
        let message = vector.message(&headers);
        let wrong = |message: Message<'_>, secret: &[u8]| claim.check(secret, &message).is_err();
        assert!(wrong(message, b"another"), "{}", vector.name);
        assert!(wrong(Message { body: hash([&b"another"[..]]), ..message }, SECRET.as_bytes()));
        assert!(wrong(Message { path: "/another", ..message }, SECRET.as_bytes()));
        assert!(wrong(Message { query: "another=1", ..message }, SECRET.as_bytes()));
        assert!(wrong(Message { method: "PUT", ..message }, SECRET.as_bytes()));
        let mut other = headers.clone();
        other.insert("host", "another.example".parse().unwrap());
        assert!(wrong(Message { headers: &other, ..message }, SECRET.as_bytes()));
        other.remove("host");
        assert!(wrong(Message { headers: &other, ..message }, SECRET.as_bytes()));
        let held = headers["host"].to_str().unwrap().to_owned();
        let named = Message { headers: &other, authority: &held, ..message };
        assert_eq!(claim.check(SECRET.as_bytes(), &named), Ok(()), "HTTP/2 has no such header");
        let mut unsigned = headers.clone();
        unsigned.insert(CONTENT, "UNSIGNED-PAYLOAD".parse().unwrap());
        assert!(wrong(Message { headers: &unsigned, ..message }, SECRET.as_bytes()));
    }
}

#[test]
fn what_is_no_claim() {
    let vector = &vectors()[2];
    let read = |authorization: &str, now: u64| {
        let mut headers = vector.headers.clone();
        headers.insert(http::header::AUTHORIZATION, authorization.parse().unwrap());
        Claim::read(&headers, now).map(|claim| claim.access_key_id)
    };
    let (right, now) = (vector.authorization.as_str(), vector.at.unix());
    assert_eq!(read(right, now).as_deref(), Ok("AKIDEXAMPLE"));
    for off in [now - 301, now + 301] {
        assert_eq!(read(right, off), Err(Wrong::Time));
    }
    for (from, to) in [
        ("AWS4-HMAC-SHA256 ", "AWS4-ECDSA-P256-SHA256 "),
        ("20150830/", "20150831/"),
        ("/aws4_request", ""),
        ("/aws4_request", "/aws4_request/x"),
        ("host;", ""),
        ("host;", "x;host;"),
        (";x-amz-date", ""),
        ("Signature=", "Signature=0"),
        ("Signature=", "Signature=g"),
        ("Credential=", "Other="),
        ("Credential=", "Signature="),
    ] {
        let wrong = right.replacen(from, to, 1);
        assert_ne!(wrong, right);
        assert_eq!(read(&wrong, now), Err(Wrong::Form), "{wrong}");
    }
}

#[test]
fn what_is_signed_here_is_taken_here() {
    let scope = |region: &str| keyway_snapshot::SigV4 {
        service: "bedrock".into(),
        region: region.into(),
        plain: None,
    };
    let signer = |secret: &str| Signer::of(&scope("eu-west-1"), &Secret::new(secret.as_bytes().to_vec()));
    for secret in ["AKIDEXAMPLE:abc/+=", "AKIDEXAMPLE:abc/+=:session/token=="] {
        let mut headers = HeaderMap::new();
        headers.insert("host", "bedrock-runtime.eu-west-1.amazonaws.com".parse().unwrap());
        headers.insert("content-type", "application/json".parse().unwrap());
        let place = ("POST", "/model/anthropic.claude-v1%3A0/converse", "");
        let body = hash([&b"{}"[..]]);
        signer(secret).unwrap().sign(place, &mut headers, body, 1_440_938_160).unwrap();
        assert_eq!(headers.contains_key(TOKEN), secret.matches(':').count() == 2);
        let claim = Claim::read(&headers, 1_440_938_160).unwrap();
        let (method, path, query) = place;
        let message = Message { method, path, query, headers: &headers, authority: "", body };
        assert_eq!(claim.check(b"abc/+=", &message), Ok(()));
    }
    for no_pair in ["ABSKQmVkcm9jaw==", ":x", "AKID:", "AK ID:x", "", "{\"type\":\"x\"}"] {
        assert!(signer(no_pair).is_none(), "{no_pair}");
    }
    assert_eq!(format!("{:?}", signer("AKID:sk-leak:tok").unwrap()), "Signer(AKID)");
}
