//! One data plane in this process, on threads of its own.

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use keyway_dataplane::identity::Identity;
use keyway_dataplane::supervise::Serving;
use keyway_dataplane::{Running, Settings, StateDir, start, tls_config};

use crate::failure::Failure;

/// A replica of an earlier run may still finish what it does: its state is its own until then.
const LOCK_WAIT: Duration = Duration::from_secs(25);

/// What a data plane in this process is told.
pub(crate) struct Orders {
    /// Of the fleet stream, `https://HOST:PORT`.
    pub(crate) fleet_url: String,
    /// What it shows there; `None` = nothing: it serves what it keeps.
    pub(crate) identity: Option<Identity>,
    pub(crate) id: String,
    /// Where it keeps its last good state.
    pub(crate) state_dir: PathBuf,
    pub(crate) serving: Serving,
}

/// A running data plane.
pub(crate) struct DataPlane {
    running: Option<Running>,
}

// === impl DataPlane ===

impl DataPlane {
    /// Starts it on sockets that are bound already.
    pub(crate) fn start(listener: TcpListener, ops: TcpListener, orders: Orders) -> Result<Self, Failure> {
        let Orders { fleet_url, identity, id, state_dir, serving } = orders;
        let tls = serving.tls.as_ref().map(|files| tls_config(&files.cert, &files.key)).transpose();
        let settings = Settings {
            node: id.clone(),
            id,
            host: host(),
            supervisor: String::new(),
            hold_back: Duration::ZERO,
            listener,
            ops,
            fleet_url: Some(fleet_url),
            identity,
            token: None,
            threads: serving.threads,
            tls: tls.map_err(|error| Failure::Other(error.to_string()))?,
            upstream_ca: serving.upstream_ca,
            drain_grace: serving.grace,
            memory_limit: serving.memory_limit,
            otlp: serving.otlp,
            state: Some(StateDir { lock_wait: LOCK_WAIT, ..StateDir::at(state_dir) }),
        };
        let running = start(settings).map_err(|error| Failure::Other(error.to_string()))?;
        Ok(Self { running: Some(running) })
    }

    /// Lets requests in flight finish, then ends.
    pub(crate) fn stop(&self) {
        if let Some(running) = &self.running {
            running.stop();
        }
    }

    /// Waits for the end. May be dropped and called again.
    pub(crate) async fn ended(&mut self) {
        if let Some(running) = &self.running {
            running.ending().await;
        }
        if let Some(running) = self.running.take() {
            running.join();
        }
    }
}

/// This machine's name, for `keyway fleet list`.
pub(super) fn host() -> String {
    rustix::system::uname().nodename().to_str().map_or_else(|_| "unknown".into(), str::to_owned)
}
