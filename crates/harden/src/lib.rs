//! What a process that holds keys switches off: core files, being read by other processes of its user, and the text of
//! its own panics.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use std::{io::Write, panic};

/// For the first lines of `main`. What the system refuses is logged; the program goes on.
pub fn harden() {
    panic::set_hook(Box::new(report));
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::warn!(%error, "cannot switch core files off");
    }
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "cannot keep other processes of this user from reading this one");
    }
}

/// Where, and an id to ask about; never the payload, which may hold whatever was in scope. Straight to standard error,
/// since it may be the log that panics.
fn report(panic: &panic::PanicHookInfo<'_>) {
    let id = getrandom::u64().unwrap_or_default();
    // Nothing is left to tell it to where this fails.
    let _ = match panic.location() {
        Some(at) => writeln!(std::io::stderr(), "keyway: a bug at {at} (id {id:016x}); please report it"),
        None => writeln!(std::io::stderr(), "keyway: a bug (id {id:016x}); please report it"),
    };
}
