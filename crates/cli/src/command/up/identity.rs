//! Who the data planes of this process are to its control plane: each gets a certificate without a token, since both sides are
//! one program.

use keyway_config::Secret;
use keyway_controlplane::Issuing;
use keyway_dataplane::identity::{Identity, Request};

use crate::failure::Failure;

/// The identity of a data plane, as text for its orders; empty while the vault is sealed, when nobody would take it.
pub(super) fn make(issuing: Option<&Issuing>, node: &str) -> Result<Secret, Failure> {
    let Some(issuing) = issuing else { return Ok(Secret::new(String::new())) };
    let request = Request::make(node).map_err(|error| Failure::Other(error.to_string()))?;
    let enrolled = issuing.enroll(node, request.csr()).map_err(|error| Failure::Other(error.to_string()))?;
    Ok(Secret::new(request.accept(enrolled, Vec::new()).text().to_string()))
}

/// The way back.
pub(super) fn read(text: &Secret) -> Option<Identity> {
    Identity::from_text(text.expose())
}
