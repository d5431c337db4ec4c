//! Processes: on which core they run, what they use, and their end.

use super::Outcome;
use rustix::process::{Pid, Signal, kill_process};
use std::{
    collections::HashMap,
    fs::{self, File},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// The subject's core.
pub(super) const SUBJECT_CORE: usize = 1;
/// Load and upstream.
pub(super) const OTHER_CORE: usize = 0;

/// A process that ends when this is dropped.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
}

/// CPU time of a process tree at one moment, in nanoseconds by thread.
#[derive(Debug)]
pub(super) struct CpuTime(HashMap<u32, u64>);

/// Memory of a process tree, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Memory {
    pub(super) resident: u64,
    /// The most that was ever resident.
    pub(super) peak: u64,
}

/// While this lives, this session's processes run before all others.
#[derive(Debug)]
pub(super) struct Ahead;

const AUTOGROUP: &str = "/proc/self/autogroup";
/// How long a subject may take to end by itself.
const GRACE: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(10);
/// What a process writes may be this long in an error.
const LOG_SHOWN: usize = 600;

/// The command that runs `program` on one core.
pub(super) fn pinned(core: usize, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string()]).arg(program);
    command
}

/// Moves a running process, with all its threads, to `core`.
pub(super) fn pin(pid: u32, core: usize) -> Outcome<()> {
    let done =
        Command::new("taskset").args(["-a", "-c", "-p", &core.to_string(), &pid.to_string()]).output()?;
    if done.status.success() { Ok(()) } else { Err("taskset cannot move a process".into()) }
}

/// The end of what a process wrote, for an error.
pub(super) fn last_words(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let skip = text.chars().count().saturating_sub(LOG_SHOWN);
    text.chars().skip(skip).collect::<String>().trim().to_owned()
}

// === impl Running ===

impl Running {
    /// Starts `command`; what it writes goes to `log`.
    pub(super) fn start(mut command: Command, log: &Path) -> Outcome<Self> {
        let log = File::create(log)?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().map_err(|why| format!("{:?}: {why}", command.get_program()))?;
        Ok(Self { child })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended by itself.
    pub(super) fn is_over(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Running {
    /// SIGTERM first: nginx's worker would outlive a killed parent.
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
            && !self.is_over()
        {
            let _sent = kill_process(pid, Signal::TERM);
        }
        let asked = Instant::now();
        while !self.is_over() && asked.elapsed() < GRACE {
            thread::sleep(POLL);
        }
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}

// === impl CpuTime ===

impl CpuTime {
    /// User and system time of every thread of `root` and its descendants. The scheduler's own count is exact,
    /// where the figures of `/proc/PID/stat` come in steps of 10 ms.
    pub(super) fn of(root: u32) -> Outcome<Self> {
        let mut threads = HashMap::new();
        for pid in tree(root)? {
            for task in fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
                // A thread may end between the listing and the reading.
                let Ok(text) = fs::read_to_string(task.path().join("schedstat")) else { continue };
                let (Some(time), Some(id)) =
                    (text.split(' ').next(), task.file_name().to_str().map(str::parse))
                else {
                    continue;
                };
                threads.insert(id?, time.parse()?);
            }
        }
        Ok(Self(threads))
    }

    /// Nanoseconds used since `earlier`. Threads that have ended in between are not counted.
    pub(super) fn since(&self, earlier: &Self) -> u64 {
        self.0.iter().map(|(id, time)| time - earlier.0.get(id).copied().unwrap_or_default().min(*time)).sum()
    }
}

// === impl Memory ===

impl Memory {
    pub(super) fn of(root: u32) -> Outcome<Self> {
        let mut sum = Self::default();
        for pid in tree(root)? {
            let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
            sum.resident += kilobytes(&status, "VmRSS:") * 1024;
            sum.peak += kilobytes(&status, "VmHWM:") * 1024;
        }
        Ok(sum)
    }
}

fn kilobytes(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or_default()
}

/// `root` and all its descendants.
fn tree(root: u32) -> Outcome<Vec<u32>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        // The program's name stands in brackets and may hold anything; the state and the parent follow it.
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split(' ').nth(2)?.parse::<u32>().ok());
        parents.extend(parent.map(|parent| (pid, parent)));
    }
    let mut family = vec![root];
    let mut next = 0;
    while let Some(parent) = family.get(next).copied() {
        family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    Ok(family)
}

// === impl Ahead ===

impl Ahead {
    pub(super) fn of_others() -> Outcome<Self> {
        fs::write(AUTOGROUP, "-20").map_err(|why| format!("--priority: {AUTOGROUP}: {why}"))?;
        Ok(Self)
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        let _restored = fs::write(AUTOGROUP, "0");
    }
}
