//! moto's server as IAM and STS, which checks signatures and policies: a referee of another making. In front of it
//! stands the simulated provider, which passes everything on and can hold or refuse single actions.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::process::{Process, StartError};
use crate::provider::{Provider, Reply, Seen, Step};
use crate::sdk;

/// Until it listens, on a machine that may be busy.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// One call of it.
const CALL_LIMIT: Duration = Duration::from_secs(20);
/// Calls that nobody has to sign, until the test asks for one.
const UNSIGNED: &str = "0";
/// Of a call of the test's own.
const TRIES: u32 = 5;
/// Ends what it runs when its own standard input ends, so that it never outlives a killed test.
const LEASH: &str = r#"exec 3<&0; { cat <&3; kill $$; } >/dev/null 2>&1 & exec "$@" </dev/null 3<&-"#;

/// A running one.
#[derive(Debug)]
pub struct Aws {
    door: Provider,
    address: String,
    rules: Arc<Mutex<Rules>>,
    _process: Process,
}

#[derive(Debug, Default)]
struct Rules {
    /// Calls of this action get no answer.
    held: Option<String>,
    /// So many more calls of this action are answered as if the access key were not known yet.
    unknown: Option<(String, u32)>,
    /// Actions that came, in order.
    came: Vec<String>,
}

// === impl Aws ===

impl Aws {
    /// Starts one.
    pub fn start() -> Result<Self, StartError> {
        let failed = || StartError::system("moto");
        let python = sdk::folder().join("aws/bin/python");
        let mut command = Command::new("sh");
        command.args(["-c", LEASH, "sh"]).arg(&python).args([
            "-m",
            "moto.server",
            "-H",
            "127.0.0.1",
            "-p",
            "0",
        ]);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("INITIAL_NO_AUTH_ACTION_COUNT", UNSIGNED);
        let mut process = Process::spawn("moto", command.stdin(Stdio::piped()))?;
        let address = process.until(READY_LIMIT, "says where it listens", |process| {
            let said = format!("{}{}", process.stdout(), process.stderr());
            let (_, rest) = said.split_once("Running on http://")?;
            rest.split_once('\n').map(|(address, _)| address.trim().to_owned())
        })?;
        let door = Provider::start().map_err(failed())?;
        let rules = Arc::new(Mutex::new(Rules::default()));
        let (to, by) = (address.clone(), Arc::clone(&rules));
        door.decide(move |seen| {
            by.lock().decide(seen).unwrap_or_else(|| passed(&to, &seen.head, &seen.body))
        });
        Ok(Self { door, address, rules, _process: process })
    }

    /// `http://127.0.0.1:PORT`, for both services.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.door.base_url().trim_end_matches("/v1").to_owned()
    }

    /// Makes a user that may do everything, and gives its access key, `ID:SECRET`.
    pub fn user(&self, name: &str) -> io::Result<String> {
        self.call(&format!("Action=CreateUser&UserName={name}"))?;
        let made = self.call(&format!("Action=CreateAccessKey&UserName={name}"))?;
        let policy =
            r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
        let policy: String = policy.bytes().map(|byte| format!("%{byte:02X}")).collect();
        self.call(&format!("Action=PutUserPolicy&UserName={name}&PolicyName=all&PolicyDocument={policy}"))?;
        let of = |name: &str| between(&made, name).ok_or_else(|| io::Error::other(made.clone()));
        Ok(format!("{}:{}", of("AccessKeyId")?, of("SecretAccessKey")?))
    }

    /// From now on calls of this action get no answer; `None`: all do.
    pub fn hold(&self, action: Option<&str>) {
        self.rules.lock().held = action.map(str::to_owned);
        if action.is_none() {
            self.door.release();
        }
    }

    /// So many more calls of this action find the access key not known yet.
    pub fn unknown(&self, action: &str, times: u32) {
        self.rules.lock().unknown = Some((action.to_owned(), times));
    }

    /// The actions that came, in order.
    #[must_use]
    pub fn came(&self) -> Vec<String> {
        self.rules.lock().came.clone()
    }

    /// The ids of the user's access keys.
    pub fn access_keys(&self, name: &str) -> io::Result<BTreeSet<String>> {
        let listed = self.call(&format!("Action=ListAccessKeys&UserName={name}"))?;
        Ok(listed
            .split("<member>")
            .skip(1)
            .filter_map(|one| between(one, "AccessKeyId"))
            .map(str::to_owned)
            .collect())
    }

    /// Makes one more access key of the user, as somebody else would; its id.
    pub fn more(&self, name: &str) -> io::Result<String> {
        let made = self.call(&format!("Action=CreateAccessKey&UserName={name}"))?;
        between(&made, "AccessKeyId").map(str::to_owned).ok_or_else(|| io::Error::other(made.clone()))
    }

    /// A call that nobody has to sign. Somebody else's may come first and take its place; then once more.
    fn call(&self, body: &str) -> io::Result<String> {
        let body = format!("{body}&Version=2010-05-08");
        let scope = "AWS4-HMAC-SHA256 Credential=setup/20260101/us-east-1/iam/aws4_request";
        let headers =
            format!("content-type: application/x-www-form-urlencoded\r\nauthorization: {scope}\r\n");
        let mut answer = String::new();
        for _ in 0..TRIES {
            self.post("/moto-api/reset-auth", "127.0.0.1", "content-type: text/plain\r\n", "1")?;
            answer = self.post("/", "iam.amazonaws.com", &headers, &body)?;
            if answer.starts_with("HTTP/1.1 200") {
                return Ok(answer);
            }
        }
        Err(io::Error::other(answer))
    }

    fn post(&self, path: &str, host: &str, headers: &str, body: &str) -> io::Result<String> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {host}\r\n{headers}\
             content-length: {}\r\n\r\n",
            body.len()
        );
        let answer = exchange(&self.address, head.as_bytes(), body.as_bytes())?;
        String::from_utf8(answer).map_err(io::Error::other)
    }
}

// === impl Rules ===

impl Rules {
    /// `None`: it is passed on.
    fn decide(&mut self, seen: &Seen) -> Option<Reply> {
        let body = std::str::from_utf8(&seen.body).unwrap_or_default();
        let action = body.split('&').find_map(|pair| pair.strip_prefix("Action=")).unwrap_or_default();
        self.came.push(action.to_owned());
        if self.held.as_deref() == Some(action) {
            return Some(Reply::Steps(vec![Step::Hold]));
        }
        let (which, times) = self.unknown.as_mut()?;
        if which != action || *times == 0 {
            return None;
        }
        *times -= 1;
        let body = "<ErrorResponse><Error><Code>InvalidClientTokenId</Code></Error></ErrorResponse>";
        let head = format!("HTTP/1.1 403 Forbidden\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        Some(Reply::Steps(vec![Step::Send(Bytes::from(head))]))
    }
}

/// As it came, so that the signature over its host holds; the answer as it comes.
fn passed(address: &str, head: &[u8], body: &[u8]) -> Reply {
    match exchange(address, head, body) {
        Ok(answer) => {
            Reply::Steps(vec![Step::Send(Bytes::from(answer)), Step::End(crate::provider::Ending::Close)])
        }
        Err(_) => Reply::status(502),
    }
}

fn exchange(address: &str, head: &[u8], body: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(CALL_LIMIT))?;
    stream.write_all(head)?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    let mut part = [0; 4096];
    loop {
        match stream.read(&mut part)? {
            0 => return Ok(answer),
            read => answer.extend_from_slice(part.get(..read).unwrap_or_default()),
        }
        if is_whole(&answer) {
            return Ok(answer);
        }
    }
}

/// Whether all that `content-length` says has come.
fn is_whole(answer: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(answer) else { return false };
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    length.is_some_and(|length| body.len() >= length)
}

fn between<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text)
}
