//! Cells of the grid of SDKs and providers: what a script of `tests/sdk/grid` said and heard in one scenario, judged by what
//! the strict provider understood.

mod judge;
mod stated;
mod table;
mod understood;

use std::fmt;

use keyway_testkit::sdk::Script;
use serde::Deserialize;
use serde_json::Value;

use crate::gateway::Outcome;

pub use self::judge::{Verdict, judge};
pub use self::stated::Stated;
pub use self::table::table;

/// Dialects, each with the script of its official SDK.
pub const DIALECTS: [(&str, &str); 6] = [
    ("openai-chat", "grid/openai_chat.py"),
    ("openai-responses", "grid/openai_responses.py"),
    ("anthropic-messages", "grid/anthropic_messages.py"),
    ("gemini", "grid/gemini.py"),
    ("bedrock-converse", "grid/bedrock_converse.py"),
    ("cohere-chat", "grid/cohere_chat.py"),
];

/// Who speaks to whom, and of what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Place {
    /// The SDK's dialect.
    pub caller: String,
    /// The provider's dialect.
    pub target: String,
    /// A function of `tests/sdk/grid/scenarios.py`.
    pub scenario: String,
}

/// A line that a script prints.
#[derive(Debug, Deserialize)]
pub struct Cell {
    /// Which it is.
    #[serde(flatten)]
    pub place: Place,
    /// What was wrong for the SDK's user; none: nothing.
    pub why: Option<String>,
    /// What each request said.
    pub said: Vec<Value>,
    /// All that `x-keyway-dropped` named.
    pub dropped: Vec<String>,
    /// How long it took.
    pub ms: u64,
}

// === impl Place ===

impl Place {
    /// From the name of a model, as scripts make it: `…grid.CALLER.TARGET.SCENARIO.sim-KIND`.
    #[must_use]
    pub fn of_model(model: &str) -> Option<Self> {
        let mut words = model.split_once("grid.")?.1.split('.').map(str::to_owned);
        Some(Self { caller: words.next()?, target: words.next()?, scenario: words.next()? })
    }
}

impl Cell {
    /// True if the caller was told that something of its request was dropped, and not only of the reply.
    #[must_use]
    pub fn names_a_drop(&self) -> bool {
        self.dropped.iter().any(|name| !name.starts_with("reply."))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} → {}, {}", self.caller, self.target, self.scenario)
    }
}

/// Runs scripts of `tests/sdk` at once, each to all `targets`, which are `DIALECT=MODEL` with the model's beginning, separated by commas.
pub async fn play(
    scripts: &[&str],
    targets: &str,
    prepared: impl Fn(Script) -> Script,
) -> Outcome<Vec<Cell>> {
    let mut running = Vec::new();
    for script in scripts {
        let script = prepared(Script::new(script)?.arg(targets));
        running.push(tokio::task::spawn_blocking(move || script.run()));
    }
    let mut cells = Vec::new();
    for script in running {
        let finished = script.await??;
        if !finished.ok {
            return Err(finished.output.into());
        }
        let lines = finished.output.lines().filter(|line| line.starts_with('{'));
        cells.extend(lines.map(serde_json::from_str::<Cell>).collect::<Result<Vec<_>, _>>()?);
    }
    Ok(cells)
}
