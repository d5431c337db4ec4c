//! The admin API: REST under `/api/v1`.

use crate::{Plane, Token};
use axum::{Router, routing::get};
use std::sync::Arc;

/// What the API needs.
#[derive(Debug)]
pub struct Api {
    plane: Arc<Plane>,
    token: Token,
}

// === impl Api ===

impl Api {
    /// Answers with that plane whoever shows that token.
    #[must_use]
    pub fn new(plane: Arc<Plane>, token: Token) -> Self {
        Self { plane, token }
    }
}

/// All routes.
pub fn router(api: Api) -> Router {
    let _ = (&api.plane, &api.token);
    Router::new().route("/", get(|| async { "Keyway control plane. The admin API is under /api/v1.\n" }))
}
