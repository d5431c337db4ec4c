//! A node made of a TLS client: it joins with a token, as any does, and every connection shows its certificate. Whose
//! certificate the control plane shows is no question here; real data planes look at it.

use hyper_util::rt::TokioIo;
use keyway_proto::fleet::v1::{EnrollRequest, JoinToken, enroll_client::EnrollClient};
use prost::Message;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::{
    ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, SignatureScheme,
    client::{
        WantsClientCert,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime},
};
use std::{io, sync::Arc, time::Duration};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::{Status, transport::Channel};
use tower::service_fn;

const CONNECT_LIMIT: Duration = Duration::from_secs(3);
const PREFIX: &str = "kwj_";

/// A node that has joined.
#[derive(Debug, Clone)]
pub struct Node {
    pub(crate) name: String,
    tls: Arc<ClientConfig>,
}

/// Takes any certificate.
#[derive(Debug)]
struct Any;

// === impl Node ===

impl Node {
    /// Joins under that name.
    ///
    /// # Errors
    /// What the control plane said, or why it was not reached.
    pub async fn join(fleet: &str, token: &str, name: &str) -> Result<Self, Status> {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        let bytes =
            URL_SAFE_NO_PAD.decode(token.trim().trim_start_matches(PREFIX)).map_err(|why| unknown(&why))?;
        let JoinToken { secret, .. } = JoinToken::decode(bytes.as_slice()).map_err(|why| unknown(&why))?;
        let (key, csr) = Self::request()?;
        let (node, host) = (name.to_owned(), "herd".to_owned());
        let mut client = EnrollClient::new(stranger(fleet).await?);
        let enrolled = client.enroll(EnrollRequest { secret, node, csr, host }).await?.into_inner();
        Self::enrolled(name, &key, enrolled.chain)
    }

    /// A key, and what asks for a certificate of it.
    ///
    /// # Errors
    /// When the system makes no key.
    pub fn request() -> Result<(KeyPair, Vec<u8>), Status> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|why| unknown(&why))?;
        let csr = CertificateParams::default().serialize_request(&key).map_err(|why| unknown(&why))?;
        Ok((key, csr.der().to_vec()))
    }

    /// With the certificate of its key and what leads to a root.
    ///
    /// # Errors
    /// When they do not fit together.
    pub fn enrolled(name: &str, key: &KeyPair, chain: Vec<Vec<u8>>) -> Result<Self, Status> {
        let chain = chain.into_iter().map(CertificateDer::from).collect();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let builder = builder().map_err(|why| unknown(&why))?;
        let tls = finished(builder.with_client_auth_cert(chain, key).map_err(|why| unknown(&why))?);
        Ok(Self { name: name.to_owned(), tls })
    }

    /// A connection that shows its certificate.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn connect(&self, fleet: &str) -> Result<Channel, Status> {
        connect(fleet, Arc::clone(&self.tls)).await
    }
}

/// A connection that shows none.
///
/// # Errors
/// Why there is none.
pub async fn stranger(fleet: &str) -> Result<Channel, Status> {
    connect(fleet, finished(builder().map_err(|why| unknown(&why))?.with_no_client_auth())).await
}

fn unknown(why: &dyn std::fmt::Display) -> Status {
    Status::unknown(why.to_string())
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, Error> {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions()?;
    Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(Any)))
}

fn finished(mut tls: ClientConfig) -> Arc<ClientConfig> {
    tls.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(tls)
}

async fn connect(fleet: &str, tls: Arc<ClientConfig>) -> Result<Channel, Status> {
    let endpoint = Channel::from_shared(format!("http://{fleet}")).map_err(|why| unknown(&why))?;
    let (fleet, connector) = (fleet.to_owned(), TlsConnector::from(tls));
    let connect = service_fn(move |_| {
        let (fleet, connector) = (fleet.clone(), connector.clone());
        async move {
            let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
            let stream = TcpStream::connect(&fleet).await?;
            stream.set_nodelay(true)?;
            Ok::<_, io::Error>(TokioIo::new(connector.connect(name, stream).await?))
        }
    });
    let connected = endpoint.connect_timeout(CONNECT_LIMIT).connect_with_connector(connect).await;
    connected.map_err(|why| unknown(&why))
}

// === impl Any ===

impl ServerCertVerifier for Any {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
