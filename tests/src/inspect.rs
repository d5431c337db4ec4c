//! What Linux says about a running process: memory, CPU, files.

use std::io;
use std::os::unix::fs::FileExt;
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

/// Bytes of a page.
const PAGE: usize = 4096;

/// Reads all memory that the process may write, a piece at a time: heap, stacks, freed or not; without pages that hold
/// nothing. For root, since these processes cannot be read by others of their user.
pub fn memory(pid: u32, mut look: impl FnMut(&[u8])) -> io::Result<()> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let memory = std::fs::File::open(format!("/proc/{pid}/mem"))?;
    for line in maps.lines() {
        let (range, rest) = line.split_once(' ').unwrap_or_default();
        let Some((from, to)) = range.split_once('-').filter(|_| rest.starts_with("rw")) else { continue };
        let bound = |text: &str| u64::from_str_radix(text, 16).map_err(io::Error::other);
        let (mut at, to) = (bound(from)?, bound(to)?);
        let (mut page, mut run) = (vec![0; PAGE], Vec::new());
        while at < to {
            // A page that has gone since holds nothing any more.
            let read = memory.read_exact_at(&mut page, at).is_ok();
            if read && page != [0; PAGE] {
                run.extend_from_slice(&page);
            } else if !run.is_empty() {
                look(&run);
                run.clear();
            }
            at += PAGE as u64;
        }
        look(&run);
    }
    Ok(())
}
