//! A program that prints the secret: its arguments as they stand, no shell, nothing of this process's environment, and
//! nothing of what it says on stderr in any log.

use super::{BYTES_LIMIT, SourceError};
use rustix::process::{Pid, Signal, kill_process_group};
use std::{
    io,
    os::unix::process::ExitStatusExt,
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
    time::timeout,
};
use zeroize::Zeroizing;

/// Where programs that it starts itself are looked for.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// What it printed before it ended is there at once; what it left running may hold its output open for good.
const REST_LIMIT: Duration = Duration::from_secs(1);

/// A program and all that it starts. Dropped, all of them are killed.
struct Group(Option<Pid>);

/// What it prints. Dropped, it is killed: a source that takes too long does not go on.
pub(super) async fn run(argv: &[String]) -> Result<Zeroizing<Vec<u8>>, SourceError> {
    let (program, arguments) = argv.split_first().ok_or(SourceError::NotThere)?;
    let failed = |source| SourceError::NotRun { program: program.clone(), source };
    let mut child = begin(program, arguments).map_err(failed)?;
    let mut group = Group::of(&child);
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(BYTES_LIMIT).unwrap_or_default() + 1));
    let ended = heard(&mut child, &mut bytes).await.map_err(failed)?.ok_or(SourceError::TooLarge)?;
    if let Some(how) = fault(ended) {
        return Err(SourceError::Ended { program: program.clone(), how });
    }
    // What a program that ended well leaves running is its own business.
    group.0 = None;
    Ok(bytes)
}

fn begin(program: &str, arguments: &[String]) -> io::Result<Child> {
    Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", PATH)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        // In a group of its own: a signal of the terminal is not for it, and it is killed with its children.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

/// Reads until it has ended; `None` = it printed too much.
async fn heard(child: &mut Child, bytes: &mut Vec<u8>) -> io::Result<Option<ExitStatus>> {
    let Some(mut out) = child.stdout.take() else { return child.wait().await.map(Some) };
    let ended = tokio::select! {
        read = drain(&mut out, bytes) => {
            read?;
            None
        }
        ended = child.wait() => Some(ended?),
    };
    if ended.is_some_and(|ended| ended.success()) {
        // Without an end by then it is what was printed so far.
        timeout(REST_LIMIT, drain(&mut out, bytes)).await.unwrap_or(Ok(()))?;
    }
    if bytes.len() as u64 > BYTES_LIMIT {
        return Ok(None);
    }
    match ended {
        Some(ended) => Ok(Some(ended)),
        None => child.wait().await.map(Some),
    }
}

/// To its end or over the limit. Cut short, nothing that was read is lost; the buffer has room and never moves.
async fn drain(out: &mut (impl AsyncRead + Unpin), bytes: &mut Vec<u8>) -> io::Result<()> {
    while bytes.len() as u64 <= BYTES_LIMIT && out.read_buf(bytes).await? > 0 {}
    Ok(())
}

/// How it ended, if that was not well.
fn fault(ended: ExitStatus) -> Option<String> {
    match (ended.code(), ended.signal()) {
        (Some(0), _) => None,
        (Some(code), _) => Some(format!("exit code {code}")),
        (None, Some(signal)) => Some(format!("signal {signal}")),
        (None, None) => Some("no exit code".to_owned()),
    }
}

// === impl Group ===

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?)))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It fails only where nobody is left.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, Mode, mkfifoat};
    use std::io::Read;

    async fn of(script: &str) -> Result<String, String> {
        let argv = ["/bin/sh", "-c", script].map(str::to_owned);
        let bytes = run(&argv).await.map_err(|error| error.to_string())?;
        Ok(std::str::from_utf8(&bytes).unwrap().to_owned())
    }

    #[tokio::test]
    async fn only_a_program_that_ends_well_gives_a_secret() {
        assert_eq!(of("printf sk-1").await.unwrap(), "sk-1");
        assert_eq!(of("env | grep -vE '^(PATH|PWD|SHLVL|OLDPWD|_)=' | wc -l").await.unwrap().trim(), "0");
        let failed = of("echo sk-1; echo sk-2 >&2; exit 3").await.unwrap_err();
        assert!(failed.contains("exit code 3") && !failed.contains("sk-"), "{failed}");
        assert!(of("kill -9 $$").await.unwrap_err().contains("signal 9"));
        assert!(of("head -c 100000 /dev/zero").await.unwrap_err().contains("65536 bytes"));
        let missing = run(&["/no/such/program".to_owned()]).await.unwrap_err();
        assert!(matches!(missing, SourceError::NotRun { .. }));
    }

    #[tokio::test]
    async fn what_ended_well_is_not_waited_for_because_of_what_it_left_running() {
        let script = of("sleep 25 & printf sk-1");
        assert_eq!(timeout(Duration::from_secs(15), script).await.unwrap().unwrap(), "sk-1");
    }

    #[tokio::test]
    async fn what_takes_too_long_or_fails_is_killed_with_its_children() {
        for (end, taken) in [("wait", false), ("exit 3", true)] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("held");
            mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
            // The child holds the pipe for as long as it lives.
            let script = format!("exec 3>{}; sleep 60 & echo a >&3; {end}", path.display());
            let (begun, has_begun) = tokio::sync::oneshot::channel();
            let held = tokio::task::spawn_blocking(move || {
                let mut pipe = std::fs::File::open(path).unwrap();
                pipe.read_exact(&mut [0; 2]).unwrap();
                let _ = begun.send(());
                pipe.read_to_end(&mut Vec::new()).unwrap();
            });
            if taken {
                assert!(of(&script).await.unwrap_err().contains("exit code 3"));
            } else {
                tokio::select! {
                    ended = of(&script) => panic!("{ended:?}"),
                    begun = has_begun => begun.unwrap(),
                }
            }
            timeout(Duration::from_secs(20), held).await.unwrap().unwrap();
        }
    }
}
