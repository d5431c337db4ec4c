//! A token server for service accounts (RFC 7523) on 127.0.0.1: makes an account, checks what the account's key signs,
//! gives tokens for it, and remembers each call. Dropped, it ends.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use parking_lot::Mutex;
use serde_json::{Value, json};

/// Whose account it is.
pub const EMAIL: &str = "robot@keyway-test.iam.gserviceaccount.com";
/// What stands before the assertion in the form.
const GRANT: &str = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";
/// A caller that stands still is given up.
const LIMIT: Duration = Duration::from_secs(10);

/// A running token server.
#[derive(Debug)]
pub struct TokenServer {
    address: SocketAddr,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct State {
    key: RsaKeyPair,
    lives: AtomicU64,
    refusing: AtomicBool,
    ended: AtomicBool,
    /// What each call claimed, or what was wrong with it.
    calls: Mutex<Vec<Result<Value, String>>>,
}

impl TokenServer {
    /// Starts one whose tokens live an hour.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let key = RsaKeyPair::generate(KeySize::Rsa2048).map_err(io::Error::other)?;
        let state = Arc::new(State {
            key,
            lives: AtomicU64::new(3600),
            refusing: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            calls: Mutex::default(),
        });
        let served = Arc::clone(&state);
        let thread = std::thread::Builder::new().name("token-server".to_owned()).spawn(move || {
            for stream in listener.incoming() {
                if served.ended.load(Ordering::SeqCst) {
                    return;
                }
                if let Ok(stream) = stream {
                    // A caller that breaks off is its own affair.
                    let _ = served.serve(&stream);
                }
            }
        })?;
        Ok(Self { address, state, thread: Some(thread) })
    }

    /// The account's JSON, on one line.
    pub fn account(&self) -> io::Result<String> {
        let der: Pkcs8V1Der<'_> = self.state.key.as_der().map_err(io::Error::other)?;
        let digits = STANDARD.encode(der.as_ref());
        let account = json!({
            "type": "service_account",
            "project_id": "keyway-test",
            "private_key_id": "kid-of-the-test",
            "private_key": format!("-----BEGIN PRIVATE KEY-----\n{digits}\n-----END PRIVATE KEY-----\n"),
            "client_email": EMAIL,
            "token_uri": self.url(),
        });
        Ok(account.to_string())
    }

    /// Where tokens are had.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/token", self.address)
    }

    /// From now on tokens live so many seconds.
    pub fn lives(&self, seconds: u64) {
        self.state.lives.store(seconds, Ordering::SeqCst);
    }

    /// From now on the account is gone, or is back.
    pub fn refuse(&self, refusing: bool) {
        self.state.refusing.store(refusing, Ordering::SeqCst);
    }

    /// What each call claimed, or what was wrong with it, in order.
    #[must_use]
    pub fn calls(&self) -> Vec<Result<Value, String>> {
        self.state.calls.lock().clone()
    }

    /// The token that the call of that number, from 1, was given.
    #[must_use]
    pub fn token(number: usize) -> String {
        format!("ya29.token-of-the-test-{number}")
    }
}

impl Drop for TokenServer {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        // Wakes the accepting thread.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            // It cannot be in a panic that matters to anyone.
            let _ = thread.join();
        }
    }
}

impl State {
    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(LIMIT))?;
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let claim = self.claim(&body);
        let good = claim.is_ok() && !self.refusing.load(Ordering::SeqCst);
        let number = {
            let mut calls = self.calls.lock();
            calls.push(claim);
            calls.len()
        };
        let (status, body) = match good {
            true => {
                let lives = self.lives.load(Ordering::SeqCst);
                let token = TokenServer::token(number);
                ("200 OK", json!({ "access_token": token, "expires_in": lives, "token_type": "Bearer" }))
            }
            false => ("400 Bad Request", json!({ "error": "invalid_grant" })),
        };
        let body = body.to_string();
        let mut stream = stream;
        write!(
            stream,
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len(),
        )
    }

    /// What is claimed, if the account's key signed it.
    fn claim(&self, body: &[u8]) -> Result<Value, String> {
        let form = std::str::from_utf8(body).map_err(|_| "not text")?;
        let jwt = form.strip_prefix(GRANT).ok_or("not a grant by assertion")?;
        let (signed, signature) = jwt.rsplit_once('.').ok_or("not a JWT")?;
        let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| "not base64url".to_owned());
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, self.key.public_key().as_ref())
            .verify(signed.as_bytes(), &decoded(signature)?)
            .map_err(|_| "a wrong signature")?;
        let (_, claim) = signed.split_once('.').ok_or("no claim")?;
        serde_json::from_slice(&decoded(claim)?).map_err(|_| "a claim that is no JSON".to_owned())
    }
}
