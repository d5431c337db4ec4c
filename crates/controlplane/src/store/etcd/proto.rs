//! etcd's messages and calls, as far as they are used. Rewritten by `cargo xtask gen` from proto/etcd; holds no logic.

#![expect(unreachable_pub, clippy::allow_attributes_without_reason, reason = "generated")]

include!("gen/etcdserverpb.rs");

// What a login says and is answered is never printed.
impl std::fmt::Debug for AuthenticateRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AuthenticateRequest(..)")
    }
}

impl std::fmt::Debug for AuthenticateResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AuthenticateResponse(..)")
    }
}
