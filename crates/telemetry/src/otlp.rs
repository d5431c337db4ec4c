//! What every program takes to learn where its traces go.

use crate::{Exporting, Unusable};

/// Where traces go. Without an endpoint there are none, and nothing is made for them.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Otlp {
    /// Collector that takes OTLP over gRPC, such as http://127.0.0.1:4317; without one there are no traces
    #[arg(
        long,
        global = true,
        env = "OTEL_EXPORTER_OTLP_ENDPOINT",
        value_name = "URL",
        help_heading = "Traces"
    )]
    pub otlp_endpoint: Option<String>,
    /// Collector for traces where it is another than for the rest
    #[arg(
        long,
        global = true,
        env = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        value_name = "URL",
        help_heading = "Traces"
    )]
    pub otlp_traces_endpoint: Option<String>,
}

// === impl Otlp ===

impl Otlp {
    /// The collector for traces; a variable that is set and empty counts as not set.
    #[must_use]
    pub fn traces(&self) -> Option<String> {
        let ways = [&self.otlp_traces_endpoint, &self.otlp_endpoint];
        ways.into_iter().flatten().map(|url| url.trim()).find(|url| !url.is_empty()).map(str::to_owned)
    }

    /// The way there for spans of this service, and of this one among those of its name; `None` where traces are off.
    ///
    /// # Errors
    /// An address that cannot be used.
    pub fn start(&self, service: &'static str, instance: &str) -> Result<Option<Exporting>, Unusable> {
        self.traces().map(|endpoint| Exporting::start(&endpoint, service, instance)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoint_for_traces_wins_and_empty_is_unset() {
        let of = |all: Option<&str>, traces: Option<&str>| Otlp {
            otlp_endpoint: all.map(str::to_owned),
            otlp_traces_endpoint: traces.map(str::to_owned),
        };
        assert_eq!(of(None, None).traces(), None);
        assert_eq!(of(Some(""), Some(" ")).traces(), None);
        assert_eq!(of(Some("http://a"), Some("")).traces().as_deref(), Some("http://a"));
        assert_eq!(of(Some("http://a"), Some("http://b")).traces().as_deref(), Some("http://b"));
    }
}
