//! What a process that holds keys switches off: core files, being read by other processes of its user, the text of its own
//! panics, and what libraries would log of requests.

mod log;

pub use log::{LogError, log};

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

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// Says to a run of this test that it is the child.
    const CHILD: &str = "KEYWAY_HARDEN_CHILD";
    const SECRET: &str = "canary-in-the-scope-of-a-panic";

    /// The hook is the whole process's, so it is looked at from outside.
    #[test]
    fn a_panic_says_where_and_not_what() {
        if std::env::var_os(CHILD).is_some() {
            harden();
            let panicked = std::thread::spawn(|| panic!("{SECRET}")).join();
            assert!(panicked.is_err());
            return;
        }
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "tests::a_panic_says_where_and_not_what", "--nocapture"]);
        let ran = child.env(CHILD, "1").env("RUST_BACKTRACE", "full").output().unwrap();
        let text = format!("{}{}", ran.stdout.escape_ascii(), ran.stderr.escape_ascii());
        assert!(ran.status.success() && text.contains("keyway: a bug at "), "{text}");
        assert!(!text.contains(SECRET) && !text.contains("backtrace"), "{text}");
    }
}
