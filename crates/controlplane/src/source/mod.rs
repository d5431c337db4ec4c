//! Where a key's next secret comes from when nobody enters it. Each source is asked within a time limit and a limit of
//! bytes; what it gives is checked and handed on, and never logged, and neither is what it says when it fails.

mod aws;
mod command;
mod fault;
mod file;
mod http;
mod vault;

pub(crate) use aws::{Iam, Listed, Pair};
pub(crate) use fault::SourceError;

use keyway_config::{Secret, SourcePlace, check_secret};
use std::{fmt, time::Duration};
use zeroize::Zeroizing;

/// One source may take so long, whatever it is.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);
/// Bytes of what a source gives.
const BYTES_LIMIT: u64 = 64 * 1024;

/// The value of a variable of the environment.
pub type Lookup = fn(&str) -> Option<String>;

/// What sources are asked with.
#[derive(Clone, Default)]
pub(crate) struct Sources {
    /// Absent: this process takes no secrets from its environment.
    pub(crate) environment: Option<Lookup>,
}

// === impl Sources ===

impl Sources {
    /// The secret that is there now.
    pub(crate) async fn ask(&self, place: SourcePlace<'_>) -> Result<Secret, SourceError> {
        let text =
            tokio::time::timeout(LIMIT, self.text(place)).await.map_err(|_| SourceError::TooSlow)??;
        sound(text)
    }

    async fn text(&self, place: SourcePlace<'_>) -> Result<Zeroizing<Vec<u8>>, SourceError> {
        match place {
            SourcePlace::Env(name) => {
                let found = self.environment.ok_or(SourceError::NoEnvironment)?(name);
                let text = found.ok_or_else(|| SourceError::NoVariable(name.to_owned()))?;
                Ok(Zeroizing::new(text.into_bytes()))
            }
            SourcePlace::File(path) => file::read(path).await,
            SourcePlace::Command(argv) => command::run(argv).await,
            SourcePlace::Vault(at) => vault::read(at).await,
            // Made, not asked for: `rotation/mint`.
            SourcePlace::AwsIam(_) => Err(SourceError::NotThere),
        }
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sources(..)")
    }
}

/// A secret without the line break at its end, if it may be one.
fn sound(bytes: Zeroizing<Vec<u8>>) -> Result<Secret, SourceError> {
    let text = std::str::from_utf8(&bytes).map_err(|_| SourceError::Unsound("is no text in UTF-8".into()))?;
    let secret = Secret::new(text.trim().to_owned());
    check_secret(&secret).map_err(SourceError::Unsound)?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_be_sent_is_a_secret() {
        let of = |text: &[u8]| sound(Zeroizing::new(text.to_vec())).map(|secret| secret.expose().to_owned());
        assert_eq!(of(b"  sk-1\r\n").unwrap(), "sk-1");
        for bad in [&b""[..], b"\n", b"a\nb", b"\xff", &[b'a'; 20_000]] {
            let error = of(bad).unwrap_err().to_string();
            assert!(error.starts_with("what it gave") && error.len() < 120, "{error}");
        }
    }
}
