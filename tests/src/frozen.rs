//! Replicas of a running `keyway up` as `keyway fleet list` names them, and one that is frozen for a while.

use keyway_testkit::process::Keyway;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::gateway::Outcome;

/// One replica.
#[derive(Debug, Clone)]
pub struct Replica {
    /// Its name.
    pub id: String,
    /// Its process.
    pub pid: u32,
}

/// All replicas.
pub fn replicas(keyway: &Keyway) -> Outcome<Vec<Replica>> {
    let ran = keyway.cli(&["fleet", "list", "--output", "json"])?;
    let list: Value = serde_json::from_str(&ran.stdout).map_err(|why| format!("{why}: {ran:?}"))?;
    let replica = |one: &Value| {
        let pid = u32::try_from(one.get("pid")?.as_u64()?).ok()?;
        Some(Replica { id: one.get("id")?.as_str()?.to_owned(), pid })
    };
    let all: Option<Vec<Replica>> = list.as_array().into_iter().flatten().map(replica).collect();
    all.ok_or_else(|| format!("replicas without id or pid: {list}").into())
}

/// A process that was stopped by SIGSTOP. Dropped, it goes on.
#[derive(Debug)]
pub struct Frozen(Pid);

// === impl Frozen ===

impl Frozen {
    /// Stops it.
    pub fn new(pid: u32) -> Outcome<Self> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or("no such process")?;
        kill_process(pid, Signal::STOP)?;
        Ok(Self(pid))
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::CONT);
    }
}
