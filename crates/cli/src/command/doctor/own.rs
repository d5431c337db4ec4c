//! What can be seen from here: the files of the data directory, the way to the control plane, clocks and builds.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::connection::{ADMIN_TOKEN_FILE, CONTEXT_FILE, is_local};
use crate::home::Home;

/// Files of the data directory that nobody else may read.
const PRIVATE: &[&str] = &[ADMIN_TOKEN_FILE, CONTEXT_FILE, "client.token", "root.key"];
/// Bits that let others in.
const OTHERS: u32 = 0o077;
/// An answer that takes longer is slow.
const SLOW: Duration = Duration::from_secs(1);
/// A clock that is off by more, milliseconds.
const OFF: u64 = 5_000;
const FAR_OFF: u64 = 300_000;

/// One thing that was looked at, as the API's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    area: &'static str,
    pub(super) level: &'static str,
    pub(super) what: String,
    what_to_do: String,
}

// === impl Finding ===

impl Finding {
    pub(super) fn ok(area: &'static str, what: impl Into<String>) -> Self {
        Self { area, level: "ok", what: what.into(), what_to_do: String::new() }
    }

    pub(super) fn warn(area: &'static str, what: impl Into<String>, what_to_do: &str) -> Self {
        Self { area, level: "warn", what: what.into(), what_to_do: what_to_do.into() }
    }

    pub(super) fn fail(area: &'static str, what: impl Into<String>, what_to_do: &str) -> Self {
        Self { area, level: "fail", what: what.into(), what_to_do: what_to_do.into() }
    }

    pub(super) fn json(&self) -> Value {
        let Self { area, level, what, what_to_do } = self;
        json!({ "area": area, "level": level, "what": what, "what_to_do": what_to_do })
    }
}

/// Whether secrets in the data directory are their owner's alone.
pub(super) fn files(home: &Home) -> Vec<Finding> {
    let there = |name: &&&str| home.path(name).exists();
    let names: Vec<&str> = PRIVATE.iter().filter(there).copied().collect();
    let open = names.iter().filter_map(|name| open(&home.path(name)));
    let found: Vec<Finding> = open.collect();
    let place = home.directory().display();
    match (found.is_empty(), names.is_empty()) {
        (false, _) => found,
        (true, true) => vec![Finding::ok("token", format!("none is kept in {place}"))],
        (true, false) => {
            vec![Finding::ok("token", format!("{} in {place}: only you can read them", names.join(", ")))]
        }
    }
}

fn open(path: &Path) -> Option<Finding> {
    let mode = fs::metadata(path).ok()?.mode() & 0o777;
    let shown = path.display();
    let what_to_do = format!("chmod 600 {shown}; if others use this machine, make a new one");
    (mode & OTHERS != 0)
        .then(|| Finding::fail("token", format!("others can read {shown} (mode {mode:o})"), &what_to_do))
}

/// Whether somebody on the way can read the token.
pub(super) fn way(server: &str) -> Finding {
    match (server.starts_with("https://"), is_local(server)) {
        (true, _) => Finding::ok("tls", format!("{server} is asked over TLS")),
        (false, true) => Finding::ok("tls", format!("{server} is on this machine")),
        (false, false) => {
            let what = format!("{server} is asked in clear: the token can be read on the way");
            Finding::fail("tls", what, "serve it with --tls-cert and --tls-key and use https")
        }
    }
}

pub(super) fn connection(server: &str, took: Duration) -> Finding {
    let what = format!("{server} answers in {} ms", took.as_millis());
    if took > SLOW {
        return Finding::warn("connection", what, "look at the network and at the load of its machine");
    }
    Finding::ok("connection", what)
}

pub(super) fn builds(ours: &str, theirs: &str) -> Finding {
    if ours == theirs {
        return Finding::ok("build", format!("this program and the control plane are {ours}"));
    }
    let what = format!("this program is {ours}, the control plane {theirs}");
    Finding::warn("build", what, "bring both to one version")
}

/// `ours`, `theirs`: milliseconds since 1970.
pub(super) fn clock(ours: u64, theirs: u64) -> Finding {
    let by = ours.abs_diff(theirs);
    let way = if ours > theirs { "ahead of" } else { "behind" };
    let what = format!("that of this machine is {} s {way} the control plane's", by / 1000);
    let what_to_do = "set both by NTP; expiry of tokens and leases goes by them";
    match by {
        _ if by > FAR_OFF => Finding::fail("clock", what, what_to_do),
        _ if by > OFF => Finding::warn("clock", what, what_to_do),
        _ => Finding::ok("clock", "this machine's and the control plane's agree"),
    }
}

#[expect(clippy::disallowed_methods, reason = "the clock of this machine is what is looked at")]
pub(super) fn unix_millis() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
