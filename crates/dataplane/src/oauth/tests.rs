//! What an account is, what it signs, and what its server's answer is taken for.

use super::{Account, assertion::assertion, exchange::token};
use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::KeySize,
    signature::{KeyPair, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};
use std::{sync::LazyLock, time::Duration};

static KEY: LazyLock<RsaKeyPair> = LazyLock::new(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap());

fn pem() -> String {
    let der: Pkcs8V1Der<'_> = KEY.as_der().unwrap();
    let digits = STANDARD.encode(der.as_ref());
    let lines: Vec<&str> =
        digits.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"))
}

fn whole() -> Value {
    json!({
        "type": "service_account",
        "project_id": "p-1",
        "private_key_id": "kid-1",
        "private_key": pem(),
        "client_email": "robot@p-1.iam.gserviceaccount.com",
        "token_uri": "https://oauth2.example/token",
    })
}

fn read(json: &str) -> Option<Account> {
    Account::read(json.as_bytes(), "https://usual.example/token", "the-scope")
}

#[test]
fn an_account_signs_a_claim() {
    // As it is downloaded: pretty, and with an escape that JSON allows.
    let text = serde_json::to_string_pretty(&whole()).unwrap().replace("@p-1", "\\u0040p-1");
    let account = read(&text).unwrap();
    let jwt = assertion(&account, 1_000).unwrap();
    let (signed, signature) = jwt.rsplit_once('.').unwrap();
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, KEY.public_key().as_ref());
    public.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    let parts: Vec<Value> = signed
        .split('.')
        .map(|part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap())
        .collect();
    assert_eq!(parts[0], json!({ "alg": "RS256", "typ": "JWT", "kid": "kid-1" }));
    let claim = json!({
        "iss": "robot@p-1.iam.gserviceaccount.com",
        "scope": "the-scope",
        "aud": "https://oauth2.example/token",
        "iat": 1_000,
        "exp": 4_600,
    });
    assert_eq!(parts[1], claim);
    assert_eq!(format!("{account:?}"), "Account(robot@p-1.iam.gserviceaccount.com)");
}

#[test]
fn what_is_no_account() {
    let with = |field: &str, value: Value| {
        let mut account = whole();
        account[field] = value;
        read(&account.to_string())
    };
    assert!(with("type", json!("authorized_user")).is_none());
    assert!(
        with("private_key", json!("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"))
            .is_none()
    );
    assert!(with("private_key", json!("none")).is_none());
    assert!(with("client_email", json!(7)).is_none());
    assert!(with("token_uri", json!("http://oauth2.example/token")).is_none(), "in clear");
    assert!(with("token_uri", json!("http://127.0.0.1:9/token")).is_some(), "on this machine");
    assert_eq!(with("token_uri", json!("")).unwrap().token_url(), "https://usual.example/token");
    for no_json in ["", "{", "[]", "AIzaSyKey"] {
        assert!(read(no_json).is_none(), "{no_json}");
    }
}

#[test]
fn what_is_a_token() {
    let seconds = Duration::from_secs;
    for (body, expected) in [
        (
            r#"{"access_token":"ya29.a","expires_in":3599,"token_type":"Bearer"}"#,
            Some(("ya29.a", seconds(3599))),
        ),
        (r#"{"access_token":"t"}"#, Some(("t", seconds(3600)))),
        (r#"{"access_token":"t","expires_in":"60"}"#, Some(("t", seconds(60)))),
        (r#"{"access_token":"t","expires_in":18446744073709551615}"#, Some(("t", seconds(86_400)))),
        (r#"{"access_token":""}"#, None),
        (r#"{"access_token":null}"#, None),
        (r#"{"access_token":"t","expires_in":-1}"#, None),
        (r#"{"id_token":"t"}"#, None),
        ("<html>", None),
    ] {
        let found = token(body.as_bytes());
        let found = found.as_ref().map(|(token, lives)| (std::str::from_utf8(token).unwrap(), *lives));
        assert_eq!(found, expected, "{body}");
    }
}
