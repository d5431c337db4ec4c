//! `keyway key …` as an operator runs it, what it says in JSON, and waiting with a deadline.

use std::time::{Duration, Instant};

use keyway_testkit::process::{Keyway, Ran};
use keyway_testkit::provider::Provider;
use serde_json::Value;

use crate::gateway::{MAIN_KEY, Outcome, TOKEN};

/// The key that these tests rotate.
pub const KEY: &str = "sim/main";

/// Time between two looks while waiting.
const LOOK: Duration = Duration::from_millis(2);

/// What one `keyway key …` came to.
#[derive(Debug)]
pub struct Change {
    /// The exit code.
    pub code: Option<i32>,
    /// The JSON on stdout, of several lines the last; null where there is none.
    pub view: Value,
    /// What it wrote for people.
    pub stderr: String,
    /// When it was started.
    pub began: Instant,
    /// From start to exit.
    pub took: Duration,
}

/// A keyway.yaml with the provider `sim` and these keys, each with its secret, and the client `tester`.
pub fn yaml_of(provider: &Provider, keys: &[(&str, &str)]) -> String {
    let keys: Vec<String> =
        keys.iter().map(|(name, secret)| format!("{{ name: {name}, secret: {secret} }}")).collect();
    let (base, keys) = (provider.base_url(), keys.join(", "));
    format!(
        "providers:\n  sim: {{ dialect: openai-chat, base_url: \"{base}\", keys: [{keys}] }}\n\
         clients:\n  tester: {{ token: {TOKEN}, models: [\"sim/*\"] }}\n"
    )
}

/// As `yaml_of` with the one key [`KEY`].
pub fn yaml(provider: &Provider) -> String {
    yaml_of(provider, &[("main", MAIN_KEY)])
}

/// The secret of a later version.
#[must_use]
pub fn secret(number: u32) -> String {
    format!("sk-sim-rotated-{number:04}-0123456789abcdef")
}

/// Runs `keyway key ARGS --output json` to its end.
pub fn key(keyway: &Keyway, args: &[&str]) -> Outcome<Change> {
    key_with(keyway, args, &[])
}

/// Runs `keyway key rotate sim/main` with this secret, from a variable, and further arguments.
pub fn rotate(keyway: &Keyway, secret: &str, args: &[&str]) -> Outcome<Change> {
    key_with(keyway, &[&["rotate", KEY, "--from-env", "NEW_KEY"], args].concat(), &[("NEW_KEY", secret)])
}

/// As `rotate`, from a file.
pub fn rotate_from_file(keyway: &Keyway, secret: &str, args: &[&str]) -> Outcome<Change> {
    let file = keyway.write("new.key", secret)?.display().to_string();
    key(keyway, &[&["rotate", KEY, "--from-file", &file], args].concat())
}

fn key_with(keyway: &Keyway, args: &[&str], variables: &[(&str, &str)]) -> Outcome<Change> {
    let began = Instant::now();
    let ran = keyway.cli_with(&[&["key"], args, &["--output", "json"]].concat(), variables)?;
    Ok(Change::new(ran, began))
}

/// `keyway key show sim/main`.
pub fn shown(keyway: &Keyway) -> Outcome<Value> {
    let shown = key(keyway, &["show", KEY])?;
    if shown.code == Some(0) { Ok(shown.view) } else { Err(format!("key show: {shown:?}").into()) }
}

/// The state of a version in what `key show` or `key history` said.
#[must_use]
pub fn state(key: &Value, version: u64) -> String {
    let versions = key.get("versions").and_then(Value::as_array);
    let found = versions
        .into_iter()
        .flatten()
        .find(|one| one.get("version").and_then(Value::as_u64) == Some(version));
    found.and_then(|one| one.get("state")).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// What happened to the key, oldest first.
pub fn actions(keyway: &Keyway) -> Outcome<Vec<String>> {
    let history = key(keyway, &["history", KEY])?.view;
    let events = history.get("events").and_then(Value::as_array).cloned().unwrap_or_default();
    Ok(events.iter().filter_map(|event| event.get("action")?.as_str().map(str::to_owned)).collect())
}

/// Looks again and again until `holds`.
pub async fn until(limit: Duration, what: &str, mut holds: impl FnMut() -> Outcome<bool>) -> Outcome {
    let deadline = Instant::now() + limit;
    while !holds()? {
        if Instant::now() > deadline {
            return Err(format!("not in {limit:?}: {what}").into());
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// The value below which `share` (0 to 1) of these are; zero of none.
#[must_use]
pub fn quantile(values: &[Duration], share: f64) -> Duration {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let place = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(place.saturating_sub(1)).copied().unwrap_or_default()
}

// === impl Change ===

impl Change {
    /// Of a command that was started at `began` and has just ended.
    #[must_use]
    pub fn new(ran: Ran, began: Instant) -> Self {
        let took = began.elapsed();
        // One value, or one a line of which the last is the result.
        let whole = serde_json::from_str(&ran.stdout).ok();
        let last = || serde_json::from_str(ran.stdout.lines().last()?).ok();
        let view = whole.or_else(last).unwrap_or(Value::Null);
        Self { code: ran.code, view, stderr: ran.stderr, began, took }
    }

    /// A text of the result; empty where there is none.
    #[must_use]
    pub fn text(&self, field: &str) -> &str {
        self.view.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    /// A number of the result.
    #[must_use]
    pub fn number(&self, field: &str) -> Option<u64> {
        self.view.get(field).and_then(Value::as_u64)
    }

    /// A list of texts of the result.
    #[must_use]
    pub fn list(&self, field: &str) -> Vec<&str> {
        let list = self.view.get(field).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// From the commit that activated to the last acknowledgement.
    #[must_use]
    pub fn last_ack(&self) -> Option<Duration> {
        self.number("ack_micros").map(Duration::from_micros)
    }

    /// Asserts exit 0 and this outcome, with nobody named.
    #[track_caller]
    pub fn ends(&self, outcome: &str) {
        assert_eq!((self.code, self.text("outcome")), (Some(0), outcome), "{self:?}");
        assert_eq!(self.list("silent"), Vec::<&str>::new(), "{self:?}");
        assert_eq!(self.list("unconfirmed"), Vec::<&str>::new(), "{self:?}");
        assert_eq!(self.number("failed"), Some(0), "{self:?}");
    }
}
