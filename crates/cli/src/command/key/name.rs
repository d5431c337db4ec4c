//! Which key is meant: `provider/key`, or a provider alone where that is clear.

use std::fmt;

use keyway_config::looks_like_secret;
use serde_json::Value;

use crate::failure::Failure;
use crate::print::{self, cell};
use crate::server::{Server, segment};

/// Of the one key that a provider has unless it was given names.
const DEFAULT: &str = "default";

/// A key of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    provider: String,
    key: String,
}

// === impl Name ===

impl Name {
    /// A key that may not be there yet.
    pub(super) fn new(typed: &str) -> Result<Self, Failure> {
        // A name stands in paths and errors.
        if typed.split('/').any(looks_like_secret) {
            return Err(super::secret_typed());
        }
        let (provider, key) = typed.split_once('/').unwrap_or((typed, DEFAULT));
        if provider.is_empty() || key.is_empty() {
            return Err(Failure::Usage("a key is named PROVIDER/KEY, like openai/main".into()));
        }
        Ok(Self { provider: provider.to_owned(), key: key.to_owned() })
    }

    /// A key that is there; asks only where the name leaves something open.
    pub(super) async fn find(server: &Server, typed: &str) -> Result<Self, Failure> {
        let name = Self::new(typed)?;
        if typed.contains('/') {
            return Ok(name);
        }
        Self::choose(name, &server.get("/keys").await?)
    }

    /// A provider's only key, or the one named `default`. No key at all is for the API to say.
    pub(super) fn choose(name: Self, keys: &Value) -> Result<Self, Failure> {
        let of_provider = print::list(keys).filter(|key| cell(key, "provider") == name.provider);
        let names: Vec<String> = of_provider.map(|key| cell(key, "name")).collect();
        match names.as_slice() {
            [] => Ok(name),
            [only] => Ok(Self { key: only.clone(), ..name }),
            several if several.contains(&name.key) => Ok(name),
            several => {
                let all: Vec<String> = several.iter().map(|key| format!("{}/{key}", name.provider)).collect();
                let (provider, all) = (&name.provider, all.join(", "));
                Err(Failure::Usage(format!("{provider} has several keys; which one: {all}?")))
            }
        }
    }

    /// As a part of a file's name.
    pub(super) fn as_file(&self) -> String {
        format!("{}-{}", self.provider, self.key)
    }

    /// Below `/api/v1`.
    pub(super) fn path(&self, verb: &str) -> String {
        format!("/keys/{}/{}{verb}", segment(&self.provider), segment(&self.key))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.provider, self.key)
    }
}
