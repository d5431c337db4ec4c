//! Calls sled on a thread of its own and waits only so long: after some errors 0.34 waits for itself for ever, and then
//! keeps a lock that all trees of the process share. A panic is an error like others.

use super::IndexError;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc,
    thread,
    time::Duration,
};

/// What the call answers; [`IndexError::Hung`] leaves its thread behind.
pub(super) fn within<T: Send + 'static>(
    patience: Duration,
    call: impl FnOnce() -> Result<T, IndexError> + Send + 'static,
) -> Result<T, IndexError> {
    let (done, outcome) = mpsc::sync_channel(1);
    let started = thread::Builder::new().name("index".to_owned()).spawn(move || {
        let answer = catch_unwind(AssertUnwindSafe(call)).unwrap_or(Err(IndexError::Panicked));
        // Nobody waits any more: then nobody needs it.
        let _ = done.send(answer);
    });
    started.map_err(|_| IndexError::NoThread)?;
    outcome.recv_timeout(patience).unwrap_or(Err(IndexError::Hung))
}
