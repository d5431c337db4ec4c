//! What can go wrong with the books. The database's own errors stay in this room.

use rusqlite::ErrorCode;
use std::{io, sync::Arc};

/// Why usage could not be booked or read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum UsageError {
    /// A later version of this program wrote it.
    #[error(
        "usage.db has format {found} and this program knows {known}: start the version that wrote it, or move the file away"
    )]
    Newer {
        /// In the file.
        found: i64,
        /// The newest that is known here.
        known: i64,
    },
    /// What a replica sent is no batch. Nothing of it was booked.
    #[error("the batch is malformed: {0}")]
    Malformed(&'static str),
    /// No room: nothing was booked, replicas keep what they have.
    #[error("the disk of usage.db is full")]
    Full,
    /// A copy for a backup does not fit.
    #[error(
        "a copy of usage.db takes {needed} bytes in the data directory, where {free} are free: make room, or leave it out"
    )]
    NoRoom {
        /// Bytes of the copy.
        needed: u64,
        /// Bytes that the disk has.
        free: u64,
    },
    /// What is in the file is not what was written.
    #[error("usage.db is damaged: {0}")]
    Damaged(Arc<str>),
    /// The disk or the system.
    #[error("usage.db: {0}")]
    Failed(Arc<str>),
    /// A question that would take too long.
    #[error("this takes too long; ask for a shorter time or for fewer dimensions")]
    TooLong,
    /// The control plane ends.
    #[error("the control plane stops")]
    Ended,
}

// === impl UsageError ===

impl UsageError {
    pub(super) fn failed(error: impl ToString) -> Self {
        Self::Failed(error.to_string().into())
    }

    pub(super) fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged(_))
    }
}

impl From<rusqlite::Error> for UsageError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Damaged(error.to_string().into())
            }
            _ => Self::failed(error),
        }
    }
}

impl From<io::Error> for UsageError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::failed(error),
        }
    }
}
