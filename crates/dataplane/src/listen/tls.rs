//! TLS towards callers: certificate and key from files, HTTP/2 by ALPN.

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{path::Path, sync::Arc};

/// Why TLS cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file with certificates cannot be used.
    #[error("--tls-cert {0}: {1}")]
    Certificate(String, String),
    /// The file with the key cannot be used.
    #[error("--tls-key {0}: {1}")]
    Key(String, String),
    /// They do not belong together.
    #[error("--tls-cert and --tls-key: {0}")]
    Pair(#[from] rustls::Error),
}

/// The server's side of TLS, from PEM files.
///
/// # Errors
/// Which file cannot be used, and why.
pub fn tls_config(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let wrong = |error: &dyn std::fmt::Display| {
        TlsError::Certificate(certificate.display().to_string(), error.to_string())
    };
    let chain = CertificateDer::pem_file_iter(certificate).map_err(|error| wrong(&error))?;
    let chain = chain.collect::<Result<Vec<_>, _>>().map_err(|error| wrong(&error))?;
    let private = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| TlsError::Key(key.display().to_string(), error.to_string()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, private)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
