//! Which control plane answers a call: any, from the documents that all have; the leader, which alone changes them and hears
//! of every replica; or the one that keeps the books. Pure.

/// Where a call is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Home {
    Here,
    Leader,
    Books,
}

/// What replicas say is known to the leader in full.
const OF_REPLICAS: [&str; 6] = ["/fleet", "/hosts", "/keys", "/models", "/status", "/doctor"];
const OF_USAGE: [&str; 3] = ["/usage", "/logs", "/why"];

/// Of a route below `/api/v1`; `changes` = the audit log has a word for it.
pub(super) fn home(path: &str, changes: bool) -> Home {
    let below = |roots: &[&str]| {
        roots
            .iter()
            .any(|root| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
    };
    if below(&OF_USAGE) {
        Home::Books
    } else if changes || below(&OF_REPLICAS) {
        Home::Leader
    } else {
        Home::Here
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_answers_what() {
        for (path, changes, at) in [
            ("/export", false, Home::Here),
            ("/audit", false, Home::Here),
            ("/clients/{name}", false, Home::Here),
            ("/clients/{name}", true, Home::Leader),
            ("/apply", true, Home::Leader),
            ("/keys/{provider}/{key}/events", false, Home::Leader),
            ("/fleet", false, Home::Leader),
            ("/fleeting", false, Home::Here),
            ("/hosts/{name}", false, Home::Leader),
            ("/usage", false, Home::Books),
            ("/logs/follow", false, Home::Books),
        ] {
            assert_eq!(home(path, changes), at, "{path}");
        }
    }
}
