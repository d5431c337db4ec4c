//! What the figures were measured on.

use super::Outcome;
use std::{fs, process::Command};

/// The machine, and how busy it is at one moment.
#[derive(Debug)]
pub(super) struct Machine {
    /// UTC.
    pub(super) time: String,
    pub(super) cpu: String,
    pub(super) cores: usize,
    pub(super) kernel: String,
    /// The commit that the working copy stands on; files may differ from it.
    pub(super) commit: String,
    /// Load averages over 1, 5 and 15 minutes.
    pub(super) load: String,
}

impl Machine {
    pub(super) fn look() -> Outcome<Self> {
        let date = Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]).output()?;
        let cpus = fs::read_to_string("/proc/cpuinfo")?;
        let cpu = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
        let load = fs::read_to_string("/proc/loadavg")?;
        let commit = Command::new("git").args(["rev-parse", "--short", "HEAD"]).output()?;
        Ok(Self {
            time: String::from_utf8(date.stdout)?.trim().to_owned(),
            cpu: cpu.trim_start_matches([' ', '\t', ':']).to_owned(),
            cores: std::thread::available_parallelism()?.get(),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            commit: String::from_utf8(commit.stdout)?.trim().to_owned(),
            load: load.split(' ').take(3).collect::<Vec<_>>().join(" "),
        })
    }
}
