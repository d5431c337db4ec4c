//! How many callers this process can hold, by the system's limit on open files.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that are not for callers: listeners, the control plane, logs.
const RESERVED_FILES: u64 = 64;
/// A caller's connection and the one to its provider.
const FILES_PER_CALLER: u64 = 2;
/// Where the system sets no limit.
const MOST: usize = 1 << 20;

/// Callers' connections that the limit allows, after raising it as far as it goes.
pub(crate) fn room() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let files = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let callers = files.map_or(u64::MAX, |files| files.saturating_sub(RESERVED_FILES) / FILES_PER_CALLER);
    usize::try_from(callers).unwrap_or(MOST).clamp(1, MOST)
}
