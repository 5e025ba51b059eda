//! `Sec-WebSocket-Key` and `Sec-WebSocket-Accept` (RFC 6455 §1.3).

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD};
use sha1::{Digest as _, Sha1};

/// A client's nonce, in the base64 that it was sent in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key([u8; 24]);

impl Key {
    /// The key of a client that drew `nonce`.
    pub fn new(nonce: [u8; 16]) -> Self {
        let mut text = [0; 24];
        encode(&nonce, &mut text);
        Self(text)
    }

    /// Reads a key; `None` if it is not the base64 of 16 bytes.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut nonce = [0; 18];
        let is_nonce = LENIENT.decode_slice(text, &mut nonce) == Ok(16);
        text.try_into().ok().filter(|_| is_nonce).map(Self)
    }

    /// The key as it stands in a request.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }

    /// What the server answers it with, in base64 (RFC 6455 §4.2.2, step 5.4).
    pub fn accept(&self) -> [u8; 28] {
        let digest = Sha1::new().chain_update(self.0).chain_update(GUID).finalize();
        let mut text = [0; 28];
        encode(&digest, &mut text);
        text
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.as_str()).finish()
    }
}

const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Keys typed by hand rarely have the last four bits zero, and nothing depends on them.
const LENIENT: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// Fills `text`, which has room for exactly the base64 of `bytes`.
fn encode(bytes: &[u8], text: &mut [u8]) {
    let written = STANDARD.encode_slice(bytes, text);
    debug_assert!(written.is_ok());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_section_1_3() {
        let key = Key::parse(b"dGhlIHNhbXBsZSBub25jZQ==").expect("valid");
        assert_eq!(&key.accept(), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(Key::new(*b"the sample nonce"), key);
    }

    #[test]
    fn only_sixteen_bytes_are_a_key() {
        for text in [
            "",
            "dGhlIHNhbXBsZSBub25jZQ",
            "dGhlIHNhbXBsZSBub25jZQ=",
            "dGhlIHNhbXBsZSBub25jZ===",
            "dGhlIHNhbXBsZSBub24=",
            "dGhlIHNhbXBsZSBub25jZWQ=",
            "dGhlIHNhbXBsZSBub25jZWRh",
            "dGhlIHNhbXBsZSBub25j!Q==",
            "dGhlIHNhbXBsZSBub25-ZQ==",
            " dGhlIHNhbXBsZSBub25jZQ=",
            "dGhlIHNhbXBsZSBub25jZQ==dGhlIHNhbXBsZSBub25jZQ==",
        ] {
            assert_eq!(Key::parse(text.as_bytes()), None, "{text:?}");
        }
        assert!(Key::parse(b"abcdefghijklmnopqrstuv==").is_some(), "trailing bits do not matter");
    }
}
