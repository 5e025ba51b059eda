//! Errors by blame: who has to change something, and what.

use std::borrow::Cow;
use std::fmt;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

use super::verifier::{ShortKey, is_authority, is_form};

/// Who has to change something before a TLS session can work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Us: a certificate, a key, a password, the trusted certificates, or this machine.
    Configuration,
    /// The peer: its certificate is not accepted, it refused us, or there is nothing in common.
    Peer,
    /// The peer's bytes: they are not TLS, violate it, or were changed on the way.
    Protocol,
    /// The caller: a method was called when it may not be.
    Usage,
}

/// Why a context was not made or a session ended: whose fault, and what to do about it.
///
/// The text never contains a key or a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Who has to change something.
    pub fault: Fault,
    /// What is wrong and what to do, in one sentence.
    pub text: Cow<'static, str>,
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl std::error::Error for Failure {}

impl Failure {
    pub(super) fn configuration(text: impl Into<Cow<'static, str>>) -> Self {
        Failure { fault: Fault::Configuration, text: text.into() }
    }

    pub(super) fn peer(text: impl Into<Cow<'static, str>>) -> Self {
        Failure { fault: Fault::Peer, text: text.into() }
    }

    pub(super) fn protocol(text: impl Into<Cow<'static, str>>) -> Self {
        Failure { fault: Fault::Protocol, text: text.into() }
    }

    pub(super) fn usage(text: impl Into<Cow<'static, str>>) -> Self {
        Failure { fault: Fault::Usage, text: text.into() }
    }

    /// What rustls says about the bytes of a peer; `peer` is "server" or "client".
    pub(super) fn from_session(error: Error, peer: &str) -> Self {
        match error {
            Error::InvalidCertificate(error) => Failure::peer(certificate(&error, peer)),
            Error::NoCertificatesPresented => {
                Failure::peer(format!("the {peer} sent no certificate, but one is required"))
            }
            Error::AlertReceived(alert) => Failure::peer(refusal(alert, peer)),
            Error::NoApplicationProtocol => {
                Failure::peer(format!("the {peer} offers no application protocol (ALPN) that is spoken here"))
            }
            Error::PeerIncompatible(error) => Failure::peer(format!(
                "the {peer} has no TLS version, cipher or key exchange in common with us: {error:?}"
            )),
            Error::InvalidMessage(InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion) => {
                Failure::protocol(format!(
                    "the {peer} does not speak TLS: plain WebSocket or HTTP may have been sent to a TLS port, or the reverse"
                ))
            }
            Error::FailedToGetCurrentTime => Failure::configuration("this machine's clock cannot be read"),
            Error::FailedToGetRandomBytes => {
                Failure::configuration("this machine's source of randomness cannot be read")
            }
            error => Failure::protocol(format!("the {peer}'s bytes are not valid TLS: {error}")),
        }
    }
}

/// Keys that the provider can check signatures of.
pub(super) const KINDS: &str = "RSA from 2048 bits, ECDSA P-256 and P-384, and Ed25519";

fn certificate(error: &CertificateError, peer: &str) -> String {
    use CertificateError as E;
    match error {
        E::UnknownIssuer => {
            format!("the {peer}'s certificate is issued by nobody trusted: trust its CA, or exactly this certificate")
        }
        E::Expired | E::ExpiredContext { .. } | E::NotValidYet | E::NotValidYetContext { .. } => {
            format!("the {peer}'s certificate is not valid today ({error}): renew it, or set this machine's clock")
        }
        E::NotValidForName | E::NotValidForNameContext { .. } => {
            format!("the {peer}'s certificate is for another name ({error}): connect by a name that it has")
        }
        E::BadSignature => format!(
            "the {peer}'s certificate does not fit: the trusted CA of its issuer's name has another key, or the {peer} does not have this certificate's key"
        ),
        error if is_authority(error) && peer == "server" => {
            "the server's certificate is self-signed as a CA: trust exactly this certificate to accept it".into()
        }
        error if is_form(error) => format!(
            "the {peer}'s certificate is of X.509 version 1, or has a critical extension that is unknown here: trust exactly this certificate, without checking its name (check_hostname), to accept it"
        ),
        E::Other(reason) if reason.0.is::<ShortKey>() => format!(
            "the {peer}'s certificate has a key that is too short, {}: give the {peer} one of 2048 bits, or use an ssl.SSLContext whose security level allows it",
            reason.0
        ),
        E::UnsupportedSignatureAlgorithmContext { .. } | E::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            format!(
                "the {peer}'s certificate is signed, or has a key, of a kind that is unknown here: known are {KINDS}; an ssl.SSLContext knows more"
            )
        }
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => {
            format!("the {peer}'s certificate was not issued for this use ({error})")
        }
        error => format!("the {peer}'s certificate is refused: {error}"),
    }
}

fn refusal(alert: AlertDescription, peer: &str) -> String {
    use AlertDescription as A;
    let advice = match alert {
        A::UnknownCA | A::CertificateUnknown | A::BadCertificate | A::UnsupportedCertificate => {
            "it does not accept our certificate"
        }
        A::CertificateExpired | A::CertificateRevoked => "our certificate is not valid anymore: renew it",
        A::CertificateRequired => "it requires a certificate from us",
        A::HandshakeFailure | A::ProtocolVersion | A::InsufficientSecurity if peer == "server" => {
            return format!(
                "the server ended TLS with the alert {alert:?}: no TLS version, cipher or kind of certificate in common; known here are TLS 1.2 and 1.3, and the keys {KINDS}; an ssl.SSLContext knows more"
            );
        }
        A::HandshakeFailure | A::ProtocolVersion | A::InsufficientSecurity => {
            "no TLS version, cipher or certificate type in common"
        }
        A::NoApplicationProtocol => "it does not speak the application protocol (ALPN) that we offer",
        A::UnrecognisedName => "it does not know the host name that we asked for",
        _ => "no reason is known",
    };
    format!("the {peer} ended TLS with the alert {alert:?}: {advice}")
}
