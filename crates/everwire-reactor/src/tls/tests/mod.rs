//! Clients and servers in memory, joined by vectors of ciphertext.

#![allow(clippy::unwrap_used)]

mod certificates;
mod peer;
mod records;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::crypto::ring;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ServerConfig};

use super::server::Shown;
use super::verifier::Verifier;
use super::*;

/// A CA that issues certificates for tests.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: Vec<u8>,
}

/// A certificate and its key, both PEM.
#[derive(Clone)]
struct Identity {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Authority {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        Authority::named(&format!("Authority {}", COUNT.fetch_add(1, Ordering::Relaxed)))
    }

    fn named(name: &str) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem().into_bytes();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    fn issue(&self, name: &str) -> Identity {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem().into_bytes();
        Identity { certificate, key: key.serialize_pem().into_bytes() }
    }

    fn trust(&self) -> ClientOptions {
        ClientOptions { trust: Trust::Pem(self.pem.clone()), ..ClientOptions::default() }
    }
}

impl Identity {
    fn self_signed(change: impl FnOnce(&mut CertificateParams)) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        change(&mut params);
        let certificate = params.self_signed(&key).unwrap().pem().into_bytes();
        Identity { certificate, key: key.serialize_pem().into_bytes() }
    }

    fn options(&self) -> ServerOptions {
        ServerOptions { certificate: self.certificate.clone(), key: self.key.clone(), ..ServerOptions::default() }
    }

    fn server(&self) -> ServerContext {
        ServerContext::new(self.options()).unwrap()
    }
}

/// A client that knows nothing newer than TLS 1.2.
fn old_client(options: &ClientOptions) -> ClientContext {
    let provider = Arc::new(ring::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let anchors = options.trust.load().unwrap();
    let verifier = Verifier { anchors, check_hostname: options.check_hostname, algorithms };
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS12])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    ClientContext { config: Arc::new(config) }
}

/// A server that shows whatever certificate it is given, and signs with whatever key.
fn careless_server(certificate: &[u8], key: &[u8]) -> ServerContext {
    let chain = CertificateDer::pem_slice_iter(certificate).collect::<Result<_, _>>().unwrap();
    let key = any_supported_type(&PrivateKeyDer::from_pem_slice(key).unwrap()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Shown(Arc::new(CertifiedKey::new(chain, key)))));
    ServerContext { config: Mutex::new(Arc::new(config)) }
}

/// Two sessions and the pieces that their ciphertext travels in.
struct Pair {
    client: Session,
    server: Session,
    piece: usize,
}

impl Pair {
    fn new(server: &ServerContext, client: &ClientContext) -> Self {
        Pair::named(server, client, "localhost")
    }

    fn named(server: &ServerContext, client: &ClientContext, name: &str) -> Self {
        let mut client = Session::client(client, name).unwrap();
        client.start().unwrap();
        Pair { client, server: Session::server(server).unwrap(), piece: usize::MAX }
    }

    fn in_pieces(mut self, piece: usize) -> Self {
        self.piece = piece;
        self
    }

    /// Carries ciphertext until neither side has any; the failures of client and server.
    fn settle(&mut self) -> (Option<Failure>, Option<Failure>) {
        let mut failures = (None, None);
        loop {
            let (to_server, to_client) = (take(&mut self.client), take(&mut self.server));
            if to_server.is_empty() && to_client.is_empty() {
                return failures;
            }
            if failures.1.is_none() {
                failures.1 = deliver(&mut self.server, &to_server, self.piece).err();
            }
            if failures.0.is_none() {
                failures.0 = deliver(&mut self.client, &to_client, self.piece).err();
            }
        }
    }

    fn connected(mut self) -> Self {
        assert_eq!(self.settle(), (None, None));
        assert!(!self.client.is_handshaking() && !self.server.is_handshaking());
        self
    }
}

/// What waits for the socket, taken.
fn take(session: &mut Session) -> Vec<u8> {
    let bytes = session.outgoing().to_vec();
    session.sent(bytes.len());
    bytes
}

/// Feeds ciphertext as a driver would; the plaintext that came out.
fn deliver(session: &mut Session, bytes: &[u8], piece: usize) -> Result<Vec<u8>, Failure> {
    let mut buffer = vec![0; 2 * Session::KEPT];
    let mut plain = Vec::new();
    for chunk in bytes.chunks(piece.min(Session::KEPT)) {
        let kept = session.restore(&mut buffer);
        buffer[kept..kept + chunk.len()].copy_from_slice(chunk);
        let received = session.receive(&mut buffer[..kept + chunk.len()])?;
        plain.extend_from_slice(&buffer[..received.plain]);
    }
    Ok(plain)
}

fn contexts() -> (ServerContext, ClientContext) {
    let authority = Authority::new();
    let server = authority.issue("localhost").server();
    (server, ClientContext::new(authority.trust()).unwrap())
}
