//! A `keyway up` in front of a simulated provider, and what the fault tests ask of it.

use std::error::Error;
use std::io;
use std::net::SocketAddr;

use keyway_testkit::caller::{Answer, Caller, post};
use keyway_testkit::process::{Keyway, Up};
use keyway_testkit::provider::Provider;

/// The token of the client `tester`.
pub const TOKEN: &str = "kw-e2e-0123456789abcdefghijklmnop";
/// The provider key that the configurations of these tests use first.
pub const MAIN_KEY: &str = "sk-sim-main-0123456789abcdef";
/// The second key of `two_keys`.
pub const SPARE_KEY: &str = "sk-sim-spare-fedcba9876543210";
/// The path of OpenAI's chat completions.
pub const CHAT: &str = "/v1/chat/completions";
/// The path of Anthropic's messages.
pub const MESSAGES: &str = "/v1/messages";
/// The path of OpenAI's responses.
pub const RESPONSES: &str = "/v1/responses";

/// What these tests return.
pub type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    /// The process.
    pub keyway: Keyway,
    /// Where callers connect.
    pub address: SocketAddr,
}

/// A keyway.yaml in which `sim` (openai-chat), `resp` (openai-responses) and `claude` (anthropic-messages) are
/// all this simulator, and `tester` may use everything of theirs.
pub fn yaml(provider: &Provider) -> String {
    yaml_with(provider, "")
}

/// As `yaml`, with further lines for the section `models`, each indented by two blanks.
pub fn yaml_with(provider: &Provider, models: &str) -> String {
    let base = provider.base_url();
    let models = if models.is_empty() { String::new() } else { format!("models:\n{models}\n") };
    format!(
        r#"providers:
  sim: {{ dialect: openai-chat, base_url: "{base}", keys: [{{ name: main, secret: {MAIN_KEY} }}] }}
  resp: {{ dialect: openai-responses, base_url: "{base}", keys: [{{ name: main, secret: {MAIN_KEY} }}] }}
  claude:
    dialect: anthropic-messages
    base_url: "{base}"
    auth: {{ header: x-api-key }}
    keys: [{{ name: main, secret: {MAIN_KEY} }}]
{models}clients:
  tester: {{ token: {TOKEN}, models: ["sim/*", "resp/*", "claude/*", "alias-*"] }}
"#
    )
}

/// A chat body for `model`.
pub fn chat(model: &str) -> String {
    format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"hi"}}]}}"#)
}

/// A body that asks for a stream and is valid in every dialect used here.
pub fn streamed(model: &str) -> String {
    format!(
        r#"{{"model":"{model}","max_tokens":64,"stream":true,"input":"hi","messages":[{{"role":"user","content":"hi"}}]}}"#
    )
}

impl Gateway {
    /// Starts `keyway up` with this file.
    pub fn start(yaml: &str) -> Outcome<Self> {
        Self::of(Keyway::up().config(yaml))
    }

    /// Starts what was prepared.
    pub fn of(up: Up) -> Outcome<Self> {
        let keyway = up.start()?;
        let address = keyway.base_url().trim_start_matches("http://").parse()?;
        Ok(Self { keyway, address })
    }

    /// A fresh connection.
    pub async fn connect(&self) -> io::Result<Caller> {
        Caller::connect(self.address).await
    }

    /// Asks on a fresh connection with the tester's token.
    pub async fn ask(&self, path: &str, body: &str) -> io::Result<Answer> {
        self.ask_with(path, "", body).await
    }

    /// As `ask`, with further header lines, each ending in CRLF.
    pub async fn ask_with(&self, path: &str, more: &str, body: &str) -> io::Result<Answer> {
        self.connect().await?.ask(&post(path, TOKEN, more, body.as_bytes())).await
    }

    /// Asserts that a plain request is answered on the connection `same`, unless `last` said that it closes, in
    /// which case it must be closed; and on a fresh connection; and that no secret stands in what it wrote.
    pub async fn goes_on(&self, same: Option<(&mut Caller, &Answer)>) -> Outcome {
        let good = post(CHAT, TOKEN, "", chat("sim/good").as_bytes());
        if let Some((same, last)) = same {
            if last.closes() || !last.complete {
                assert!(same.closed().await?, "bytes after an answer that closes");
            } else {
                let answer = same.ask(&good).await?;
                assert_eq!(answer.status, 200, "the same connection: {}", answer.text());
            }
        }
        let answer = self.connect().await?.ask(&good).await?;
        assert_eq!(answer.status, 200, "a fresh connection: {}", answer.text());
        let log = self.keyway.log();
        let leaked = [MAIN_KEY, SPARE_KEY, TOKEN].iter().any(|secret| log.contains(secret));
        assert!(!leaked, "a secret in what the gateway wrote");
        Ok(())
    }

    /// Sends `bytes` on a fresh connection, and asserts afterwards that the gateway goes on there and on another.
    pub async fn ask_and_go_on(&self, bytes: &[u8]) -> Outcome<Answer> {
        let mut caller = self.connect().await?;
        let answer = caller.ask(bytes).await?;
        self.goes_on(Some((&mut caller, &answer))).await?;
        Ok(answer)
    }
}
