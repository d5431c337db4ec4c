//! What Linux says about a running process: memory, CPU, files.

use std::io;
use std::time::Duration;

/// Length of a tick of /proc/PID/stat: Linux reports in hundredths of a second on every machine.
const TICK: Duration = Duration::from_millis(10);

/// Resident memory now, in KiB.
pub fn resident_kib(pid: u32) -> io::Result<u64> {
    status(pid, "VmRSS:")
}

/// The most resident memory since the start or `forget_peak`, in KiB.
pub fn peak_kib(pid: u32) -> io::Result<u64> {
    status(pid, "VmHWM:")
}

/// Lets the peak start again from what is resident now.
pub fn forget_peak(pid: u32) -> io::Result<()> {
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5")
}

/// User and system time so far.
pub fn cpu(pid: u32) -> io::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name may hold blanks; fields are counted from the bracket that closes it.
    let after = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u32 =
        after.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u32>().ok()).sum();
    Ok(TICK * ticks)
}

/// How many file descriptors are open.
pub fn open_files(pid: u32) -> io::Result<usize> {
    Ok(std::fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

/// The direct children.
pub fn children(pid: u32) -> io::Result<Vec<u32>> {
    let mut found = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = std::fs::read_to_string(task?.path().join("children"))?;
        found.extend(text.split_whitespace().filter_map(|field| field.parse::<u32>().ok()));
    }
    Ok(found)
}

/// How many established TCP connections on the local port `port` the process holds.
pub fn connections(pid: u32, port: u16) -> io::Result<usize> {
    const ESTABLISHED: &str = "01";
    let table = std::fs::read_to_string(format!("/proc/{pid}/net/tcp"))?;
    let local = format!(":{port:04X}");
    let inodes: Vec<String> = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|fields| fields.get(1).is_some_and(|address| address.ends_with(&local)))
        .filter(|fields| fields.get(3) == Some(&ESTABLISHED))
        .filter_map(|fields| fields.get(9).map(|inode| format!("socket:[{inode}]")))
        .collect();
    let files = std::fs::read_dir(format!("/proc/{pid}/fd"))?;
    let links = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
    Ok(links.filter(|link| inodes.iter().any(|inode| link.as_os_str() == inode.as_str())).count())
}

fn status(pid: u32, field: &str) -> io::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let value = text.lines().find_map(|line| line.strip_prefix(field));
    let number = value.and_then(|value| value.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| io::Error::other(format!("no {field} of process {pid}")))
}
