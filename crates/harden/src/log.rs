//! Where log lines go, and how deep they go: libraries see whole requests, with their credentials, and show them to whoever
//! asks for their deepest levels; so nobody can.

use std::io::{self, IsTerminal};

use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{FilterExt, FilterFn, LevelFilter, ParseError, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Layer, Registry, fmt};

/// How the targets of this product's own lines begin.
const OWN: &str = "keyway";
/// The deepest level that libraries get.
const OTHERS: Level = Level::INFO;

/// Why nothing is logged.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// No filter.
    #[error("{0}; a level is wanted, like warn, info or debug")]
    Filter(#[from] ParseError),
    /// This process logs already.
    #[error("cannot start logging: {0}")]
    Started(#[from] TryInitError),
}

/// Starts logging to standard error by a filter like `info` or `warn,keyway_dataplane=debug`.
///
/// # Errors
/// When the filter cannot be read, or this process logs already.
pub fn log(filter: &str) -> Result<(), LogError> {
    Ok(subscriber(filter, io::stderr().is_terminal(), io::stderr)?.try_init()?)
}

fn subscriber<W>(
    filter: &str,
    color: bool,
    to: W,
) -> Result<impl Subscriber + Send + Sync + 'static, ParseError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // Not EnvFilter, which brings a quarter of a megabyte of regular expressions.
    let wanted: Targets = filter.parse()?;
    let may = FilterFn::new(may).with_max_level_hint(LevelFilter::TRACE);
    let lines = fmt::layer().with_ansi(color).with_writer(to);
    Ok(Registry::default().with(lines.with_filter(wanted.and(may))))
}

fn may(line: &Metadata<'_>) -> bool {
    *line.level() <= OTHERS || line.target().starts_with(OWN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;
    use std::{io::Write, sync::Arc};

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn no_filter_opens_the_depths_of_a_library() {
        for filter in
            ["trace", "off,h2=trace,h2::codec=trace,keyway=trace", "info,h2::codec[{key}]=trace,keyway=trace"]
        {
            let kept = Kept::default();
            let writer = kept.clone();
            let subscriber = subscriber(filter, false, move || writer.clone()).unwrap();
            tracing::subscriber::with_default(subscriber, || {
                tracing::trace!(target: "h2::codec", "theirs");
                tracing::debug!(target: "h2", key = "x", "theirs");
                let _inside = tracing::debug_span!(target: "h2::codec", "theirs", key = "x").entered();
                tracing::trace!(target: "h2::codec", "theirs");
                tracing::trace!(target: "keyway::room", "ours");
            });
            let text = String::from_utf8(kept.0.lock().clone()).unwrap();
            assert!(text.contains("ours") && !text.contains("theirs"), "{filter}: {text}");
        }
        assert!(matches!(log("info,h2=loud"), Err(LogError::Filter(_))));
    }
}
