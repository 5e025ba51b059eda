//! Which certificates a client trusts.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls_native_certs::{load_certs_from_paths, load_native_certs};

use super::{Failure, certificate};

/// Whom a client believes that a server is who it claims to be.
#[derive(Clone, Debug, Default)]
pub enum Trust {
    /// The machine's roots, or instead of them what the environment variables `SSL_CERT_FILE` and
    /// `SSL_CERT_DIR` name. Reads files: make one context and share it.
    #[default]
    System,
    /// These PEM certificates and nobody else: CAs, or the very certificates that servers show.
    Pem(Vec<u8>),
    /// Anybody. INSECURE: whoever sits on the path can read and change everything.
    Nothing,
}

/// Trusted certificates, as issuers and, where they were named by the user, as themselves.
#[derive(Debug)]
pub(super) struct Anchors {
    pub(super) roots: RootCertStore,
    /// Certificates that a server may show as its own, whatever they say about being a CA.
    pub(super) leaves: Vec<CertificateDer<'static>>,
}

impl Trust {
    /// The anchors that this names; `None` if anybody is trusted.
    pub(super) fn load(&self) -> Result<Option<Anchors>, Failure> {
        match self {
            Trust::Nothing => Ok(None),
            Trust::Pem(text) => {
                let leaves = certificate::chain(text, "the trusted certificates")?;
                let roots = certificate::anchors(&leaves, "the trusted certificates")?;
                Ok(Some(Anchors { roots, leaves }))
            }
            Trust::System => match (env::var_os("SSL_CERT_FILE"), env::var_os("SSL_CERT_DIR")) {
                (None, None) => system().map(Some),
                (file, directories) => named(file, directories).map(Some),
            },
        }
    }
}

fn system() -> Result<Anchors, Failure> {
    let found = load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let reason = found.errors.first().map_or_else(String::new, |error| format!(" ({error})"));
        return Err(Failure::configuration(format!(
            "this machine has no trusted root certificates{reason}: install its package of CA certificates, or name a file in SSL_CERT_FILE"
        )));
    }
    // Nobody put a server's own certificate among the machine's roots by naming it, so none is kept.
    Ok(Anchors { roots, leaves: Vec::new() })
}

/// What the environment names, and nothing else: an unreadable or empty file is never replaced by
/// other roots. Of several directories some may be missing, as OpenSSL has it.
fn named(file: Option<OsString>, directories: Option<OsString>) -> Result<Anchors, Failure> {
    let mut leaves = Vec::new();
    if let Some(file) = &file {
        let found = load_certs_from_paths(Some(Path::new(file)), None);
        if let Some(error) = found.errors.first() {
            return Err(unusable("SSL_CERT_FILE", file, &error.to_string()));
        }
        if found.certs.is_empty() {
            return Err(unusable("SSL_CERT_FILE", file, "it contains no certificate"));
        }
        leaves.extend(found.certs);
    }
    if let Some(directories) = &directories {
        let mut reason = None;
        for directory in env::split_paths(directories).filter(|path| !path.as_os_str().is_empty()) {
            let found = load_certs_from_paths(None, Some(&directory));
            leaves.extend(found.certs);
            reason = reason.or(found.errors.first().map(ToString::to_string));
        }
        if leaves.is_empty() {
            let reason = reason.unwrap_or_else(|| "it contains no certificate".into());
            return Err(unusable("SSL_CERT_DIR", directories, &reason));
        }
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(leaves.iter().cloned());
    if roots.is_empty() {
        let (variable, value) = file.as_ref().map_or_else(
            || ("SSL_CERT_DIR", directories.as_deref().unwrap_or_default()),
            |file| ("SSL_CERT_FILE", file.as_os_str()),
        );
        return Err(unusable(variable, value, "none of its certificates is valid"));
    }
    Ok(Anchors { roots, leaves })
}

fn unusable(variable: &str, value: &OsStr, reason: &str) -> Failure {
    Failure::configuration(format!(
        "{variable} is set to {value:?}, but no trusted certificate can be read there ({reason}): correct it or unset it"
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use super::*;

    fn pem() -> String {
        rcgen::generate_simple_self_signed(["localhost".into()]).unwrap().cert.pem()
    }

    #[test]
    fn a_named_file_is_never_replaced_by_other_roots() {
        let folder = env::temp_dir().join(format!("everwire-trust-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (empty, good) = (folder.join("empty.pem"), folder.join("good.pem"));
        fs::write(&empty, "nothing here\n").unwrap();
        fs::write(&good, pem()).unwrap();

        for (file, part) in [
            (folder.join("missing.pem"), "missing.pem"),
            (empty, "contains no certificate"),
            (folder.clone(), "SSL_CERT_FILE"),
            ("".into(), "unset it"),
        ] {
            let failure = named(Some(file.clone().into()), None).unwrap_err();
            assert!(failure.text.contains(part), "{failure}");
            // A usable directory beside it does not excuse the file.
            named(Some(file.into()), Some(folder.clone().into())).unwrap_err();
        }
        assert_eq!(named(Some(good.clone().into()), None).unwrap().leaves.len(), 1);
        assert_eq!(named(None, Some(folder.clone().into())).unwrap().roots.len(), 1);
        named(Some(good.into()), Some("/nonexistent".into())).unwrap();
        assert!(named(None, Some("/nonexistent".into())).unwrap_err().text.contains("SSL_CERT_DIR"));
        named(None, Some("".into())).unwrap_err();
        fs::remove_dir_all(folder).unwrap();
    }
}
