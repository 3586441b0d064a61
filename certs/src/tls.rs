//! TLS 1.3 between nodes: self-signed certificates, of which only the key counts.
//!
//! Both ends show a certificate. There is no authority, no name and no date in it that anybody looks at: the handshake
//! proves that the far end has the secret key, and the public key is its [`NodeId`]. What that node may do is settled
//! later, by `hello`. PROTOCOL.md, "Connections".

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ParsedCertificate};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, SignatureScheme};

use crate::id::NodeId;
use crate::key::SecretKey;

/// The protocol of PROTOCOL.md, as ALPN names it.
pub const ALPN: &[u8] = b"p2p-node/0";

/// Kademlia after a `hello`, as ALPN names it. PROTOCOL.md, "Kademlia".
pub const KAD_ALPN: &[u8] = b"p2p-node-kad/1";

/// The name that a dialler has to give to the TLS library; it is not sent, and nobody looks at it.
pub const SERVER_NAME: &str = "p2p-node.invalid";

/// DER of an Ed25519 SubjectPublicKeyInfo before the key's 32 bytes (RFC 8410).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// DER of an Ed25519 PKCS#8 key, version 1, before the seed's 32 bytes (RFC 8410).
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// The TLS configurations could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The self-signed certificate could not be made.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The TLS library refused the configuration.
    #[error("cannot configure TLS: {0}")]
    Config(#[from] rustls::Error),
}

/// A node's certificate and key, from which its TLS configurations are made.
pub struct TlsIdentity {
    certificate: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl TlsIdentity {
    /// Makes the certificate of a key.
    ///
    /// # Errors
    /// [`TlsError::Certificate`].
    pub fn new(key: &SecretKey) -> Result<Self, TlsError> {
        let der = [PKCS8_PREFIX.as_slice(), key.seed().as_slice()].concat();
        let key = PrivatePkcs8KeyDer::from(der);
        let pair = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&key, &rcgen::PKCS_ED25519)?;
        let certificate = rcgen::CertificateParams::default().self_signed(&pair)?.der().clone();
        Ok(Self { certificate, key, provider: Arc::new(provider()) })
    }

    /// For accepting connections that speak one of these protocols. The dialler must show a certificate.
    ///
    /// # Errors
    /// [`TlsError::Config`].
    pub fn server_config(&self, protocols: &[&[u8]]) -> Result<rustls::ServerConfig, TlsError> {
        let mut config = rustls::ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(Arc::new(AnyKey(self.provider.clone())))
            .with_single_cert(vec![self.certificate.clone()], self.private_key())?;
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        // No resumption and no early data: each connection proves its keys anew.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }

    /// For dialling `expected`, or, with `None`, whoever answers; the caller then looks at [`node_of`].
    ///
    /// # Errors
    /// [`TlsError::Config`].
    pub fn client_config(
        &self,
        expected: Option<NodeId>,
        protocol: &[u8],
    ) -> Result<rustls::ClientConfig, TlsError> {
        let verifier = ServerKey { expected, provider: self.provider.clone() };
        let mut config = rustls::ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_auth_cert(vec![self.certificate.clone()], self.private_key())?;
        config.alpn_protocols = vec![protocol.to_vec()];
        config.enable_sni = false;
        config.resumption = rustls::client::Resumption::disabled();
        Ok(config)
    }

    fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.key.clone_key())
    }
}

/// The node whose certificate this is, or `None` if its key is no Ed25519 key.
pub fn node_of(certificate: &CertificateDer<'_>) -> Option<NodeId> {
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    let info = parsed.subject_public_key_info();
    NodeId::from_slice(info.strip_prefix(&SPKI_PREFIX)?).ok()
}

/// AWS-LC, TLS 1.3 alone; AES-128 first where the CPU has instructions for it, else ChaCha20.
fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    let aes_128 = aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
    let aes_256 = aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384;
    let chacha = aws_lc_rs::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256;
    provider.cipher_suites = match has_aes() {
        true => vec![aes_128, aes_256, chacha],
        false => vec![chacha, aes_128, aes_256],
    };
    provider
}

#[cfg(target_arch = "x86_64")]
fn has_aes() -> bool {
    std::arch::is_x86_feature_detected!("aes")
}

#[cfg(target_arch = "aarch64")]
fn has_aes() -> bool {
    std::arch::is_aarch64_feature_detected!("aes")
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn has_aes() -> bool {
    false
}

fn check_signature(
    provider: &CryptoProvider,
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    let algorithms = &provider.signature_verification_algorithms;
    rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
}

fn not_ed25519() -> rustls::Error {
    CertificateError::BadEncoding.into()
}

/// Only TLS 1.3 is compiled in, so this is never asked.
fn no_tls12() -> Result<HandshakeSignatureValid, rustls::Error> {
    Err(rustls::PeerIncompatible::Tls12NotOffered.into())
}

/// Takes any dialler that proves an Ed25519 key.
#[derive(Debug)]
struct AnyKey(Arc<CryptoProvider>);

impl ClientCertVerifier for AnyKey {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        node_of(certificate).map(|_| ClientCertVerified::assertion()).ok_or_else(not_ed25519)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        check_signature(&self.0, message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

/// Takes one node, or any that proves an Ed25519 key.
#[derive(Debug)]
struct ServerKey {
    expected: Option<NodeId>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for ServerKey {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let found = node_of(certificate).ok_or_else(not_ed25519)?;
        match self.expected {
            Some(expected) if expected != found => {
                Err(CertificateError::ApplicationVerificationFailure.into())
            }
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        check_signature(&self.provider, message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> SecretKey {
        SecretKey::from_seed([seed; 32])
    }

    fn connect(expected: Option<NodeId>, protocol: &[u8]) -> Result<Option<NodeId>, rustls::Error> {
        let server = TlsIdentity::new(&key(1)).expect("made").server_config(&[ALPN]).expect("made");
        let client =
            TlsIdentity::new(&key(2)).expect("made").client_config(expected, protocol).expect("made");
        let name = ServerName::try_from(SERVER_NAME).expect("a name");
        let mut client = rustls::ClientConnection::new(Arc::new(client), name)?;
        let mut server = rustls::ServerConnection::new(Arc::new(server))?;
        while client.is_handshaking() || server.is_handshaking() {
            let mut wire = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut wire).expect("memory");
            }
            let mut wire = wire.as_slice();
            while !wire.is_empty() {
                server.read_tls(&mut wire).expect("memory");
                server.process_new_packets()?;
            }
            let mut wire = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut wire).expect("memory");
            }
            let mut wire = wire.as_slice();
            while !wire.is_empty() {
                client.read_tls(&mut wire).expect("memory");
                client.process_new_packets()?;
            }
        }
        assert_eq!(client.peer_certificates().and_then(|c| node_of(&c[0])), Some(key(1).public()));
        Ok(server.peer_certificates().and_then(|certificates| node_of(&certificates[0])))
    }

    #[test]
    fn both_ends_learn_each_others_key() {
        assert_eq!(connect(None, ALPN), Ok(Some(key(2).public())));
        assert_eq!(connect(Some(key(1).public()), ALPN), Ok(Some(key(2).public())));
    }

    #[test]
    fn another_key_or_protocol_is_refused() {
        assert!(connect(Some(key(3).public()), ALPN).is_err());
        assert!(connect(None, b"something-else/9").is_err());
    }
}
