//! How near this process is to the memory that it may use: first it gives back what only rests, then large bodies are refused, then
//! every request, so that streams under way go on and the system ends nobody. The decision is pure; where there is no limit nothing is
//! read and nothing refused.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

/// How often memory is looked at: bodies come faster than a second, and a look costs some microseconds.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Percent of the limit from which memory that rests is given back, large bodies are refused, and everything is.
const REST_AT: u64 = 80;
const LARGE_AT: u64 = 90;
const ALL_AT: u64 = 95;
/// Where the kernel's groups of processes are.
const GROUPS: &str = "/sys/fs/cgroup";
/// Above it a limit is the kernel's word for none.
const NO_LIMIT: u64 = 1 << 50;

/// What has to go, each with all before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Pressure {
    #[default]
    None = 0,
    /// What no request uses: connections that rest, detail of usage that waits in memory.
    Rest = 1,
    /// New requests whose bodies are large.
    Large = 2,
    /// Every new request.
    All = 3,
}

/// Where memory and its limit are read.
#[derive(Debug)]
pub(crate) enum Source {
    /// Of this process alone, against a limit that was given: bytes.
    Own(u64),
    /// Of its group of processes, as the kernel limits it.
    Group { used: PathBuf, limit: u64, stat: PathBuf, cached: [&'static str; 2] },
}

// === impl Pressure ===

impl Pressure {
    /// By bytes that are used, of those that may be.
    pub(crate) fn of(used: u64, limit: u64) -> Self {
        let at = |percent: u64| u128::from(used) * 100 >= u128::from(limit) * u128::from(percent);
        match () {
            () if at(ALL_AT) => Self::All,
            () if at(LARGE_AT) => Self::Large,
            () if at(REST_AT) => Self::Rest,
            () => Self::None,
        }
    }

    pub(crate) fn read(stored: u8) -> Self {
        match stored {
            0 => Self::None,
            1 => Self::Rest,
            2 => Self::Large,
            _ => Self::All,
        }
    }

    /// Whether what rests has to go.
    pub(crate) fn is_scarce(self) -> bool {
        self >= Self::Rest
    }
}

// === impl Source ===

impl Source {
    /// The given limit, in bytes, else that of this process' group; `None` = there is none.
    pub(crate) fn find(given: Option<u64>) -> Option<Self> {
        given.map(Self::Own).or_else(|| Self::of_group(&fs::read_to_string("/proc/self/cgroup").ok()?))
    }

    /// Of the group that these lines of `/proc/self/cgroup` name, by the kernel's second way of groups, else by its first.
    fn of_group(lines: &str) -> Option<Self> {
        let mut found = lines.lines().filter_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            let path = path.trim_start_matches('/');
            if controllers.is_empty() {
                Self::second(&Path::new(GROUPS).join(path))
            } else if controllers.split(',').any(|one| one == "memory") {
                Self::first(&Path::new(GROUPS).join("memory").join(path))
            } else {
                None
            }
        });
        found.next()
    }

    fn second(group: &Path) -> Option<Self> {
        let limit = number(&group.join("memory.max")).ok()?;
        let (used, stat) = (group.join("memory.current"), group.join("memory.stat"));
        Some(Self::Group { used, limit, stat, cached: ["inactive_file ", "active_file "] })
    }

    fn first(group: &Path) -> Option<Self> {
        let limit = number(&group.join("memory.limit_in_bytes")).ok().filter(|limit| *limit < NO_LIMIT)?;
        let (used, stat) = (group.join("memory.usage_in_bytes"), group.join("memory.stat"));
        Some(Self::Group { used, limit, stat, cached: ["total_inactive_file ", "total_active_file "] })
    }

    /// Bytes that are used now, without files that the kernel holds and gives back by itself, and the limit.
    pub(crate) fn look(&self) -> io::Result<(u64, u64)> {
        match self {
            Self::Own(limit) => Ok((resident()?, *limit)),
            Self::Group { used, limit, stat, cached } => {
                let stat = fs::read_to_string(stat).unwrap_or_default();
                let bytes = |line: &str| cached.iter().find_map(|name| line.strip_prefix(name)?.parse().ok());
                let cached = stat.lines().filter_map(bytes).fold(0, u64::saturating_add);
                Ok((number(used)?.saturating_sub(cached), *limit))
            }
        }
    }
}

fn resident() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.map(|kib| kib << 10).ok_or_else(|| io::Error::other("resident memory is not told"))
}

fn number(path: &Path) -> io::Result<u64> {
    fs::read_to_string(path)?.trim().parse().map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rests_goes_first_then_large_bodies_and_then_everything() {
        for (used, limit, pressure) in [
            (0, 100, Pressure::None),
            (79, 100, Pressure::None),
            (80, 100, Pressure::Rest),
            (89, 100, Pressure::Rest),
            (90, 100, Pressure::Large),
            (94, 100, Pressure::Large),
            (95, 100, Pressure::All),
            (200, 100, Pressure::All),
            (u64::MAX / 2, u64::MAX, Pressure::None),
        ] {
            assert_eq!(Pressure::of(used, limit), pressure, "{used} of {limit}");
            assert_eq!(Pressure::read(pressure as u8), pressure);
            assert_eq!(pressure.is_scarce(), pressure != Pressure::None);
        }
    }

    #[test]
    fn a_group_is_read_in_both_ways_of_the_kernel() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        file("memory.max", "max\n");
        assert!(Source::second(folder.path()).is_none(), "no limit");
        file("memory.max", "1000\n");
        file("memory.current", "700\n");
        file("memory.stat", "anon 500\ninactive_file 100\nactive_file 50\nfile 200\n");
        assert_eq!(Source::second(folder.path()).unwrap().look().unwrap(), (550, 1000));
        file("memory.limit_in_bytes", "9223372036854771712\n");
        assert!(Source::first(folder.path()).is_none(), "no limit");
        file("memory.limit_in_bytes", "2000\n");
        file("memory.usage_in_bytes", "900\n");
        file("memory.stat", "cache 1\ninactive_file 7\ntotal_inactive_file 90\ntotal_active_file 10\n");
        assert_eq!(Source::first(folder.path()).unwrap().look().unwrap(), (800, 2000));
        assert!(Source::of_group("12:cpu:/a\n0::/none-such\n").is_none());
    }

    #[test]
    fn a_given_limit_is_held_against_this_process() {
        let (used, limit) = Source::find(Some(1 << 40)).unwrap().look().unwrap();
        assert!(used > 1 << 20 && limit == 1 << 40, "{used}");
    }
}
