//! A collector of traces. It is rotel, which nobody here wrote; what it took is decoded by `tests/telemetry/receiver.py`.

use std::process::Command;
use std::time::Duration;

use keyway_testkit::process::{Process, root};
use keyway_testkit::sdk;
use serde_json::Value;

use crate::gateway::Outcome;

/// Until rotel listens, and until what was sent has come out at the other end.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running collector.
#[derive(Debug)]
pub struct Collector {
    process: Process,
    port: u16,
}

/// One span as the collector got it.
#[derive(Debug, Clone)]
pub struct Span(Value);

// === impl Collector ===

impl Collector {
    /// Starts it on a port that the system chose.
    pub fn start() -> Outcome<Self> {
        let mut command = Command::new(sdk::python()?);
        command.arg("-u").arg(root().join("tests/telemetry/receiver.py")).env_clear();
        let mut process = Process::start("rotel", &mut command)?;
        let port = process.until(PATIENCE, "printed its port", |process| {
            process.stdout().split_once('\n').and_then(|(port, _)| port.trim().parse().ok())
        })?;
        Ok(Self { process, port })
    }

    /// For `OTEL_EXPORTER_OTLP_ENDPOINT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// All spans of `trace`, once there are so many.
    pub fn spans(&mut self, trace: &str, count: usize) -> Outcome<Vec<Span>> {
        let found = |process: &Process| {
            let spans: Vec<Span> = lines(process).filter(|span| span.text("trace") == trace).collect();
            (spans.len() >= count).then_some(spans)
        };
        Ok(self.process.until(PATIENCE, &format!("printed {count} spans of {trace}"), found)?)
    }

    /// The first span of that name, once it is there.
    pub fn named(&mut self, name: &str) -> Outcome<Span> {
        let found = |process: &Process| lines(process).find(|span| span.text("name") == name);
        Ok(self.process.until(PATIENCE, &format!("printed a span {name}"), found)?)
    }

    /// All spans so far.
    pub fn all(&self) -> impl Iterator<Item = Span> {
        lines(&self.process)
    }

    /// All that it says of spans, every field there is.
    #[must_use]
    pub fn printed(&self) -> String {
        self.process.stdout()
    }
}

fn lines(process: &Process) -> impl Iterator<Item = Span> {
    let spans: Vec<Span> =
        process.stdout().lines().filter_map(|line| serde_json::from_str(line).ok()).map(Span).collect();
    spans.into_iter().filter(|span| span.0.is_object())
}

// === impl Span ===

impl Span {
    /// Null where there is none.
    #[must_use]
    pub fn at(&self, place: &str) -> &Value {
        self.0.pointer(place).unwrap_or(&Value::Null)
    }

    /// Empty where there is none.
    #[must_use]
    pub fn text(&self, field: &str) -> &str {
        self.at(&format!("/{field}")).as_str().unwrap_or_default()
    }

    /// A point in time; 0 where there is none.
    #[must_use]
    pub fn nanos(&self, field: &str) -> u64 {
        self.at(&format!("/{field}")).as_u64().unwrap_or_default()
    }

    /// Whether it says so of itself.
    #[must_use]
    pub fn is_error(&self) -> bool {
        *self.at("/error") == true
    }

    /// Trace and id of the spans that it is linked to.
    #[must_use]
    pub fn links(&self) -> Vec<(String, String)> {
        let of = |link: &Value, field: &str| {
            link.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let links = self.at("/links").as_array().into_iter().flatten();
        links.map(|link| (of(link, "trace"), of(link, "id"))).collect()
    }

    /// `text` of a text, digits of a number, empty where there is none.
    #[must_use]
    pub fn attribute(&self, name: &str) -> String {
        match self.at(&format!("/attributes/{name}")) {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }

    /// Each of these attributes has this value; empty = it is not there.
    #[track_caller]
    pub fn assert(&self, expected: &[(&str, &str)]) {
        for (name, value) in expected {
            assert_eq!(self.attribute(name), *value, "{name} of {self:?}");
        }
    }
}
