//! A node made of a TLS client: its key, its certificate, connections that show it. Whose certificate the control plane shows
//! is looked at elsewhere, with real data planes.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hyper_util::rt::TokioIo;
use keyway_controlplane::Running;
use keyway_proto::fleet::v1::{EnrollRequest, Enrolled, JoinToken, enroll_client::EnrollClient};
use prost::Message;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime},
};
use std::{io, sync::Arc};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::{Status, transport::Channel};
use tower::service_fn;

/// A node that has joined.
#[derive(Clone)]
pub(crate) struct Node {
    tls: Arc<ClientConfig>,
}

/// Takes any certificate.
#[derive(Debug)]
struct Any;

impl Node {
    /// One of this very process.
    pub(crate) fn of(running: &Running, name: &str) -> Self {
        let (key, csr) = request();
        let enrolled = running.issuing().unwrap().enroll(name, &csr).unwrap();
        Self::new(&key, &enrolled)
    }

    /// One that joins with a token.
    pub(crate) async fn join(fleet: &str, token: &str, name: &str) -> Result<Self, Status> {
        let token = URL_SAFE_NO_PAD.decode(token.strip_prefix("kwj_").unwrap()).unwrap();
        let JoinToken { secret, .. } = JoinToken::decode(token.as_slice()).unwrap();
        let (key, csr) = request();
        let (node, host) = (name.to_owned(), "host-a".to_owned());
        let mut client = EnrollClient::new(connect(fleet, stranger()).await);
        let enrolled = client.enroll(EnrollRequest { secret, node, csr, host }).await?.into_inner();
        Ok(Self::new(&key, &enrolled))
    }

    fn new(key: &KeyPair, enrolled: &Enrolled) -> Self {
        let chain = enrolled.chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut tls = builder().with_client_auth_cert(chain, key).unwrap();
        tls.alpn_protocols = vec![b"h2".to_vec()];
        Self { tls: Arc::new(tls) }
    }

    /// A connection that shows its certificate.
    pub(crate) async fn connect(&self, fleet: &str) -> Channel {
        connect(fleet, Arc::clone(&self.tls)).await
    }
}

/// A token of a control plane in another process.
pub(crate) async fn join_token(admin_url: &str, admin_token: &str) -> String {
    let request = reqwest::Client::new().post(format!("{admin_url}/api/v1/join-tokens"));
    let answer = request.bearer_auth(admin_token).json(&serde_json::json!({})).send().await.unwrap();
    let answer: serde_json::Value = answer.json().await.unwrap();
    answer["token"].as_str().unwrap().to_owned()
}

/// A connection that shows none.
pub(crate) async fn strange(fleet: &str) -> Channel {
    connect(fleet, stranger()).await
}

fn stranger() -> Arc<ClientConfig> {
    let mut tls = builder().with_no_client_auth();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(tls)
}

fn request() -> (KeyPair, Vec<u8>) {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let csr = CertificateParams::default().serialize_request(&key).unwrap().der().to_vec();
    (key, csr)
}

fn builder() -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Any))
}

async fn connect(fleet: &str, tls: Arc<ClientConfig>) -> Channel {
    let (fleet, connector) = (fleet.to_owned(), TlsConnector::from(tls));
    let endpoint = Channel::from_shared(format!("http://{fleet}")).unwrap();
    let connect = service_fn(move |_| {
        let (fleet, connector) = (fleet.clone(), connector.clone());
        async move {
            let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
            let stream = TcpStream::connect(&fleet).await?;
            Ok::<_, io::Error>(TokioIo::new(connector.connect(name, stream).await?))
        }
    });
    endpoint.connect_with_connector(connect).await.unwrap()
}

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
