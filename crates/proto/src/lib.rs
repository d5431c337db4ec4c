//! The wire contract between the planes: generated messages, and the gRPC services behind the feature `services`.
//! Rewritten by `cargo xtask gen`; holds no logic.

/// What a replica serves from.
pub mod snapshot {
    /// First version.
    #[expect(missing_docs, reason = "generated; comments stand in proto/")]
    pub mod v1 {
        include!("gen/keyway.snapshot.v1.rs");
    }
}

/// How replicas learn what to serve.
pub mod fleet {
    /// First version.
    #[expect(missing_docs, clippy::large_enum_variant, reason = "generated; comments stand in proto/")]
    #[cfg_attr(
        feature = "services",
        expect(
            clippy::allow_attributes,
            clippy::allow_attributes_without_reason,
            clippy::excessive_nesting,
            clippy::too_many_lines,
            reason = "generated"
        )
    )]
    pub mod v1 {
        include!("gen/keyway.fleet.v1.rs");
    }
}

/// Version of the snapshot schema that this build writes, and the newest that it reads.
pub const SCHEMA: u32 = 1;

/// What replicas can do beyond the first schema, by name. A name is never used again for something else.
pub mod feature {
    /// Takes what changed, on top of what it holds.
    pub const CHANGES: &str = "changes";
    /// Verifies the control plane's signature under a state.
    pub const SIGNATURES: &str = "signatures";
    /// Counts search units of reranks, and knows prices by them.
    pub const SEARCH_UNITS: &str = "search-units";
    /// All that this build can do.
    pub const ALL: [&str; 3] = [CHANGES, SIGNATURES, SEARCH_UNITS];
}
/// Details of the status with which a node that was evicted is turned away: it lets go of what it holds.
pub const EVICTED: &[u8] = b"evicted";
/// Bytes of resources in one `Chunk`.
pub const CHUNK_LIMIT: usize = 1 << 20;
/// Bytes of resources in a whole state.
pub const STATE_LIMIT: u64 = 64 << 20;
/// Bytes of frames in one `Batch`; a frame is never larger.
pub const BATCH_LIMIT: usize = 1 << 20;

mod debug {
    //! Messages that hold secrets print their name and what is not secret.
    use crate::{
        fleet::v1::{EnrollRequest, JoinToken, KeptIdentity, Probe},
        snapshot::v1::{Credential, KeyPair, Resource, Settings},
    };
    use std::fmt;

    impl fmt::Debug for EnrollRequest {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "EnrollRequest({})", self.node)
        }
    }

    impl fmt::Debug for JoinToken {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "JoinToken({:?})", self.addresses)
        }
    }

    impl fmt::Debug for KeptIdentity {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "KeptIdentity({:?})", self.enrolled)
        }
    }

    impl fmt::Debug for Credential {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "Credential({}/{}/{})", self.provider, self.key, self.version)
        }
    }

    impl fmt::Debug for KeyPair {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "KeyPair({})", self.access_key_id)
        }
    }

    impl fmt::Debug for Probe {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "Probe({}, {}/{}/{})", self.id, self.provider, self.key, self.version)
        }
    }

    impl fmt::Debug for Resource {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "Resource({}, {}, {} bytes)", self.kind, self.name, self.body.len())
        }
    }

    impl fmt::Debug for Settings {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "Settings(body_limit {})", self.body_limit)
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        fleet::v1::{EnrollRequest, JoinToken, KeptIdentity, Probe, ToReplica, to_replica::Message},
        snapshot::v1::{Client, Credential, KeyPair, Resource, Settings},
    };

    #[test]
    fn no_message_shows_a_secret() {
        let secret = b"sk-leak".to_vec();
        let pair = KeyPair { access_key_id: "AKIA".to_owned(), secret_access_key: "sk-leak".to_owned() };
        let probe = Probe { secret: secret.clone(), ..Probe::default() };
        let shown = [
            format!("{:?}", Credential { secret: secret.clone(), ..Credential::default() }),
            format!("{:?}", Client { sigv4: vec![pair], ..Client::default() }),
            format!("{:?}", Resource { body: secret.clone().into(), ..Resource::default() }),
            format!("{:?}", Settings { digest_key: secret.clone(), ..Settings::default() }),
            format!("{:?}", EnrollRequest { secret: secret.clone(), ..EnrollRequest::default() }),
            format!("{:?}", JoinToken { secret: secret.clone(), ..JoinToken::default() }),
            format!("{:?}", KeptIdentity { key: secret.clone(), ..KeptIdentity::default() }),
            format!("{:?}", ToReplica { message: Some(Message::Probe(probe)) }),
        ];
        for text in shown {
            assert!(!text.contains("sk-leak") && !text.contains("115, 107"), "{text}");
        }
    }
}
