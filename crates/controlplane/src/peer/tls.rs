//! TLS towards another control plane's fleet port, 1.3 only. It is known by its name in the cluster's own certificate, not by its
//! address. We show no certificate, but our token.

use crate::authority::Authority;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    version::TLS13,
};
use std::sync::Arc;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

const ALPN: &[u8] = b"h2";

#[derive(Debug)]
struct Verifier {
    roots: Vec<CertificateDer<'static>>,
    name: String,
    algorithms: WebPkiSupportedAlgorithms,
}

/// By the roots that are trusted now.
///
/// # Errors
/// When TLS cannot be set up.
pub(super) fn client(authority: &Authority) -> Result<ClientConfig, Error> {
    let provider: Arc<CryptoProvider> = Arc::new(aws_lc_rs::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let (roots, name) = (authority.trust().roots.clone(), authority.control_plane_name());
    let verifier = Arc::new(Verifier { roots, name, algorithms });
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13])?;
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn fault(error: webpki::Error) -> Error {
    CertificateError::Other(OtherError(Arc::new(error))).into()
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
        let anchors: Vec<_> =
            self.roots.iter().filter_map(|root| anchor_from_trusted_cert(root).ok()).collect();
        let certificate = EndEntityCert::try_from(end_entity).map_err(fault)?;
        let usage = KeyUsage::server_auth();
        certificate
            .verify_for_usage(self.algorithms.all, &anchors, intermediates, now, usage, None, None)
            .map_err(fault)?;
        if certificate.valid_uri_names().any(|name| name == self.name) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::NotValidForName.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("only TLS 1.3 is spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
