//! Who the data planes of this program are to its control plane: they get a certificate without a token, since both sides are
//! one program.

use keyway_controlplane::Issuing;
use keyway_dataplane::identity::{Identity, Request};

use crate::failure::Failure;

/// What their node is called.
const NODE: &str = "up";

/// Their identity; `None` while the vault is sealed, when nobody would take it.
pub(super) fn make(issuing: Option<&Issuing>) -> Result<Option<Identity>, Failure> {
    let Some(issuing) = issuing else { return Ok(None) };
    let request = Request::make(NODE).map_err(|error| Failure::Other(error.to_string()))?;
    let enrolled = issuing.enroll(NODE, request.csr()).map_err(|error| Failure::Other(error.to_string()))?;
    Ok(Some(request.accept(enrolled, Vec::new())))
}
