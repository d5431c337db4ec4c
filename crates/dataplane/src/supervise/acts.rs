//! What the plan decides, done: replicas are started, told to end, reaped, and asked whether they serve.

use super::{
    FIRST_STATE, Supervisor,
    fetch::fetch,
    pass,
    plan::{Act, Ended, Phase},
    process::{Exit, Process},
};
use rustix::process::Pid;
use std::{net::SocketAddr, time::Duration};
use tokio::time::Instant;

// === impl Supervisor ===

impl Supervisor {
    pub(super) fn act(&mut self, act: Act) {
        match act {
            Act::Start { place, generation } => self.start(place, generation),
            Act::Drain(number) => self.of(number, |process| process.drain()),
            Act::Stop(number) => {
                if self.plan.is_stopping() {
                    // Else the system goes on taking connections that nobody will accept.
                    self.api = None;
                }
                self.of(number, Process::stop);
            }
            Act::Kill(number) => {
                if let Some(process) = self.running.get(&number) {
                    tracing::warn!(replica = process.id, "killed");
                    process.kill();
                }
            }
        }
    }

    fn of(&mut self, number: u32, act: impl FnOnce(&mut Process)) {
        if let Some(process) = self.running.get_mut(&number) {
            act(process);
        }
    }

    fn start(&mut self, number: u32, generation: u32) {
        let id = self.places.id(number);
        let dir = self.places.dir(number);
        let orders = pass::Orders {
            fleet_url: self.planes.listed(),
            identity: self.identity(),
            supervisor: self.settings.name.clone(),
            host: self.settings.host.clone(),
            state_dir: (!self.settings.serving.no_state).then(|| dir.clone()),
            threads: self.threads(),
            hold_back: self.hold_back(),
            serving: self.settings.serving.clone(),
            id,
        };
        let Some(listener) = &self.api else { return };
        match Process::start(&self.program, generation > 0, &orders, (listener, &dir)) {
            Ok(process) => {
                self.places.started(number);
                self.running.insert(number, process);
            }
            Err(error) => {
                tracing::error!(replica = orders.id, %error, "a replica cannot be started");
                self.plan.ended(number, Ended::Failed, Instant::now().into_std());
            }
        }
    }

    /// A new replica leaves callers to those that serve; where none does, it soon says that it has no configuration.
    fn hold_back(&self) -> Duration {
        let is_served = self.plan.places().any(|(_, place)| place.phase == Phase::Ready);
        if is_served { Duration::MAX } else { FIRST_STATE }
    }

    /// Replicas on one machine share its cores out, but each needs one.
    fn threads(&self) -> usize {
        let share = || {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            cores / usize::try_from(self.plan.wanted()).unwrap_or(1).max(1)
        };
        self.settings.serving.threads.unwrap_or_else(share).max(1)
    }

    /// Several ends may come as one signal.
    pub(super) fn reap(&mut self) {
        let ended: Vec<(u32, Exit)> = self
            .running
            .iter()
            .filter_map(|(number, process)| process.reap().map(|exit| (*number, exit)))
            .collect();
        for (number, exit) in ended {
            self.ended(number, &exit);
        }
    }

    fn ended(&mut self, number: u32, exit: &Exit) {
        let Some(process) = self.running.remove(&number) else { return };
        self.places.ended(number, process.number());
        let how = if exit.in_order { Ended::InOrder } else { Ended::Failed };
        match how {
            Ended::InOrder => tracing::info!(replica = process.id, "ended in order"),
            Ended::Failed => {
                tracing::warn!(replica = process.id, how = exit.how, "ended and is started again")
            }
        }
        self.plan.ended(number, how, Instant::now().into_std());
    }

    /// Asks every replica that starts whether it serves what its control plane says.
    pub(super) fn look(&mut self) {
        for (number, process) in &self.running {
            if self.plan.is_starting(*number) {
                let (number, pid, at) = (*number, process.pid, process.ops);
                self.looks.spawn(async move { serves(at).await.then_some((number, pid)) });
            }
        }
    }

    pub(super) fn serves(&mut self, number: u32, pid: Pid) {
        if self.running.get(&number).is_some_and(|process| process.pid == pid) {
            self.plan.ready(number);
        }
    }
}

/// Whether it acknowledged what its control plane sent last.
async fn serves(at: SocketAddr) -> bool {
    let Some((status, body)) = fetch(at, "/readyz").await else { return false };
    let detail: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
    let refused = detail.pointer("/control_plane/refused").is_some_and(|refused| !refused.is_null());
    let source = detail.get("config_source").and_then(serde_json::Value::as_str);
    status.is_success() && source == Some("control_plane") && !refused
}
