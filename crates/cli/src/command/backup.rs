//! `keyway backup`: a copy of everything in one file, whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::args::Output;
use crate::failure::Failure;
use crate::print;
use crate::server::Server;

#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// Where to write it, mode 0600; - is stdout
    file: PathBuf,
    /// Replace a file that is there
    #[arg(long)]
    force: bool,
    /// Leave out what was used and what it cost, which can be large
    #[arg(long)]
    without_usage: bool,
}

pub(crate) async fn run(server: &Server, output: Output, verb: Backup) -> Result<(), Failure> {
    if verb.file == Path::new("-") {
        return to_stdout(server, &verb).await;
    }
    free(&verb)?;
    let bytes = to_file(server, &verb).await?;
    match output {
        Output::Json => print::json(&json!({ "file": verb.file, "bytes": bytes })),
        Output::Table => {
            print::note(&format!("{bytes} bytes are in {} (only you can read it).", verb.file.display()));
        }
    }
    Ok(())
}

fn path_of(verb: &Backup) -> &'static str {
    if verb.without_usage { "/backup?usage=false" } else { "/backup" }
}

async fn to_stdout(server: &Server, verb: &Backup) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    if stdout.is_terminal() {
        return Err(Failure::Usage("a backup is no text for a terminal; name a file, or pipe it on".into()));
    }
    let failed = |error| Failure::write("stdout", error);
    server.download(path_of(verb), |piece| stdout.write_all(piece).map_err(failed)).await?;
    stdout.flush().map_err(failed)
}

/// Written beside, then renamed: under its name there is only a whole one.
async fn to_file(server: &Server, verb: &Backup) -> Result<u64, Failure> {
    let path = verb.file.as_path();
    let failed = |error| Failure::write(path, error);
    let name = path.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidFilename.into()))?;
    let beside = path.with_file_name(format!(".{}.{}", name.display(), std::process::id()));
    let written = async {
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside).map_err(failed)?;
        let bytes = server.download(path_of(verb), |piece| file.write_all(piece).map_err(failed)).await?;
        file.sync_all().map_err(failed)?;
        free(verb)?;
        fs::rename(&beside, path).map_err(failed)?;
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new("."))).and_then(|it| it.sync_all()).map_err(failed)?;
        Ok(bytes)
    };
    let written = written.await;
    if written.is_err() {
        // It may be gone already; the first error says why.
        let _ = fs::remove_file(&beside);
    }
    written
}

fn free(verb: &Backup) -> Result<(), Failure> {
    if verb.force || !verb.file.exists() {
        return Ok(());
    }
    Err(Failure::Other(format!(
        "{} is there already; name another file, or give --force",
        verb.file.display()
    )))
}
