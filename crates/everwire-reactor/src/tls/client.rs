//! What a client's TLS connections share.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::sign::SingleCertAndKey;
use rustls::version::{TLS12, TLS13};

use super::verifier::Verifier;
use super::{Failure, Trust, certificate, default_alpn};

/// Servers whose sessions are remembered, to be resumed with a shorter handshake.
const REMEMBERED: usize = 32;

/// What a client checks and shows.
#[derive(Clone)]
pub struct ClientOptions {
    /// Whose certificates are believed.
    pub trust: Trust,
    /// PEM: the client's own certificate and those that lead to a root; needs `key`.
    pub certificate: Option<Vec<u8>>,
    /// PEM: the private key of `certificate`.
    pub key: Option<Vec<u8>>,
    /// Decrypts `key` if it is an "ENCRYPTED PRIVATE KEY"; ignored if it is not.
    pub password: Option<Vec<u8>>,
    /// Whether the server's certificate must be for the name that was asked for. INSECURE if not.
    pub check_hostname: bool,
    /// Application protocols to offer; empty: ALPN is not used.
    pub alpn: Vec<Vec<u8>>,
}

impl Default for ClientOptions {
    fn default() -> Self {
        ClientOptions {
            trust: Trust::System,
            certificate: None,
            key: None,
            password: None,
            check_hostname: true,
            alpn: default_alpn(),
        }
    }
}

/// What all TLS connections of a client share, remembered sessions included.
pub struct ClientContext {
    pub(super) config: Arc<ClientConfig>,
}

impl ClientContext {
    /// TLS 1.2 and 1.3; reads files if the machine's roots are trusted.
    ///
    /// Errors: [`Fault::Configuration`](super::Fault) says which part of the options is wrong.
    pub fn new(options: ClientOptions) -> Result<Self, Failure> {
        let provider = Arc::new(ring::default_provider());
        let verifier = Verifier {
            anchors: options.trust.load()?,
            check_hostname: options.check_hostname,
            algorithms: provider.signature_verification_algorithms,
        };
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|error| Failure::configuration(format!("TLS cannot be set up: {error}")))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match (&options.certificate, &options.key) {
            (None, None) => builder.with_no_client_auth(),
            (Some(chain), Some(key)) => {
                let identity = certificate::identity(chain, key, options.password.as_deref(), &provider, "client")?;
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity)))
            }
            (Some(_), None) => {
                return Err(Failure::configuration("the client certificate has no private key beside it"));
            }
            (None, Some(_)) => {
                return Err(Failure::configuration("the private key has no client certificate beside it"));
            }
        };
        config.alpn_protocols = options.alpn;
        config.resumption = Resumption::in_memory_sessions(REMEMBERED);
        Ok(ClientContext { config: Arc::new(config) })
    }
}
