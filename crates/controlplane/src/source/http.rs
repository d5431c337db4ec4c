//! Calls of sources over HTTP: no redirect, no proxy of the environment, no answer beyond a limit.

use super::{BYTES_LIMIT, SourceError};
use reqwest::{Certificate, Client, Response, redirect::Policy};
use std::time::Duration;
use zeroize::Zeroizing;

/// Until a connection stands.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// One call as a whole.
const CALL_LIMIT: Duration = Duration::from_secs(10);

/// For a few calls; `ca`: PEM of the only authorities that are trusted, absent = the system's.
pub(super) fn client(ca: Option<&[u8]>) -> Result<Client, SourceError> {
    let builder = Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT_LIMIT)
        .timeout(CALL_LIMIT)
        .pool_max_idle_per_host(1);
    let builder = match ca {
        None => builder,
        Some(pem) => {
            let certificates = Certificate::from_pem_bundle(pem).map_err(|_| SourceError::NoCertificates)?;
            builder.tls_certs_only(certificates)
        }
    };
    builder.build().map_err(|_| SourceError::NoCertificates)
}

/// Its body, if that is small.
pub(super) async fn body(mut response: Response) -> Result<Zeroizing<Vec<u8>>, SourceError> {
    let mut bytes = Zeroizing::new(Vec::new());
    while let Some(chunk) = response.chunk().await.map_err(lost)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() as u64 > BYTES_LIMIT {
            return Err(SourceError::TooLarge);
        }
    }
    Ok(bytes)
}

/// Why there was no answer, down to its first cause; the address is the operator's own, without a query.
pub(super) fn lost(error: reqwest::Error) -> SourceError {
    let host = error.url().and_then(|url| url.host_str()).unwrap_or("the server").to_owned();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    SourceError::Unreachable { host, why: cause.to_string() }
}
