//! Data planes as processes of their own, under the data plane's supervisor, which runs in this process.

use keyway_dataplane::supervise::{Host, Sockets, Supervise, SuperviseError, Supervisor};
use tokio::task::JoinHandle;

use crate::failure::Failure;

/// All of them.
pub(super) struct Outside {
    host: Host,
    count: usize,
    running: Option<JoinHandle<Result<(), SuperviseError>>>,
}

// === impl Outside ===

impl Outside {
    /// Starts them, inside a runtime.
    pub(super) fn start(settings: Supervise, sockets: Sockets) -> Result<Self, Failure> {
        let failed = |error: SuperviseError| Failure::Other(error.to_string());
        let (supervisor, host) = Supervisor::new(settings, sockets).map_err(failed)?;
        let count = supervisor.wanted();
        Ok(Self { host, count, running: Some(tokio::spawn(supervisor.run())) })
    }

    /// As many as were wanted at the start.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Lets all finish what is in flight and end.
    pub(super) fn stop(&self) {
        self.host.stop();
    }

    /// Ends all at once.
    pub(super) fn kill(&self) {
        self.host.kill();
    }

    /// Waits until all have ended and were reaped. May be dropped and called again.
    pub(super) async fn ended(&mut self) -> Result<(), Failure> {
        let Some(running) = &mut self.running else { return Ok(()) };
        let ended = running.await;
        self.running = None;
        match ended {
            Ok(ended) => ended.map_err(|error| Failure::Other(error.to_string())),
            Err(_) => Err(Failure::Other("the supervisor of the data planes failed".into())),
        }
    }
}
