//! Makes certificates: of roots, of nodes, of the fleet port. What stands in them is decided here alone; the clock comes in.

use super::csr::PublicKey;
use crate::resource::RootDocument;
use base64::{Engine, engine::general_purpose::STANDARD};
use keyway_snapshot::Secret;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, SerialNumber,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use time::OffsetDateTime;

/// Seconds that a root lasts: five years. A new one takes over at half of it.
pub(crate) const ROOT_LIFE: u64 = 5 * 365 * DAY;
/// Seconds that the fleet port's own certificate lasts; made anew at every start and at half of it.
pub(crate) const SERVER_LIFE: u64 = 7 * DAY;
/// Certificates begin so long before they were made: clocks that are behind do no harm.
const BACKDATED: u64 = DAY;
const DAY: u64 = 86_400;
/// Bytes of a serial number.
const SERIAL: usize = 16;

/// No certificate could be made: no randomness, or a damaged key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a certificate could not be made")]
pub(crate) struct NotIssued;

/// A root with its key.
pub(crate) struct Root {
    pub(crate) generation: u32,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its chain, and the key.
pub(crate) struct Server {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

// === impl Root ===

impl Root {
    /// A new one, and what the vault is to keep. Under the one before it is known to those who know only that.
    ///
    /// # Errors
    /// Without randomness.
    pub(crate) fn make(
        cluster: &str,
        generation: u32,
        before: Option<&Self>,
        now: u64,
    ) -> Result<(RootDocument, Secret), NotIssued> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let expires = now.saturating_add(ROOT_LIFE);
        let params = root_params(cluster, generation, now, expires)?;
        let certificate = params.self_signed(&key).map_err(failed)?;
        let crossed = |before: &Self| params.signed_by(&key, &before.issuer).map_err(failed);
        let cross = before.map(crossed).transpose()?;
        let document = RootDocument {
            generation,
            certificate: STANDARD.encode(certificate.der()),
            cross: cross.map(|cross| STANDARD.encode(cross.der())),
            made_at: now,
            expires,
            drop_at: None,
        };
        Ok((document, Secret::new(key.serialize_der())))
    }

    /// The one of that document, with its key from the vault.
    ///
    /// # Errors
    /// When either is damaged.
    pub(crate) fn open(cluster: &str, document: &RootDocument, key: &Secret) -> Result<Self, NotIssued> {
        let key = PrivatePkcs8KeyDer::from(key.expose());
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let params = root_params(cluster, document.generation, document.made_at, document.expires)?;
        Ok(Self { generation: document.generation, issuer: Issuer::new(params, key) })
    }

    /// A node's.
    ///
    /// # Errors
    /// Without randomness.
    pub(crate) fn node(
        &self,
        name: &str,
        key: &PublicKey,
        now: u64,
        life: u64,
    ) -> Result<Vec<u8>, NotIssued> {
        let mut params = leaf_params(name, now, life)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        Ok(params.signed_by(key, &self.issuer).map_err(failed)?.der().to_vec())
    }

    /// The fleet port's. With every root that is trusted in its chain: a node that joins knows only the hash of one. And with
    /// `crosses`: a node that was away for long knows only a root of before.
    ///
    /// # Errors
    /// Without randomness.
    pub(crate) fn server(
        &self,
        name: &str,
        (crosses, trusted): (&[CertificateDer<'static>], &[CertificateDer<'static>]),
        now: u64,
    ) -> Result<Server, NotIssued> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let mut params = leaf_params(name, now, SERVER_LIFE)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let own = params.signed_by(&key, &self.issuer).map_err(failed)?.der().clone();
        let chain = std::iter::once(own).chain(crosses.iter().chain(trusted).cloned()).collect();
        Ok(Server { chain, key: PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der())) })
    }
}

/// The certificate of a root.
pub(crate) fn certificate(document: &RootDocument) -> Option<CertificateDer<'static>> {
    der(&document.certificate)
}

/// It under the root before.
pub(crate) fn cross(document: &RootDocument) -> Option<CertificateDer<'static>> {
    der(document.cross.as_deref()?)
}

fn der(text: &str) -> Option<CertificateDer<'static>> {
    STANDARD.decode(text).ok().map(CertificateDer::from)
}

fn root_params(
    cluster: &str,
    generation: u32,
    made: u64,
    expires: u64,
) -> Result<CertificateParams, NotIssued> {
    let mut params = params(&format!("Keyway {cluster} root {generation}"), made, expires)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    Ok(params)
}

/// `name`: a URI.
fn leaf_params(name: &str, now: u64, life: u64) -> Result<CertificateParams, NotIssued> {
    let mut params = params("Keyway", now, now.saturating_add(life))?;
    params.subject_alt_names = vec![SanType::URI(name.try_into().map_err(failed)?)];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn params(common_name: &str, made: u64, expires: u64) -> Result<CertificateParams, NotIssued> {
    let moment = |unix: u64| {
        let unix = i64::try_from(unix).map_err(|_| NotIssued)?;
        OffsetDateTime::from_unix_timestamp(unix).map_err(|_| NotIssued)
    };
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    let mut serial = [0; SERIAL];
    getrandom::fill(&mut serial).map_err(|_| NotIssued)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = name;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    (params.not_before, params.not_after) = (moment(made.saturating_sub(BACKDATED))?, moment(expires)?);
    Ok(params)
}

fn failed(_: rcgen::Error) -> NotIssued {
    NotIssued
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::{crypto::aws_lc_rs::default_provider, pki_types::UnixTime};
    use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

    const NOW: u64 = 1_800_000_000;

    fn root(generation: u32, before: Option<&Root>) -> (RootDocument, Root) {
        let (document, key) = Root::make("c", generation, before, NOW).unwrap();
        let root = Root::open("c", &document, &key).unwrap();
        (document, root)
    }

    #[test]
    fn who_knows_only_the_root_before_the_kept_ones_finds_a_way_to_the_newest() {
        let (first, one) = root(1, None);
        let (second, two) = root(2, Some(&one));
        let (third, three) = root(3, Some(&two));
        let crosses: Vec<_> = [&third, &second].into_iter().filter_map(cross).collect();
        let server = three.server("spiffe://c/control-plane", (&crosses, &[]), NOW).unwrap();
        let (known, algorithms) =
            (certificate(&first).unwrap(), default_provider().signature_verification_algorithms);
        let verified = |between: &[CertificateDer<'_>]| {
            let anchors = [anchor_from_trusted_cert(&known).unwrap()];
            let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(NOW));
            let own = EndEntityCert::try_from(&server.chain[0]).unwrap();
            own.verify_for_usage(algorithms.all, &anchors, between, now, KeyUsage::server_auth(), None, None)
                .is_ok()
        };
        assert!(verified(&server.chain[1..]));
        assert!(!verified(&server.chain[1..2]), "by the newest one's own cross certificate alone");
    }
}
