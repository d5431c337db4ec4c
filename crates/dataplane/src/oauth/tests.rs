//! What an account is, what it signs, and what its server's answer is taken for.

use super::{
    Account, NoToken, Token, Tokens, UNUSED_BEFORE, assertion::assertion, exchange::token, fresh_for,
};
use crate::upstream::{Connector, client_tls};
use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::KeySize,
    signature::{KeyPair, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use http::{HeaderName, HeaderValue};
use keyway_snapshot::{OAuth, Secret};
use serde_json::{Value, json};
use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(5);

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

#[test]
fn a_token_is_renewed_in_the_last_quarter_of_its_life_and_at_most_five_minutes_before_its_end() {
    for (lives, fresh) in [
        (86_400, Some(86_100)),
        (3600, Some(3300)),
        (1200, Some(900)),
        (300, Some(225)),
        (60, Some(45)),
        // Renewed before it may not be used any more.
        (20, Some(10)),
        (11, Some(1)),
        (10, None),
        (1, None),
        (0, None),
    ] {
        assert_eq!(fresh_for(Duration::from_secs(lives)), fresh.map(Duration::from_secs), "{lives}");
    }
}

/// An account whose token server is a socket of this test.
async fn asked() -> (Tokens, Connector, TcpListener) {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut account = whole();
    account["token_uri"] = json!(format!("http://{}/token", server.local_addr().unwrap()));
    let auth = OAuth {
        token_url: "https://usual.example/token".into(),
        scope: "the-scope".into(),
        header: (HeaderName::from_static("authorization"), "Bearer ".into()),
        plain: None,
    };
    let tokens = Tokens::of(&auth, &Secret::new(account.to_string().into_bytes())).unwrap();
    (tokens, Connector::new(client_tls(None).unwrap()), server)
}

async fn give(connection: &mut TcpStream, life: u64) {
    let body = json!({ "access_token": format!("t-{life}"), "expires_in": life }).to_string();
    let mut asked = vec![0; 16 << 10];
    assert!(connection.read(&mut asked).await.unwrap() > 0);
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    connection.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
}

/// Holds a token that is to be renewed and may be used for so long.
fn hold(tokens: &Tokens, left: Duration) {
    let (value, stale) = (HeaderValue::from_static("Bearer old"), Instant::now());
    let token = Some(Token { value, asked: stale, stale, ends: stale + left + UNUSED_BEFORE });
    tokens.source.held.lock().token = token;
}

#[tokio::test]
async fn a_token_of_a_minute_is_fetched_once_and_one_of_ten_seconds_is_none() {
    let (tokens, connector, server) = asked().await;
    let (ready, ()) = tokio::join!(timeout(PATIENCE, tokens.ready(&connector)), async {
        give(&mut server.accept().await.unwrap().0, 60).await;
    });
    assert_eq!(ready.unwrap(), Ok(()));
    assert!(tokens.are_fresh());
    assert_eq!(tokens.shown().unwrap().1, "Bearer t-60");
    tokens.forget(Instant::now());
    let (ready, ()) = tokio::join!(timeout(PATIENCE, tokens.ready(&connector)), async {
        give(&mut server.accept().await.unwrap().0, 10).await;
    });
    assert_eq!(ready.unwrap(), Err(NoToken::Unreachable));
    // Whoever waited does not ask again in its turn.
    let next = timeout(PATIENCE, tokens.ready(&connector)).await;
    assert_eq!(next.unwrap(), Err(NoToken::Unreachable));
}

#[tokio::test]
async fn a_refused_token_is_renewed_once_before_its_key_is_to_blame() {
    let (tokens, ..) = asked().await;
    let before = Instant::now();
    hold(&tokens, Duration::from_secs(200));
    let (one, other) = (Instant::now(), Instant::now());
    assert!(tokens.forget(one) && tokens.shown().is_none());
    hold(&tokens, Duration::from_secs(200));
    assert!(tokens.forget(other), "it was refused with the one before");
    assert!(tokens.shown().is_some(), "and this one is not to blame");
    hold(&tokens, Duration::from_secs(200));
    tokens.source.held.lock().forgotten = None;
    assert!(!tokens.forget(before), "it was fetched for that very attempt");
}

#[tokio::test]
async fn no_request_waits_for_a_renewal_while_a_token_may_be_used() {
    let (tokens, connector, server) = asked().await;
    hold(&tokens, Duration::from_secs(200));
    for _ in 0..3 {
        // A look: nothing is waited for.
        assert_eq!(timeout(Duration::ZERO, tokens.ready(&connector)).await, Ok(Ok(())));
        assert_eq!(tokens.shown().unwrap().1, "Bearer old");
    }
    let mut connection = timeout(PATIENCE, server.accept()).await.unwrap().unwrap().0;
    assert_eq!(tokens.beside.lock().len(), 1, "one renews for all");
    give(&mut connection, 3600).await;
    let mut beside = std::mem::take(&mut *tokens.beside.lock());
    timeout(PATIENCE, beside.join_next()).await.unwrap();
    assert!(tokens.are_fresh());
    assert_eq!(tokens.shown().unwrap().1, "Bearer t-3600");
}

#[tokio::test]
async fn a_renewal_ends_with_its_key() {
    let (tokens, connector, server) = asked().await;
    hold(&tokens, Duration::from_secs(200));
    tokens.ready(&connector).await.unwrap();
    let mut connection = timeout(PATIENCE, server.accept()).await.unwrap().unwrap().0;
    drop(tokens);
    let mut rest = Vec::new();
    timeout(PATIENCE, connection.read_to_end(&mut rest)).await.unwrap().ok();
}
