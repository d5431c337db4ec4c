//! A control plane's end of TLS, and the identity of a node that it takes. Shared by the tests beside the code and those of
//! the whole data plane.

use keyway_dataplane::identity::{Identity, Request};
use keyway_proto::fleet::v1::Enrolled;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType, SignatureAlgorithm,
};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_stream::{Stream, StreamExt, wrappers::TcpListenerStream};
use tonic::transport::server::Connected;

/// A cluster of its own.
pub(crate) struct Peer {
    pub(crate) identity: Identity,
    config: Arc<ServerConfig>,
}

/// The key that a request is about.
struct Point([u8; 65]);

/// What stands before the point in a key of P-256.
const BEFORE: [u8; 10] = [0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00];

impl Point {
    fn of(csr: &[u8]) -> Self {
        let at = csr.windows(BEFORE.len()).position(|window| window == BEFORE).unwrap() + BEFORE.len();
        Self(csr[at..at + 65].try_into().unwrap())
    }
}

impl PublicKeyData for Point {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

/// A connection.
pub(crate) struct Secured(TlsStream<TcpStream>);

// === impl Peer ===

impl Peer {
    pub(crate) fn new() -> Self {
        Self::named("spiffe://c/control-plane")
    }

    /// A control plane that calls itself so.
    pub(crate) fn named(name: &str) -> Self {
        let key = || KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let root_key = key();
        let root = params.self_signed(&root_key).unwrap().der().clone();
        let issuer = Issuer::new(params, root_key);
        let leaf = |name: &str, usage, key: &dyn Fn(CertificateParams) -> Certificate| {
            let mut params = CertificateParams::default();
            params.subject_alt_names = vec![SanType::URI(name.try_into().unwrap())];
            params.extended_key_usages = vec![usage];
            key(params).der().clone()
        };
        let request = Request::make("r").unwrap();
        let own = leaf("spiffe://c/node/r", ExtendedKeyUsagePurpose::ClientAuth, &|params| {
            params.signed_by(&Point::of(request.csr()), &issuer).unwrap()
        });
        let enrolled = Enrolled {
            cluster: "C".to_owned(),
            node: "r".to_owned(),
            chain: vec![own.to_vec()],
            roots: vec![root.to_vec()],
            life_seconds: 86_400,
            ..Enrolled::default()
        };
        let identity = request.accept(enrolled, Vec::new());
        let server_key = key();
        let server = leaf(name, ExtendedKeyUsagePurpose::ServerAuth, &|params| {
            params.signed_by(&server_key, &issuer).unwrap()
        });
        let mut roots = RootCertStore::empty();
        roots.add(root).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let server_key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(server_key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(vec![server], server_key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Self { identity, config: Arc::new(config) }
    }

    /// What comes in, once TLS stands; what fails is passed over.
    pub(crate) fn incoming(&self, listener: TcpListener) -> impl Stream<Item = io::Result<Secured>> + use<> {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.config));
        let secured = TcpListenerStream::new(listener).then(move |stream| {
            let acceptor = acceptor.clone();
            async move { Ok(Secured(acceptor.accept(stream?).await?)) }
        });
        secured.filter(io::Result::is_ok)
    }
}

// === impl Secured ===

impl Connected for Secured {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Secured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
