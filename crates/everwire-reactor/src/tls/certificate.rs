//! Certificates and private keys out of PEM (RFC 7468).

use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::der::Decode;
use rustls::Error;
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

use super::Failure;
use super::failure::KINDS;

const ENCRYPTED_BEGIN: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
const ENCRYPTED_END: &str = "-----END ENCRYPTED PRIVATE KEY-----";

/// The chain and its private key, checked to belong together; `owner` names them in errors.
pub(super) fn identity(
    certificate: &[u8],
    key: &[u8],
    password: Option<&[u8]>,
    provider: &CryptoProvider,
    owner: &str,
) -> Result<CertifiedKey, Failure> {
    let chain = chain(certificate, &format!("the {owner} certificate"))?;
    let key = private_key(key, password)?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        Error::InconsistentKeys(_) => Failure::configuration(format!(
            "the private key does not belong to the {owner} certificate: the first certificate of the chain must be its own"
        )),
        Error::InvalidCertificate(error) => {
            Failure::configuration(format!("the {owner} certificate cannot be used: {error}"))
        }
        error => Failure::configuration(format!(
            "the private key cannot be used ({error}): {KINDS} can be"
        )),
    })
}

/// All certificates of a PEM text, at least one; `what` names the text in errors.
pub(super) fn chain(text: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(text)
        .collect::<Result<_, _>>()
        .map_err(|error| Failure::configuration(format!("{what} is not valid PEM: {error}")))?;
    if chain.is_empty() {
        return Err(Failure::configuration(if text.trim_ascii().is_empty() {
            format!("{what} is empty")
        } else {
            format!("{what} contains no PEM section \"CERTIFICATE\"")
        }));
    }
    Ok(chain)
}

/// Certificates as trust anchors; `what` names them in errors.
pub(super) fn anchors(chain: &[CertificateDer<'static>], what: &str) -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore::empty();
    for (index, certificate) in chain.iter().enumerate() {
        roots.add(certificate.clone()).map_err(|error| {
            Failure::configuration(format!("certificate {} of {what} cannot be used: {error}", index + 1))
        })?;
    }
    Ok(roots)
}

/// The first private key of a PEM text: PKCS#8, plain or encrypted, PKCS#1 or SEC1.
fn private_key(text: &[u8], password: Option<&[u8]>) -> Result<PrivateKeyDer<'static>, Failure> {
    if text.trim_ascii().is_empty() {
        return Err(Failure::configuration("the private key is empty"));
    }
    let lossy = String::from_utf8_lossy(text);
    if lossy.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(Failure::configuration(
            "the private key is encrypted in OpenSSL's old format: convert it with `openssl pkcs8 -topk8 -in old.pem -out new.pem`",
        ));
    }
    if let Some(section) = encrypted_section(&lossy) {
        let Some(password) = password else {
            return Err(Failure::configuration("the private key is encrypted, but no password is given"));
        };
        return decrypt(section, password);
    }
    PrivateKeyDer::from_pem_slice(text).map_err(|error| match error {
        pem::Error::NoItemsFound => Failure::configuration(
            "the private key contains no PEM section \"PRIVATE KEY\", \"RSA PRIVATE KEY\" or \"EC PRIVATE KEY\"",
        ),
        error => Failure::configuration(format!("the private key is not valid PEM: {error}")),
    })
}

/// What stands between the two markers of an encrypted key (RFC 7468 §11).
fn encrypted_section(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once(ENCRYPTED_BEGIN)?;
    Some(rest.split_once(ENCRYPTED_END).map_or(rest, |(section, _)| section))
}

/// Decrypts the Base64 of an `EncryptedPrivateKeyInfo` (RFC 5958 §3) with PBES2 (RFC 8018 §6.2).
fn decrypt(section: &str, password: &[u8]) -> Result<PrivateKeyDer<'static>, Failure> {
    // The PEM reader does not know the label of encrypted keys, only what it wraps.
    let relabeled = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", section.trim());
    let encrypted = PrivatePkcs8KeyDer::from_pem_slice(relabeled.as_bytes())
        .map_err(|error| Failure::configuration(format!("the encrypted private key is not valid PEM: {error}")))?;
    let encrypted = EncryptedPrivateKeyInfoRef::from_der(encrypted.secret_pkcs8_der()).map_err(unsupported)?;
    if encrypted.encryption_algorithm.pbes2().is_none() {
        return Err(unsupported("PBES1"));
    }
    let key = encrypted.decrypt(password).map_err(|error| match error {
        pkcs8::Error::EncryptedPrivateKey(
            error @ (pkcs8::pkcs5::Error::UnsupportedAlgorithm { .. }
            | pkcs8::pkcs5::Error::AlgorithmParametersInvalid { .. }),
        ) => unsupported(error),
        _ => Failure::configuration("the password does not decrypt the private key"),
    })?;
    Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into())
}

fn unsupported(error: impl std::fmt::Display) -> Failure {
    Failure::configuration(format!(
        "the private key is encrypted in a way that is not supported ({error}): convert it with `openssl pkcs8 -topk8 -v2 aes-256-cbc -in old.pem -out new.pem`"
    ))
}
