//! How a client checks a server's certificate.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, PeerMisbehaved, SignatureScheme};

use super::trust::Anchors;
use super::x509::Certificate;

/// Bits below which no RSA key is taken, by none of the provider's algorithms.
const RSA_BITS: usize = 2048;

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
        let is_named = anchors.leaves.contains(end_entity);
        let leaf = match ParsedCertificate::try_from(end_entity) {
            Ok(leaf) => leaf,
            // Its name cannot be checked either, so that must not be asked for.
            Err(error) if is_named && !self.check_hostname && is_about_form(&error) => {
                return in_time(end_entity, now).map(|()| ServerCertVerified::assertion());
            }
            Err(error) => return Err(error),
        };
        let chain =
            verify_server_cert_signed_by_trust_anchor(&leaf, &anchors.roots, intermediates, now, self.algorithms.all);
        if let Err(error) = chain
            && !(is_named && is_about_issuer(&error))
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
        let certificate = parse(certificate)?;
        self.verify_tls12(message, &certificate, signature).map_err(|error| explained(error, &certificate))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let certificate = parse(certificate)?;
        let key = SubjectPublicKeyInfoDer::from(certificate.key_info);
        verify_tls13_signature_with_raw_key(message, &key, signature, &self.algorithms)
            .map_err(|error| explained(error, &certificate))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl Verifier {
    /// As rustls does it, but with a key that is read from any certificate: the scheme names several algorithms, because until
    /// TLS 1.3 it does not say which curve it is on; that of the key is the right one.
    fn verify_tls12(
        &self,
        message: &[u8],
        certificate: &Certificate<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let named = self.algorithms.mapping.iter().find(|(scheme, _)| *scheme == signature.scheme);
        let Some((_, candidates)) = named else {
            return Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
        };
        let fitting = candidates.iter().find(|one| one.public_key_alg_id().as_ref() == certificate.algorithm);
        let Some(algorithm) = fitting else {
            return Err(CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext {
                signature_algorithm_id: Vec::new(),
                public_key_algorithm_id: certificate.algorithm.to_vec(),
            }
            .into());
        };
        match algorithm.verify_signature(certificate.key, message, signature.signature()) {
            Ok(()) => Ok(HandshakeSignatureValid::assertion()),
            Err(_) => Err(CertificateError::BadSignature.into()),
        }
    }
}

fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Result<Certificate<'a>, Error> {
    Certificate::parse(certificate).map_err(|_| CertificateError::BadEncoding.into())
}

fn in_time(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let certificate = parse(certificate)?;
    if certificate.is_early(now) {
        return Err(CertificateError::NotValidYet.into());
    }
    if certificate.is_late(now) {
        return Err(CertificateError::Expired.into());
    }
    Ok(())
}

/// Tells a signature that is wrong from one that nothing here can check.
fn explained(error: Error, certificate: &Certificate<'_>) -> Error {
    match certificate.rsa_bits() {
        Some(bits) if bits < RSA_BITS => other(ShortKey(bits)),
        _ => error,
    }
}

fn other(reason: impl std::error::Error + Send + Sync + 'static) -> Error {
    CertificateError::Other(OtherError(Arc::new(reason))).into()
}

/// An RSA key of so many bits, which are too few.
#[derive(Debug)]
pub(super) struct ShortKey(usize);

impl fmt::Display for ShortKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "an RSA key of {} bits", self.0)
    }
}

impl std::error::Error for ShortKey {}

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

/// Whether webpki does not read a certificate for its version, or for an extension that it would have to know.
pub(super) fn is_form(error: &CertificateError) -> bool {
    matches!(error, CertificateError::Other(reason) if ["UnsupportedCertVersion", "UnsupportedCriticalExtension"]
        .iter()
        .any(|name| reason.to_string().contains(name)))
}

fn is_about_form(error: &Error) -> bool {
    matches!(error, Error::InvalidCertificate(error) if is_form(error))
}
