//! TLS in the core, from PEM.

use std::sync::Arc;

use everwire_reactor::tls::{ClientContext, ClientOptions, Failure, ServerContext, ServerOptions, Session, Trust};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// A server's certificate and policy.
#[pyclass(frozen, module = "everwire._core")]
pub struct ServerTLS {
    pub context: Arc<ServerContext>,
}

/// Whom a client trusts, and who it is.
#[pyclass(frozen, module = "everwire._core")]
pub struct ClientTLS {
    pub context: Arc<ClientContext>,
}

/// What was agreed on a connection.
#[pyclass(frozen, get_all, module = "everwire._core")]
pub struct TLSSession {
    version: Option<&'static str>,
    cipher: Option<String>,
    alpn: Option<String>,
    server_name: Option<String>,
    /// DER.
    peer_certificate: Option<Vec<u8>>,
}

impl TLSSession {
    pub fn of(session: &Session) -> Self {
        TLSSession {
            version: session.version(),
            cipher: session.cipher(),
            alpn: session.alpn().map(|alpn| String::from_utf8_lossy(alpn).into_owned()),
            server_name: session.server_name().map(str::to_owned),
            peer_certificate: session.peer_certificate().map(<[u8]>::to_vec),
        }
    }
}

#[pymethods]
impl ServerTLS {
    #[new]
    #[pyo3(signature = (certificate, key, password = None, client_ca = None, client_optional = false))]
    fn new(
        certificate: Vec<u8>,
        key: Vec<u8>,
        password: Option<Vec<u8>>,
        client_ca: Option<Vec<u8>>,
        client_optional: bool,
    ) -> PyResult<Self> {
        let options =
            ServerOptions { certificate, key, password, client_ca, client_optional, ..ServerOptions::default() };
        Ok(ServerTLS { context: Arc::new(ServerContext::new(options).map_err(wrong)?) })
    }

    /// Uses other certificates for new connections; on an error the old ones stay.
    #[pyo3(signature = (certificate, key, password = None, client_ca = None, client_optional = false))]
    fn reload(
        &self,
        certificate: Vec<u8>,
        key: Vec<u8>,
        password: Option<Vec<u8>>,
        client_ca: Option<Vec<u8>>,
        client_optional: bool,
    ) -> PyResult<()> {
        let options =
            ServerOptions { certificate, key, password, client_ca, client_optional, ..ServerOptions::default() };
        self.context.reload(options).map_err(wrong)
    }
}

#[pymethods]
impl ClientTLS {
    #[new]
    #[pyo3(signature = (trust = None, verify = true, certificate = None, key = None, password = None, check_hostname = true))]
    fn new(
        trust: Option<Vec<u8>>,
        verify: bool,
        certificate: Option<Vec<u8>>,
        key: Option<Vec<u8>>,
        password: Option<Vec<u8>>,
        check_hostname: bool,
    ) -> PyResult<Self> {
        let trust = match (verify, trust) {
            (false, _) => Trust::Nothing,
            (true, Some(pem)) => Trust::Pem(pem),
            (true, None) => Trust::System,
        };
        let options = ClientOptions { trust, certificate, key, password, check_hostname, ..ClientOptions::default() };
        Ok(ClientTLS { context: Arc::new(ClientContext::new(options).map_err(wrong)?) })
    }
}

fn wrong(failure: Failure) -> PyErr {
    PyValueError::new_err(failure.to_string())
}
