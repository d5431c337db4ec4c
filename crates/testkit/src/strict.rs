//! The strict provider of `tests/strict_provider`: the referee that refuses what the official SDKs' own types do
//! not describe, and remembers every request. Starting it takes seconds, so tests share one and tell their own
//! requests from others' by a key of their own.

use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::process::{Process, StartError, root, search_path};
use crate::sdk;

/// Names the address of one that is already running.
pub const URL: &str = "KEYWAY_STRICT_URL";

/// It checks each of its own replies before it listens, on a machine that may be busy.
const READY_LIMIT: Duration = Duration::from_secs(120);

/// Ends what it runs when its own standard input ends, so that the provider never outlives a killed test.
const LEASH: &str = r#"exec 3<&0; { cat <&3; kill $$; } >/dev/null 2>&1 & exec "$@" </dev/null 3<&-"#;

/// A running strict provider, or the address of one.
#[derive(Debug)]
pub struct Strict {
    url: String,
    _process: Option<Process>,
}

/// One request as the provider saw it.
#[derive(Debug, Deserialize)]
pub struct Seen {
    /// Its number: requests are counted as they come.
    pub n: u64,
    /// `openai-chat` and so on; none for a path that no provider serves.
    pub dialect: Option<String>,
    /// Without the query.
    pub path: String,
    /// The model it asked for.
    pub model: Option<String>,
    /// Whether a stream was asked for.
    pub stream: Option<bool>,
    /// The status that was answered.
    pub status: Option<u16>,
    /// Lower-case names; secrets are masked.
    pub headers: Value,
    /// The body as JSON.
    pub body: Value,
    /// What the provider understood, the same in every dialect; null where it refused to read on.
    pub seen: Value,
    /// What the provider found wrong.
    pub violations: Vec<Value>,
    /// `in flight`, `complete`, `cut by script` or `aborted by caller`.
    pub outcome: String,
    key: Option<String>,
}

/// A credential that only one test uses.
#[derive(Debug, Clone)]
pub struct Key {
    /// Its name in the provider's records.
    pub name: String,
    /// What goes into keyway.yaml.
    pub secret: String,
}

#[derive(Deserialize)]
struct Records {
    requests: Vec<Seen>,
}

impl Strict {
    /// The one that all tests share: the one of `KEYWAY_STRICT_URL`, else one a test process.
    pub fn shared() -> Result<&'static Self, String> {
        static SHARED: OnceLock<Result<Strict, String>> = OnceLock::new();
        SHARED
            .get_or_init(|| Self::found_or_started().map_err(|why| why.to_string()))
            .as_ref()
            .map_err(Clone::clone)
    }

    /// Starts one.
    pub fn start() -> Result<Self, StartError> {
        let mut command = Command::new("sh");
        command
            .args(["-c", LEASH, "sh"])
            .arg(sdk::python()?)
            .args(["-m", "strict_provider", "--port", "0", "--print-port"])
            .current_dir(root().join("tests"))
            .env_clear()
            .env("PATH", search_path())
            .stdin(Stdio::piped());
        let mut process = Process::spawn("the strict provider", &mut command)?;
        let port = process.until(READY_LIMIT, "printed its port", |process| {
            process.stdout().split_once('\n').map(|(line, _)| line.trim().to_owned())
        })?;
        Ok(Self { url: format!("http://127.0.0.1:{port}"), _process: Some(process) })
    }

    /// Its address, without `/v1`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Makes it accept one more key.
    pub async fn new_key(&self, test: &str) -> Result<Key, reqwest::Error> {
        self.accept(test, |name| format!("sk-strict-{name}")).await
    }

    /// Makes it accept one more AWS key pair, `ACCESS:SECRET`.
    pub async fn new_pair(&self, test: &str) -> Result<Key, reqwest::Error> {
        let access = |name: &str| name.replace('-', "").to_uppercase();
        self.accept(test, |name| format!("AKID{}:aws-strict-{name}", access(name))).await
    }

    async fn accept(&self, test: &str, secret: impl FnOnce(&str) -> String) -> Result<Key, reqwest::Error> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("{test}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let secret = secret(&name);
        self.keys(&json!({ "add": { &name: &secret } })).await?;
        Ok(Key { name, secret })
    }

    /// `POST /_strict/keys` with `{"revoke": [name]}` and the like.
    pub async fn keys(&self, verbs: &Value) -> Result<(), reqwest::Error> {
        let url = format!("{}/_strict/keys", self.url);
        reqwest::Client::new().post(url).json(verbs).send().await?.error_for_status()?;
        Ok(())
    }

    /// What came with this key, in order.
    pub async fn seen(&self, key: &Key) -> Result<Vec<Seen>, reqwest::Error> {
        let url = format!("{}/_strict/requests", self.url);
        let records: Records = reqwest::get(url).await?.error_for_status()?.json().await?;
        Ok(records.requests.into_iter().filter(|seen| seen.key.as_deref() == Some(&key.name)).collect())
    }

    fn found_or_started() -> Result<Self, StartError> {
        match std::env::var_os(URL).and_then(|url| url.into_string().ok()) {
            Some(url) => Ok(Self { url, _process: None }),
            None => Self::start(),
        }
    }
}
