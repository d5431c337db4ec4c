//! The admin API: REST under `/api/v1`, made from one table of routes. Denies by default: every route wants the token,
//! and so does every path that is none.

mod admission;
mod answer;
mod audit;
mod backup;
mod call;
mod catalog;
mod clients;
mod configuration;
mod denied;
mod dispatch;
mod doctor;
mod events;
mod explain;
mod fleet;
mod hosts;
mod idempotency;
mod keys;
mod metrics;
mod nodes;
mod once;
mod openapi;
mod operators;
mod price;
mod quirks;
mod resources;
mod route;
mod usage;
mod vault;
mod view;

#[cfg(test)]
mod tests;

use crate::{
    Plane, Token,
    authority::Authority,
    backup::{Backup, NoBackup},
    peer::{self, Peers},
    rotation::Counts,
    usage::Books,
};
use admission::Used;
use answer::Fault;
use axum::{
    Router,
    extract::Request,
    response::IntoResponse,
    routing::{MethodFilter, on},
};
use denied::Denied;
use http::{HeaderMap, StatusCode};
use idempotency::Kept;
use std::sync::Arc;

const PREFIX: &str = "/api/v1";
const FRONT: &str = "Keyway's control plane.\n\nThe admin API is under /api/v1; GET /api/v1/openapi.json describes it.\n\
Every call shows an operator's token as `authorization: Bearer …`. The command line `keyway` uses it.\n";

/// What the API needs.
#[derive(Debug)]
pub struct Api {
    plane: Arc<Plane>,
    counts: Arc<Counts>,
    books: Arc<Books>,
    token: Token,
    kept: Arc<Kept>,
    used: Used,
    denied: Arc<Denied>,
    backup: Arc<dyn Backup>,
    peers: Arc<Peers>,
    /// Absent: nobody joins.
    authority: Option<Arc<Authority>>,
}

// === impl Api ===

impl Api {
    /// Answers with that plane whoever shows that token, which may everything, or an operator's.
    #[must_use]
    pub fn new(plane: Arc<Plane>, counts: Arc<Counts>, books: Arc<Books>, token: Token) -> Self {
        let peers = Arc::new(Peers::new(Arc::clone(&plane)));
        Self {
            plane,
            peers,
            counts,
            books,
            token,
            kept: Arc::default(),
            used: Used::default(),
            denied: Arc::default(),
            backup: Arc::new(NoBackup),
            authority: None,
        }
    }

    /// Other control planes.
    pub(crate) fn peers(&self) -> &Arc<Peers> {
        &self.peers
    }

    /// Gives backups of what that copies.
    #[must_use]
    pub fn backing_up(self, backup: Arc<dyn Backup>) -> Self {
        Self { backup, ..self }
    }

    /// Makes join tokens of that.
    #[must_use]
    pub(crate) fn issuing(self, authority: Arc<Authority>) -> Self {
        self.peers.trust(Arc::clone(&authority));
        Self { authority: Some(authority), ..self }
    }
}

/// While the vault is sealed every path says why, to whoever shows the token.
pub fn sealed(token: Token, why: String) -> Router {
    let refuse = move |headers: HeaderMap| async move {
        let fault = if token.admits(&headers) {
            Fault::new(StatusCode::SERVICE_UNAVAILABLE, "sealed", why)
        } else {
            Fault::unauthorized()
        };
        Err::<(), _>(fault)
    };
    Router::new().fallback(refuse)
}

/// All routes of the table, and a plain front page that names them.
pub fn router(api: Api) -> Router {
    let api = Arc::new(api);
    let mut router = Router::new().route("/", on(MethodFilter::GET, || async { FRONT }));
    for route in route::ROUTES {
        let api = Arc::clone(&api);
        let answer = move |request: Request| {
            let (api, peers) = (Arc::clone(&api), Arc::clone(&api.peers));
            async move {
                let here = |request| async { dispatch::dispatch(api, route, request).await.into_response() };
                let fault = |status, code, message| Fault::new(status, code, message).into_response();
                peer::answer(&peers, (route.path, !route.action.is_empty()), request, here, fault).await
            }
        };
        router = router.route(&format!("{PREFIX}{}", route.path), on(route.method.filter(), answer));
    }
    let (no_path, no_method) = (Arc::clone(&api), api);
    let refuse = |api: &Api, headers: &HeaderMap, fault: Fault| match admission::admit(api, headers) {
        Ok(_) => Err::<(), _>(fault),
        Err(denial) => Err(denial.fault),
    };
    router
        .fallback(move |headers: HeaderMap| async move {
            let message = "there is no such path; GET /api/v1/openapi.json lists all";
            refuse(&no_path, &headers, Fault::new(StatusCode::NOT_FOUND, "not_found", message))
        })
        .method_not_allowed_fallback(move |headers: HeaderMap| async move {
            let message = "this path has other methods; GET /api/v1/openapi.json lists all";
            refuse(
                &no_method,
                &headers,
                Fault::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message),
            )
        })
}
