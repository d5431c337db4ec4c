//! TLS towards the control plane, 1.3 only. The control plane is known by the name in its certificate, not by its address,
//! so that it may move or stand behind something; only its own root can give that name.

use super::{Identity, IdentityError, JoinToken};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime},
    version::TLS13,
};
use std::sync::Arc;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

const SCHEME: &str = "spiffe://";
/// What follows the cluster in the control plane's name.
const CONTROL_PLANE: &str = "/control-plane";
const ALPN: &[u8] = b"h2";

/// What is trusted.
#[derive(Debug)]
enum Trust {
    /// These roots, for the control plane of this cluster.
    Roots { roots: Vec<CertificateDer<'static>>, name: String },
    /// Whichever root that is shown has this SHA-256: before anything else is known.
    Pin(Vec<u8>),
}

#[derive(Debug)]
struct Verifier {
    trust: Trust,
    algorithms: WebPkiSupportedAlgorithms,
}

/// For calls that need the certificate.
///
/// # Errors
/// When the identity is damaged.
pub(super) fn with_certificate(identity: &Identity) -> Result<ClientConfig, IdentityError> {
    let chain = identity.enrolled.chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(identity.key.expose().to_vec()));
    let builder = builder(known(identity)).map_err(|_| IdentityError::System)?;
    let config = builder.with_client_auth_cert(chain, key).map_err(|_| IdentityError::System)?;
    Ok(finished(config))
}

/// For renewing: works with an expired certificate as well, as none is shown.
///
/// # Errors
/// When TLS cannot be set up.
pub(super) fn without_certificate(identity: &Identity) -> Result<ClientConfig, IdentityError> {
    let builder = builder(known(identity)).map_err(|_| IdentityError::System)?;
    Ok(finished(builder.with_no_client_auth()))
}

/// For joining.
///
/// # Errors
/// When TLS cannot be set up.
pub(super) fn pinned(token: &JoinToken) -> Result<ClientConfig, IdentityError> {
    let builder = builder(Trust::Pin(token.pin.clone())).map_err(|_| IdentityError::System)?;
    Ok(finished(builder.with_no_client_auth()))
}

fn known(identity: &Identity) -> Trust {
    let roots = identity.enrolled.roots.iter().map(|der| CertificateDer::from(der.clone())).collect();
    Trust::Roots { roots, name: format!("{SCHEME}{}{CONTROL_PLANE}", identity.cluster().to_lowercase()) }
}

fn builder(
    trust: Trust,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>, Error> {
    let provider: Arc<CryptoProvider> = Arc::new(aws_lc_rs::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13])?;
    let verifier = Arc::new(Verifier { trust, algorithms });
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier))
}

/// A resumed session would show no certificate: every connection is a whole handshake, so that an evicted node's is
/// refused.
fn finished(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config
}

// === impl Verifier ===

impl Verifier {
    fn verify(
        &self,
        end_entity: &CertificateDer<'_>,
        shown: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let roots: Vec<&CertificateDer<'_>> = match &self.trust {
            Trust::Roots { roots, .. } => roots.iter().collect(),
            Trust::Pin(pin) => shown.iter().filter(|one| sha256(one) == *pin).collect(),
        };
        let anchors: Vec<_> =
            roots.into_iter().filter_map(|root| anchor_from_trusted_cert(root).ok()).collect();
        let certificate = EndEntityCert::try_from(end_entity).map_err(fault)?;
        let usage = KeyUsage::server_auth();
        certificate
            .verify_for_usage(self.algorithms.all, &anchors, shown, now, usage, None, None)
            .map_err(fault)?;
        let is_it = |name: &str| match &self.trust {
            Trust::Roots { name: expected, .. } => name == expected,
            Trust::Pin(_) => name.starts_with(SCHEME) && name.ends_with(CONTROL_PLANE),
        };
        match certificate.valid_uri_names().any(is_it) {
            true => Ok(()),
            false => Err(CertificateError::NotValidForName.into()),
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verify(end_entity, intermediates, now).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken here".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    ::aws_lc_rs::digest::digest(&::aws_lc_rs::digest::SHA256, bytes).as_ref().to_vec()
}

/// In rustls's words, so that logs and alerts say what is wrong.
fn fault(error: webpki::Error) -> Error {
    match error {
        webpki::Error::CertExpired { .. } => CertificateError::Expired.into(),
        webpki::Error::CertNotValidYet { .. } => CertificateError::NotValidYet.into(),
        webpki::Error::UnknownIssuer => CertificateError::UnknownIssuer.into(),
        other => CertificateError::Other(OtherError(Arc::new(other))).into(),
    }
}
