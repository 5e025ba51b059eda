//! How a client checks a server's certificate.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

use super::trust::Anchors;

/// Checks the chain, then the name. The server's proof that it has the key is always checked.
#[derive(Debug)]
pub(super) struct Verifier {
    /// `None`: every certificate is taken.
    pub(super) anchors: Option<Anchors>,
    pub(super) check_hostname: bool,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(anchors) = &self.anchors else {
            return Ok(ServerCertVerified::assertion());
        };
        let leaf = ParsedCertificate::try_from(end_entity)?;
        let chain =
            verify_server_cert_signed_by_trust_anchor(&leaf, &anchors.roots, intermediates, now, self.algorithms.all);
        if let Err(error) = chain
            && !(anchors.leaves.contains(end_entity) && is_about_issuer(&error))
        {
            return Err(error);
        }
        if self.check_hostname {
            verify_server_name(&leaf, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Whether naming the certificate itself as trusted answers this error.
///
/// It does for everything about who signed it, and for being a CA itself, which `openssl req -x509`
/// makes and OpenSSL takes; not for dates and purposes. The dates are checked before all else.
fn is_about_issuer(error: &Error) -> bool {
    match error {
        Error::InvalidCertificate(
            CertificateError::UnknownIssuer
            | CertificateError::BadSignature
            | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. },
        ) => true,
        Error::InvalidCertificate(error) => is_authority(error),
        _ => false,
    }
}

/// Whether a certificate was refused because it is a CA's. rustls passes the reason on unnamed.
pub(super) fn is_authority(error: &CertificateError) -> bool {
    matches!(error, CertificateError::Other(reason) if reason.to_string().contains("CaUsedAsEndEntity"))
}
