//! OpenClaw itself: three homes, three client tokens, at once, with nothing changed but base URL and key; three that run on
//! while the providers' keys are rotated; and each of its APIs to a provider of another dialect, with a tool call in the turn.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use keyway_e2e::gateway::Outcome;
use keyway_testkit::process::{Keyway, Process};
use keyway_testkit::sdk;
use keyway_testkit::strict::{Key, Strict};
use serde_json::{Value, json};

/// How long one run of OpenClaw may take; three at once on two busy cores take a while.
const LIMIT: Duration = Duration::from_secs(180);

/// What the strict provider's model says.
const HELLO: &str = "Hello from the strict provider.";

/// Homes at one time.
const CLAWS: usize = 3;

/// One OpenClaw: a home of its own and what its provider is to be.
struct Claw {
    home: PathBuf,
    api: &'static str,
    base_url: String,
    token: String,
    model: &'static str,
}

impl Claw {
    /// Puts `settings` into its home's configuration.
    fn configure(&self, settings: &Value) -> Outcome {
        let patch = self.home.join("patch.json");
        std::fs::write(&patch, settings.to_string())?;
        self.run(&["config", "patch", "--file", &patch.display().to_string()])?;
        Ok(())
    }

    /// As OpenClaw's own documentation describes a provider.
    fn patch(&self) -> Value {
        let free = json!({ "input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0 });
        let model = json!({
            "id": self.model, "name": "Keyway", "reasoning": false, "input": ["text"], "cost": free,
            "contextWindow": 131_072, "maxTokens": 4096,
        });
        let provider =
            json!({ "baseUrl": self.base_url, "apiKey": self.token, "api": self.api, "models": [model] });
        json!({
            "models": {
                "mode": "merge", "providers": { "keyway": provider }, "catalogRefresh": { "enabled": false },
            },
            "agents": { "defaults": { "model": { "primary": format!("keyway/{}", self.model) } } },
        })
    }

    /// Configures it and says hi. Returns what `agent exec --json` printed.
    fn says_hi(&self) -> Outcome<Value> {
        self.configure(&self.patch())?;
        let printed = self.run(&["agent", "exec", "--no-auth-env-only", "--json", "say hi"])?;
        Ok(serde_json::from_str(&printed).map_err(|why| format!("{why}: {printed}"))?)
    }

    /// Configures it and starts its gateway, the process that lives as long as an OpenClaw is in use.
    fn starts(&self) -> Outcome<Process> {
        // It takes no port 0: the system chooses one, which is free again a moment later.
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        self.configure(&self.patch())?;
        self.configure(&json!({ "gateway": { "mode": "local", "port": port, "auth": { "mode": "none" } } }))?;
        let args = ["gateway", "run", "--bind", "loopback", "--auth", "none", "--port", &port.to_string()];
        let mut process = Process::start("openclaw gateway", &mut self.command(&args))?;
        process.until(LIMIT, "was ready", |process| {
            let said = format!("{}{}", process.stdout(), process.stderr());
            said.contains("[gateway] ready").then_some(())
        })?;
        Ok(process)
    }

    /// One turn of its running gateway's main agent; returns what the model said.
    fn turn(&self) -> Outcome<String> {
        let printed = self.run(&["agent", "--agent", "main", "--message", "say hi", "--json"])?;
        let said: Value = serde_json::from_str(&printed).map_err(|why| format!("{why}: {printed}"))?;
        let text = said.pointer("/result/meta/finalAssistantVisibleText").and_then(Value::as_str);
        Ok(text.ok_or_else(|| format!("no text in {printed}"))?.to_owned())
    }

    fn command(&self, args: &[&str]) -> Command {
        let openclaw = sdk::openclaw_folder().join("node_modules/openclaw/openclaw.mjs");
        let mut command = Command::new(sdk::node());
        command.arg(openclaw).args(args).current_dir(&self.home).env_clear().env("HOME", &self.home);
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin");
        // It asks nobody but Keyway.
        command.envs([("OPENCLAW_NO_AUTO_UPDATE", "1"), ("DO_NOT_TRACK", "1")]);
        command
    }

    fn run(&self, args: &[&str]) -> Outcome<String> {
        let mut process = Process::start("openclaw", &mut self.command(args))?;
        let status = process.wait(LIMIT)?;
        let (stdout, stderr) = (process.stdout(), process.stderr());
        assert!(
            status.is_some_and(|status| status.success()),
            "openclaw {args:?}: {status:?}\n{stdout}\n{stderr}"
        );
        Ok(stdout)
    }
}

fn token(index: usize) -> String {
    format!("kw-openclaw-{index}-0123456789abcdef")
}

fn clients(count: usize) -> String {
    (0..count).map(|index| format!("  openclaw-{index}: {{ token: {} }}\n", token(index))).collect()
}

fn yaml(strict: &Strict, key: &Key) -> String {
    let (url, secret) = (strict.url(), &key.secret);
    format!(
        r#"providers:
  openai: {{ base_url: "{url}", keys: [{{ name: main, secret: "{secret}" }}] }}
  anthropic: {{ base_url: "{url}", keys: [{{ name: main, secret: "{secret}" }}] }}
models:
  fast: {{ targets: [{{ provider: openai, model: sim-text }}] }}
clients:
{}"#,
        clients(CLAWS)
    )
}

/// Providers of one dialect each.
fn single(strict: &Strict, key: &Key, pair: &Key) -> String {
    let (url, secret, pair) = (strict.url(), &key.secret, &pair.secret);
    format!(
        r#"providers:
  openai: {{ dialect: openai-chat, base_url: "{url}", api_key: "{secret}" }}
  anthropic: {{ dialect: anthropic-messages, base_url: "{url}", api_key: "{secret}" }}
  google: {{ dialect: gemini, base_url: "{url}", api_key: "{secret}" }}
  bedrock: {{ dialect: bedrock-converse, base_url: "{url}", region: us-east-1, api_key: "{pair}" }}
clients:
{}"#,
        clients(CROSSINGS.len())
    )
}

/// An API, its path below Keyway's address, and a model.
type Kind = (&'static str, &'static str, &'static str);

/// An alias, a name with a slash, the other dialect.
const KINDS: [Kind; CLAWS] = [
    ("openai-completions", "/v1", "fast"),
    ("openai-completions", "/v1", "openai/sim-text"),
    ("anthropic-messages", "", "anthropic/sim-text"),
];

/// Each API, to a provider that does not speak it.
const CROSSINGS: [Kind; 4] = [
    ("openai-completions", "/v1", "anthropic/sim-tool"),
    ("openai-responses", "/v1", "google/sim-tool"),
    ("anthropic-messages", "", "openai/sim-tool"),
    ("google-generative-ai", "/v1beta", "bedrock/sim-tool"),
];

/// One OpenClaw a kind, with a home and a token of its own.
fn claws(base: &str, homes: &Path, kinds: &[Kind]) -> Outcome<Vec<Claw>> {
    let mut claws = Vec::new();
    for (index, (api, path, model)) in kinds.iter().enumerate() {
        let home = homes.join(format!("claw-{index}"));
        std::fs::create_dir(&home)?;
        claws.push(Claw { home, api, base_url: format!("{base}{path}"), token: token(index), model });
    }
    Ok(claws)
}

#[tokio::test]
async fn three_openclaws_at_once() -> Outcome {
    let strict = Strict::shared()?;
    let key = strict.new_key("openclaw").await?;
    let keyway = Keyway::up().config(yaml(strict, &key)).start()?;
    let homes = tempfile::tempdir()?;
    let mut runs = Vec::new();
    for claw in claws(keyway.base_url(), homes.path(), &KINDS)? {
        runs.push(tokio::task::spawn_blocking(move || claw.says_hi()));
    }
    for run in runs {
        let said = run.await??;
        assert_eq!(said.get("ok"), Some(&Value::Bool(true)), "{said}\n{}", keyway.log());
        assert_eq!(said.get("final").and_then(Value::as_str), Some(HELLO), "{said}");
    }
    let seen = strict.seen(&key).await?;
    let mut paths: Vec<_> = seen.iter().map(|request| request.path.as_str()).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["/v1/chat/completions", "/v1/chat/completions", "/v1/messages"]);
    for request in &seen {
        assert!(request.violations.is_empty() && request.outcome == "complete", "{request:#?}");
    }
    Ok(())
}

#[tokio::test]
async fn each_api_reaches_a_provider_of_another_dialect_with_a_tool_call() -> Outcome {
    let strict = Strict::shared()?;
    let (key, pair) =
        (strict.new_key("openclaw-crossing").await?, strict.new_pair("openclaw-crossing").await?);
    let keyway = Keyway::up().config(single(strict, &key, &pair)).start()?;
    let homes = tempfile::tempdir()?;
    let claws: Vec<_> =
        claws(keyway.base_url(), homes.path(), &CROSSINGS)?.into_iter().map(Arc::new).collect();
    for (claw, said) in claws.iter().zip(each(&claws, Claw::says_hi).await?) {
        let last = said.get("final").and_then(Value::as_str).unwrap_or_default();
        assert!(last.starts_with("Tool said: "), "{}: {said}\n{}", claw.api, keyway.log());
    }
    let mut seen = strict.seen(&key).await?;
    seen.extend(strict.seen(&pair).await?);
    for request in &seen {
        assert!(request.violations.is_empty() && request.outcome == "complete", "{request:#?}");
    }
    let mut dialects: Vec<_> = seen.iter().filter_map(|request| request.dialect.as_deref()).collect();
    dialects.sort_unstable();
    let twice =
        ["anthropic-messages", "bedrock-converse", "gemini", "openai-chat"].map(|dialect| [dialect; 2]);
    assert_eq!(dialects, twice.concat(), "the call, and what the model says of its result");
    Ok(())
}

/// Does `what` with each of them at once.
async fn each<T: Send + 'static>(claws: &[Arc<Claw>], what: fn(&Claw) -> Outcome<T>) -> Outcome<Vec<T>> {
    let begun: Vec<_> = claws
        .iter()
        .map(|claw| {
            let claw = Arc::clone(claw);
            tokio::task::spawn_blocking(move || what(&claw))
        })
        .collect();
    let mut done = Vec::new();
    for one in begun {
        done.push(one.await??);
    }
    Ok(done)
}

/// Requests for replies that came with this key, by path, each without a fault.
async fn replies(strict: &Strict, key: &Key) -> Outcome<Vec<String>> {
    let mut paths = Vec::new();
    for request in strict.seen(key).await?.iter().filter(|request| request.path != "/v1/models") {
        assert!(request.violations.is_empty() && request.outcome == "complete", "{request:#?}");
        paths.push(request.path.clone());
    }
    paths.sort_unstable();
    Ok(paths)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_running_openclaws_go_on_over_a_rotation_and_none_is_restarted() -> Outcome {
    let strict = Strict::shared()?;
    let (old, new) = (strict.new_key("openclaw-old").await?, strict.new_key("openclaw-new").await?);
    let keyway = Keyway::up().config(yaml(strict, &old)).replicas(2).start()?;
    let homes = tempfile::tempdir()?;
    let claws: Vec<_> = claws(keyway.base_url(), homes.path(), &KINDS)?.into_iter().map(Arc::new).collect();
    let mut running = each(&claws, Claw::starts).await?;
    let paths = ["/v1/chat/completions", "/v1/chat/completions", "/v1/messages"];
    assert_eq!(each(&claws, Claw::turn).await?, [HELLO; CLAWS]);
    assert_eq!(replies(strict, &old).await?, paths);

    for key in ["openai/main", "anthropic/main"] {
        let args = ["key", "rotate", key, "--from-env", "NEW_KEY", "--overlap", "0s", "--wait"];
        let ran = keyway.cli_with(&args, &[("NEW_KEY", &new.secret)])?;
        assert_eq!(ran.code, Some(0), "{key}: {ran:?}");
    }
    strict.keys(&json!({ "revoke": [&old.name] })).await?;

    assert_eq!(each(&claws, Claw::turn).await?, [HELLO; CLAWS]);
    assert_eq!(replies(strict, &new).await?, paths);
    assert_eq!(replies(strict, &old).await?, paths, "the old key was used again");
    for process in &mut running {
        assert!(process.wait(Duration::ZERO)?.is_none(), "an OpenClaw ended: {}", process.stdout());
    }
    Ok(())
}
