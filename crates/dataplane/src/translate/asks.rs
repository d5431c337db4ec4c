//! What a caller asks for, in no dialect: a conversation, or one of the other operations that cross.

use keyway_dialect::{
    Malformed, canon,
    codec::{self, Encoded, Envelope, Target, codec},
    losses::Unsupported,
    operation::{self, operation},
};
use keyway_snapshot::{Dialect, Endpoint};
use std::rc::Rc;

/// A caller's body, decoded.
#[derive(Debug)]
pub(crate) enum Asks {
    /// A conversation.
    Talk(Box<canon::Request>),
    /// Vectors, ranks or counts, whose request is needed to read the reply.
    Operation(Rc<operation::Request>),
}

/// The endpoint of a target's dialect that does what is asked for at the caller's; none where that does not cross.
pub(super) fn endpoint_there((caller, endpoint): (Dialect, Endpoint), target: Dialect) -> Option<Endpoint> {
    codec(caller).and(codec(target))?;
    if codec::endpoint(caller) == endpoint {
        return Some(codec::endpoint(target));
    }
    operation(endpoint)?.endpoint(target)
}

// === impl Asks ===

impl Asks {
    /// Decodes.
    ///
    /// # Errors
    /// The dialect does not allow it, or has nothing there that crosses.
    pub(crate) fn decode(
        (dialect, endpoint): (Dialect, Endpoint),
        body: &[u8],
        envelope: &Envelope<'_>,
    ) -> Result<Self, Malformed> {
        let operation = operation(endpoint).filter(|_| codec::endpoint(dialect) != endpoint);
        match (operation, codec(dialect)) {
            (Some(operation), _) => {
                operation.decode_request(dialect, body, envelope).map(Rc::new).map(Self::Operation)
            }
            (None, Some(codec)) => codec.decode_request(body, envelope).map(Box::new).map(Self::Talk),
            (None, None) => Err(Malformed { path: String::new(), what: "has no codec" }),
        }
    }

    /// The body for a target of this dialect.
    ///
    /// # Errors
    /// Something cannot be expressed and is not harmless.
    pub(super) fn encode(
        &self,
        codec: &dyn codec::Codec,
        target: &Target<'_>,
    ) -> Result<Encoded, Unsupported> {
        match self {
            Self::Talk(request) => codec.encode_request(request, target),
            Self::Operation(request) => request.encode(codec.dialect(), target),
        }
    }

    /// Whether the caller wants a stream's usage told.
    pub(super) fn include_usage(&self) -> bool {
        matches!(self, Self::Talk(request) if request.include_usage)
    }

    /// What the reply is read by, where it is no conversation.
    pub(super) fn operation(&self) -> Option<Rc<operation::Request>> {
        match self {
            Self::Talk(_) => None,
            Self::Operation(request) => Some(Rc::clone(request)),
        }
    }
}
