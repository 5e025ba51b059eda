//! What is said about certificates and keys that cannot be used.

use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::der::Encode;
use pkcs8::der::asn1::OctetString;
use pkcs8::der::pem::LineEnding;
use pkcs8::pkcs5::{EncryptionScheme, pbes2};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;

use super::*;

fn text_of(options: ServerOptions) -> String {
    let failure = ServerContext::new(options).err().expect("the options are wrong");
    assert_eq!(failure.fault, Fault::Configuration);
    failure.to_string()
}

/// `key` as an "ENCRYPTED PRIVATE KEY" under the password "secret".
fn encrypted(key: &[u8], parameters: pbes2::Parameters) -> Vec<u8> {
    let key = PrivatePkcs8KeyDer::from_pem_slice(key).unwrap();
    let data = parameters.encrypt(b"secret", key.secret_pkcs8_der()).unwrap();
    let data = OctetString::new(data).unwrap();
    let encryption_algorithm = EncryptionScheme::Pbes2(parameters);
    let encrypted_data = (&data).into();
    let info = EncryptedPrivateKeyInfoRef { encryption_algorithm, encrypted_data }.to_der().unwrap();
    let pem = pkcs8::der::pem::encode_string("ENCRYPTED PRIVATE KEY", LineEnding::LF, &info).unwrap();
    pem.into_bytes()
}

#[test]
fn encrypted_keys_need_their_password() {
    let identity = Authority::new().issue("localhost");
    let scrypt = pkcs8::pkcs5::scrypt::Params::new(4, 8, 1).unwrap();
    for parameters in [
        pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(10, b"saltsalt", [7; 16]).unwrap(),
        pbes2::Parameters::generate_scrypt_aes256cbc(scrypt, b"saltsalt", [7; 16]).unwrap(),
    ] {
        let key = encrypted(&identity.key, parameters);
        let with = |password: Option<&str>| ServerOptions {
            key: key.clone(),
            password: password.map(Into::into),
            ..identity.options()
        };
        ServerContext::new(with(Some("secret"))).unwrap();
        assert!(text_of(with(None)).contains("no password is given"));
        for wrong in ["", "Secret", "a long password that is wrong"] {
            let text = text_of(with(Some(wrong)));
            assert!(text.contains("password does not decrypt"), "{text}");
            assert!(wrong.is_empty() || !text.contains(wrong), "{text}");
        }
        // One text may hold both, in either order and with other things around.
        let both = [b"a comment\r\n", &key[..], &identity.certificate].concat();
        let options = ServerOptions { certificate: both.clone(), key: both, ..with(Some("secret")) };
        ServerContext::new(options).unwrap();
    }
    // A password for a key that needs none is not an error, as with OpenSSL.
    ServerContext::new(ServerOptions { password: Some(b"x".to_vec()), ..identity.options() }).unwrap();
}

#[test]
fn every_unusable_certificate_or_key_is_told_apart() {
    let authority = Authority::new();
    let identity = authority.issue("localhost");
    let good = identity.options();
    let certificate = |text: &[u8]| text_of(ServerOptions { certificate: text.to_vec(), ..good.clone() });
    let key = |text: &[u8]| text_of(ServerOptions { key: text.to_vec(), ..good.clone() });

    assert!(certificate(b" \n").contains("server certificate is empty"));
    assert!(certificate(&identity.key).contains("no PEM section \"CERTIFICATE\""));
    assert!(certificate(b"-----BEGIN CERTIFICATE-----\nabc").contains("not valid PEM"));
    let rubbish = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(certificate(rubbish).contains("cannot be used"));
    let swapped = [&authority.pem[..], &identity.certificate].concat();
    assert!(certificate(&swapped).contains("does not belong"));

    assert!(key(b"").contains("private key is empty"));
    assert!(key(&identity.certificate).contains("no PEM section \"PRIVATE KEY\""));
    assert!(key(&authority.issue("localhost").key).contains("does not belong"));
    let unreadable = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    assert!(key(unreadable).contains("RSA from 2048 bits"));
    let old = b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    assert!(key(old).contains("`openssl pkcs8 -topk8 -in old.pem -out new.pem`"));
    let odd = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let text = text_of(ServerOptions { key: odd.to_vec(), password: Some(b"p".to_vec()), ..good.clone() });
    assert!(text.contains("openssl pkcs8 -topk8 -v2"), "{text}");

    let client_ca = Some(Vec::new());
    assert!(text_of(ServerOptions { client_ca, ..good.clone() }).contains("client CA certificates is empty"));
}

#[test]
fn client_options_are_checked_alike() {
    let authority = Authority::new();
    let identity = authority.issue("somebody");
    let text = |options| {
        let failure = ClientContext::new(options).err().expect("the options are wrong");
        assert_eq!(failure.fault, Fault::Configuration);
        failure.to_string()
    };
    let certificate = Some(identity.certificate.clone());
    assert!(text(ClientOptions { certificate: certificate.clone(), ..authority.trust() }).contains("no private key"));
    let key = Some(identity.key);
    assert!(text(ClientOptions { key, ..authority.trust() }).contains("no client certificate"));
    let key = Some(authority.issue("somebody").key);
    assert!(text(ClientOptions { certificate, key, ..authority.trust() }).contains("does not belong"));
    for (trust, part) in [("", "is empty"), ("nothing", "no PEM section")] {
        let trust = Trust::Pem(trust.into());
        let text = text(ClientOptions { trust, ..ClientOptions::default() });
        assert!(text.contains("trusted certificates") && text.contains(part), "{text}");
    }
}
