//! A program that prints the secret: its arguments as they stand, no shell, nothing of this process's environment, and
//! nothing of what it says on stderr in any log.

use super::{BYTES_LIMIT, SourceError};
use std::{os::unix::process::ExitStatusExt, process::Stdio};
use tokio::{io::AsyncReadExt, process::Command};
use zeroize::Zeroizing;

/// Where programs that it starts itself are looked for.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// What it prints. Dropped, it is killed: a source that takes too long does not go on.
pub(super) async fn run(argv: &[String]) -> Result<Zeroizing<Vec<u8>>, SourceError> {
    let (program, arguments) = argv.split_first().ok_or(SourceError::NotThere)?;
    let failed = |source| SourceError::NotRun { program: program.clone(), source };
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", PATH)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        // In a group of its own: a signal of the terminal is not for it.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(BYTES_LIMIT).unwrap_or_default() + 1));
    if let Some(out) = child.stdout.take() {
        out.take(BYTES_LIMIT + 1).read_to_end(&mut bytes).await.map_err(failed)?;
    }
    if bytes.len() as u64 > BYTES_LIMIT {
        return Err(SourceError::TooLarge);
    }
    let ended = child.wait().await.map_err(failed)?;
    if ended.success() {
        return Ok(bytes);
    }
    let how = match (ended.code(), ended.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "no exit code".to_owned(),
    };
    Err(SourceError::Ended { program: program.clone(), how })
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
