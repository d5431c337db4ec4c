//! The only place that reads the environment by name; settings come through clap.

/// The value of a variable that is set, not empty and UTF-8.
#[expect(
    clippy::disallowed_methods,
    reason = "${NAME}, --from-env and provider keys name variables that no flag can know"
)]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
