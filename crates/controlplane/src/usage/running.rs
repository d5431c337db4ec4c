//! What goes on beside the questions: pieces of what has had its time are deleted, as the configuration in force says.

use super::{Books, Retention};
use crate::{Plane, plane::unix_millis, serve::stopped};
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::sleep};

/// So often it is looked whether something has to go.
const ROUND: Duration = Duration::from_secs(60);
/// Between two pieces, so that whoever reports comes first.
const BREATH: Duration = Duration::from_millis(20);

/// Tidies until the control plane stops; followers end with it.
pub(crate) async fn run(books: Arc<Books>, plane: Arc<Plane>, mut stop: watch::Receiver<bool>) {
    loop {
        let retention = plane.state().retention();
        let pause = match books.tidy(retention, unix_millis()).await {
            Ok(true) => BREATH,
            // A fault is told by doctor, and the next round tries again.
            Ok(false) | Err(_) => ROUND,
        };
        tokio::select! {
            () = stopped(&mut stop) => break,
            () = sleep(pause) => {}
        }
    }
    books.end_tail();
}

impl From<keyway_config::Usage> for Retention {
    fn from(file: keyway_config::Usage) -> Self {
        let default = Self::default();
        let millis =
            |span: Option<keyway_config::Span>, default| span.map_or(default, keyway_config::Span::millis);
        Self {
            records: millis(file.records, default.records),
            minutes: millis(file.minutes, default.minutes),
            hours: millis(file.hours, default.hours),
            days: millis(file.days, default.days),
            max_size: file.max_size.map_or(default.max_size, keyway_config::Size::bytes),
        }
    }
}
