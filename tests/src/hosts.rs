//! Hosts with a supervisor: what their admin API says of them, and callers that come on fresh connections.

use std::net::SocketAddr;
use std::time::Duration;

use keyway_testkit::caller::{Caller, post};
use keyway_testkit::process::Host;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::admin::Admin;
use crate::fleet::{PATIENCE, text};
use crate::gateway::{CHAT, Outcome, TOKEN, chat};

/// Callers, each of whom asks on a new connection every time.
#[derive(Debug)]
pub struct Fresh {
    stop: watch::Sender<bool>,
    callers: JoinSet<(u64, Vec<String>)>,
}

// === impl Fresh ===

impl Fresh {
    /// So many requests a second in all, by ten callers.
    pub fn start(to: SocketAddr, model: &str, rate: u32) -> Self {
        const CALLERS: u32 = 10;
        let (stop, stopped) = watch::channel(false);
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            let (model, stopped) = (model.to_owned(), stopped.clone());
            callers.spawn(async move {
                let mut tick = interval(Duration::from_secs(1) * CALLERS / rate);
                tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
                let (mut good, mut failed) = (0, Vec::new());
                while !*stopped.borrow() {
                    tick.tick().await;
                    match ask(to, &model).await {
                        Ok(200) => good += 1,
                        Ok(status) => failed.push(format!("status {status}")),
                        Err(error) => failed.push(error.to_string()),
                    }
                }
                (good, failed)
            });
        }
        Self { stop, callers }
    }

    /// Ends them: how many were answered, and why others were not.
    pub async fn stop(self) -> (u64, Vec<String>) {
        self.stop.send_replace(true);
        let all = self.callers.join_all().await;
        let good = all.iter().map(|(good, _)| good).sum();
        (good, all.into_iter().flat_map(|(_, failed)| failed).collect())
    }
}

async fn ask(to: SocketAddr, model: &str) -> std::io::Result<u16> {
    let request = post(CHAT, TOKEN, "connection: close\r\n", chat(model).as_bytes());
    let answer = Caller::connect(to).await?.ask(&request).await?;
    Ok(if answer.complete { answer.status } else { 0 })
}

/// Waits until that host runs so many replicas, all ready, and no other of its processes is left; gives their processes.
pub async fn runs(admin: &Admin, host: &str, replicas: usize) -> Outcome<Vec<u64>> {
    let all_ready = |one: &Value| {
        let listed = one.get("replicas")?.as_array()?;
        let ready = listed.iter().all(|replica| text(replica, "/state") == "ready");
        let done = listed.len() == replicas && ready && text(one, "/state") == "connected";
        done.then(|| listed.iter().filter_map(|replica| replica.get("pid")?.as_u64()).collect())
    };
    admin.until(PATIENCE, &format!("/hosts/{host}"), all_ready).await
}

/// Processes that `/proc` still knows.
#[must_use]
pub fn alive(pids: &[u64]) -> Vec<u64> {
    pids.iter().copied().filter(|pid| std::path::Path::new(&format!("/proc/{pid}")).exists()).collect()
}

/// Whether this process runs the file that is at the host's program's place now.
pub fn runs_newest(host: &Host, pid: u64) -> Outcome<bool> {
    use std::os::unix::fs::MetadataExt;
    let (own, there) = (std::fs::metadata(format!("/proc/{pid}/exe"))?, std::fs::metadata(host.program())?);
    Ok((own.dev(), own.ino()) == (there.dev(), there.ino()))
}
