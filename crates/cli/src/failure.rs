//! Why a verb did not do what was asked: one line for people, one exit code for scripts.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use keyway_config::Problem;
use reqwest::StatusCode;

/// Exit codes, fixed by docs/cli.md. 0 is done and 2, usage, is clap's.
const FAILED: u8 = 1;
const USAGE: u8 = 2;
const NOT_FOUND: u8 = 3;
const REFUSED: u8 = 4;
const TIMED_OUT: u8 = 5;

/// Why a verb ended without doing what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Arguments that clap cannot judge.
    #[error("{0}")]
    Usage(String),
    /// A file with faults; each is a line of its own.
    #[error("{}", lines(.0))]
    Problems(Vec<Problem>),
    /// The admin API said no.
    #[error("{message}")]
    Answered {
        /// Decides the exit code.
        status: StatusCode,
        /// The API's own words, with its field if it named one.
        message: String,
    },
    /// Nothing answers there.
    #[error(
        "cannot reach the control plane at {server}: {reason}; start one with `keyway up`, or name yours with --server"
    )]
    Unreachable {
        /// Base URL.
        server: String,
        /// What the network said.
        reason: String,
    },
    /// A wait was longer than allowed.
    #[error("{0}")]
    TimedOut(String),
    /// A file that cannot be read or written.
    #[error("cannot {action} {}: {source}; {}", path.display(), remedy(source, action))]
    File {
        /// `read` or `write`.
        action: &'static str,
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Anything else, as a whole sentence.
    #[error("{0}")]
    Other(String),
}

// === impl Failure ===

impl Failure {
    /// What the process ends with.
    pub(crate) fn code(&self) -> ExitCode {
        let code = match self {
            Self::Usage(_) => USAGE,
            Self::Answered { status, .. } => match *status {
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => REFUSED,
                StatusCode::NOT_FOUND => NOT_FOUND,
                StatusCode::GATEWAY_TIMEOUT => TIMED_OUT,
                _ => FAILED,
            },
            Self::TimedOut(_) => TIMED_OUT,
            Self::Problems(_) | Self::Unreachable { .. } | Self::File { .. } | Self::Other(_) => FAILED,
        };
        ExitCode::from(code)
    }

    /// Whether it may be over in a moment: nobody there, or starting.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TimedOut(_) => true,
            Self::Answered { status, .. } => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            _ => false,
        }
    }

    pub(crate) fn read(path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::File { action: "read", path: path.into(), source }
    }

    pub(crate) fn write(path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::File { action: "write", path: path.into(), source }
    }
}

/// What to do about a file.
fn remedy(error: &io::Error, action: &str) -> &'static str {
    match (error.kind(), action) {
        (io::ErrorKind::NotFound | io::ErrorKind::NotADirectory, "read") => "check the path",
        (io::ErrorKind::NotFound, _) => "make its directory first, or choose another",
        (io::ErrorKind::PermissionDenied, "read") => "let this user read it, or name another",
        (io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem, _) => {
            "choose a place that this user may write to"
        }
        (io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename, _) => {
            "name a file"
        }
        (io::ErrorKind::StorageFull, _) => "make room on the disk",
        (io::ErrorKind::InvalidData, _) => "name a file that is text (UTF-8)",
        (io::ErrorKind::FileTooLarge, _) => "name a smaller one",
        _ => "mend that, or name another file",
    }
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}
