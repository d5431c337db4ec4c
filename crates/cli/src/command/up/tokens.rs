//! Tokens that live in the data directory, so that a second start uses the same.

use keyway_config::Secret;
use keyway_controlplane::resource::TokenText;

use crate::connection::ADMIN_TOKEN_FILE;
use crate::failure::Failure;
use crate::home::Home;

const CLIENT_TOKEN_FILE: &str = "client.token";
/// A file with less was cut or written by hand; it would be refused later with less clear words.
const SHORTEST: usize = 24;

/// What opens what.
#[derive(Debug)]
pub(crate) struct Tokens {
    /// The admin API, for operators.
    pub(super) admin: Secret,
    /// The gateway, for the first client.
    pub(super) client: Secret,
}

// === impl Tokens ===

impl Tokens {
    /// Reads those that are there and makes the others.
    pub(super) fn keep(home: &Home) -> Result<Self, Failure> {
        Ok(Self { admin: keep(home, ADMIN_TOKEN_FILE)?, client: keep(home, CLIENT_TOKEN_FILE)? })
    }
}

fn keep(home: &Home, name: &str) -> Result<Secret, Failure> {
    if let Some(text) = home.read(name)? {
        if text.len() < SHORTEST {
            let path = home.path(name);
            return Err(Failure::Other(format!(
                "{} holds no token; delete it to have one made",
                path.display()
            )));
        }
        return Ok(Secret::new(text.to_string()));
    }
    let token = TokenText::make()
        .map_err(|error| Failure::Other(format!("the system gives no randomness: {error}")))?;
    home.write(name, token.expose())?;
    Ok(Secret::new(token.expose().to_owned()))
}
