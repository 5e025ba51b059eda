//! What a listener's TLS connections share, and how it is replaced without dropping them.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};

use super::{Failure, certificate, default_alpn};

/// What a server shows and asks for.
#[derive(Clone)]
pub struct ServerOptions {
    /// PEM: the server's certificate, then those that lead to a root.
    pub certificate: Vec<u8>,
    /// PEM: the private key of the first certificate; it may be in the same text.
    pub key: Vec<u8>,
    /// Decrypts `key` if it is an "ENCRYPTED PRIVATE KEY"; ignored if it is not.
    pub password: Option<Vec<u8>>,
    /// PEM: whose client certificates are accepted. When given, clients must show one.
    pub client_ca: Option<Vec<u8>>,
    /// With `client_ca`: a client may also show none. One that it shows is checked.
    pub client_optional: bool,
    /// Application protocols, the preferred first; empty: ALPN is not used.
    pub alpn: Vec<Vec<u8>>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        ServerOptions {
            certificate: Vec::new(),
            key: Vec::new(),
            password: None,
            client_ca: None,
            client_optional: false,
            alpn: default_alpn(),
        }
    }
}

/// What all TLS connections of a listener share; its certificate can be replaced while they run.
pub struct ServerContext {
    pub(super) config: Mutex<Arc<ServerConfig>>,
}

impl ServerContext {
    /// TLS 1.2 and 1.3 with session tickets.
    ///
    /// Errors: [`Fault::Configuration`](super::Fault) says which part of the options is wrong.
    pub fn new(options: ServerOptions) -> Result<Self, Failure> {
        let config = Mutex::new(Arc::new(configure(&options)?));
        Ok(ServerContext { config })
    }

    /// Uses other options for handshakes that begin from now on; open connections stay as they are.
    ///
    /// Tickets from before are not accepted anymore, so a certificate that lost its trust does not
    /// come back by resumption. Errors: as in [`new`](Self::new), and nothing was changed.
    pub fn reload(&self, options: ServerOptions) -> Result<(), Failure> {
        let config = Arc::new(configure(&options)?);
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    /// One session's configuration, and where the name that its client asks for will appear.
    pub(super) fn session(&self) -> (Arc<ServerConfig>, Arc<Requested>) {
        let shared = Arc::clone(&self.config.lock().unwrap_or_else(PoisonError::into_inner));
        let requested = Arc::new(Requested { resolver: Arc::clone(&shared.cert_resolver), name: OnceLock::new() });
        // The copy is a dozen pointers and lives as long as the handshake.
        let mut config = ServerConfig::clone(&shared);
        config.cert_resolver = Arc::clone(&requested) as Arc<dyn ResolvesServerCert>;
        (Arc::new(config), requested)
    }
}

fn configure(options: &ServerOptions) -> Result<ServerConfig, Failure> {
    let provider = Arc::new(ring::default_provider());
    let identity =
        certificate::identity(&options.certificate, &options.key, options.password.as_deref(), &provider, "server")?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(internal)?;
    let builder = match &options.client_ca {
        None => builder.with_no_client_auth(),
        Some(text) => {
            let what = "the client CA certificates";
            let roots = certificate::anchors(&certificate::chain(text, what)?, what)?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = if options.client_optional { verifier.allow_unauthenticated() } else { verifier };
            builder.with_client_cert_verifier(verifier.build().map_err(internal)?)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(Shown(Arc::new(identity))));
    config.alpn_protocols = options.alpn.clone();
    config.ticketer = ring::Ticketer::new().map_err(internal)?;
    Ok(config)
}

fn internal(error: impl std::fmt::Display) -> Failure {
    Failure::configuration(format!("TLS cannot be set up: {error}"))
}

/// Shows the same certificate to everybody.
#[derive(Debug)]
pub(super) struct Shown(pub(super) Arc<CertifiedKey>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// Notes the name that one client asks for (SNI): the unbuffered session does not tell it.
#[derive(Debug)]
pub(super) struct Requested {
    resolver: Arc<dyn ResolvesServerCert>,
    pub(super) name: OnceLock<Box<str>>,
}

impl ResolvesServerCert for Requested {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if let Some(name) = hello.server_name() {
            self.name.get_or_init(|| name.into());
        }
        self.resolver.resolve(hello)
    }
}
