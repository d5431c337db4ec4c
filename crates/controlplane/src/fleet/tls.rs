//! TLS of the fleet port: 1.3 only. A client certificate is asked for and may be left out: who has none may join and renew,
//! and nothing else. One that does not hold, or of a node that was evicted, ends the handshake.

use crate::{
    Plane,
    authority::{Authority, PublicKey, SERVER_LIFE, Turned},
    resource::Refusal,
};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig,
    SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, UnixTime},
    server::{
        NoServerSessionStorage, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    version::TLS13,
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::sleep};

/// A certificate is taken for so long after its end: clocks differ.
const SKEW: Duration = Duration::from_secs(300);
const ALPN: &[u8] = b"h2";
/// After a certificate that could not be made.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) name: Arc<str>,
    pub(crate) key: PublicKey,
}

/// The chain by the roots, then the node by the documents.
#[derive(Debug)]
struct Verifier {
    chain: Arc<dyn ClientCertVerifier>,
    authority: Arc<Authority>,
    plane: Arc<Plane>,
}

/// What the fleet port shows and takes, as it is now.
///
/// # Errors
/// Without randomness.
pub(super) fn config(authority: &Arc<Authority>, plane: &Arc<Plane>) -> Result<Arc<ServerConfig>, Refusal> {
    let fault = |_| Refusal::Internal("TLS of the fleet port could not be set up");
    let provider: Arc<CryptoProvider> = Arc::new(aws_lc_rs::default_provider());
    let (trust, server) = (authority.trust(), authority.server()?);
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(trust.roots.iter().cloned());
    let chain = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let chain = chain.allow_unauthenticated().build();
    let chain = chain.map_err(|_| Refusal::Internal("a root of certificates is damaged"))?;
    let verifier = Verifier { chain, authority: Arc::clone(authority), plane: Arc::clone(plane) };
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13]);
    let builder = builder.map_err(fault)?.with_client_cert_verifier(Arc::new(verifier));
    let mut config = builder.with_single_cert(server.chain, server.key).map_err(fault)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    // A resumed session would bring a certificate that nobody looks at again.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// Sends a new one whenever roots changed or the fleet port's own certificate has half of its life behind it.
pub(super) async fn renew(
    authority: Arc<Authority>,
    plane: Arc<Plane>,
    shown: watch::Sender<Arc<ServerConfig>>,
) {
    let mut changes = authority.changes();
    let mut wait = Duration::from_secs(SERVER_LIFE / 2);
    loop {
        tokio::select! {
            // Whoever could change it being gone, only time is left.
            changed = changes.changed() => if changed.is_err() { return },
            () = sleep(wait) => {}
        }
        wait = match config(&authority, &plane) {
            Ok(config) => {
                shown.send_replace(config);
                Duration::from_secs(SERVER_LIFE / 2)
            }
            Err(refusal) => {
                tracing::error!(%refusal, "the fleet port keeps the certificate that it has");
                TRY_AGAIN
            }
        };
    }
}

/// Who showed these certificates.
pub(super) fn peer(authority: &Authority, certificates: Option<&[CertificateDer<'_>]>) -> Option<Peer> {
    let (name, key) = authority.node_of(certificates?.first()?)?;
    Some(Peer { name: name.into(), key })
}

// === impl Verifier ===

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        // They begin a day before they were made, so that looking back costs nothing.
        let then = UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs()).saturating_sub(SKEW));
        let verified = self.chain.verify_client_cert(end_entity, intermediates, then)?;
        let (name, key) = self.authority.node_of(end_entity).ok_or(CertificateError::BadEncoding)?;
        match self.authority.welcome(&self.plane, &name, &key) {
            Ok(()) => Ok(verified),
            Err(Turned::Evicted) => Err(CertificateError::Revoked.into()),
            Err(_) => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }
}
