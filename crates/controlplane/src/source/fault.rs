//! Why a source gave no secret, in words for people. What a source itself said is not among them: it may hold a secret.

use std::{io, path::PathBuf};

/// Why there is no new secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    /// It took longer than any source may.
    #[error("it gave no answer within {} s", super::LIMIT.as_secs())]
    TooSlow,
    /// This process takes no secrets from its environment.
    #[error("this control plane takes no secrets from its environment; use `file` or `command`")]
    NoEnvironment,
    /// The variable is not there.
    #[error("the variable {0} is not set")]
    NoVariable(String),
    /// This build does not know the source.
    #[error("this source is not there")]
    NotThere,
    /// What came cannot be a secret.
    #[error("what it gave {0}")]
    Unsound(String),
    /// More bytes than any secret has.
    #[error("it gave more than {} bytes", super::BYTES_LIMIT)]
    TooLarge,
    /// A file that does not fit.
    #[error("{}: {why}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A program that could not be started.
    #[error("{program} cannot be run: {source}")]
    NotRun {
        /// Which.
        program: String,
        /// What the system says.
        source: io::Error,
    },
    /// A program that failed.
    #[error("{program} ended with {how}; run it by hand to see what it says")]
    Ended {
        /// Which.
        program: String,
        /// Its exit code or signal.
        how: String,
    },
}
