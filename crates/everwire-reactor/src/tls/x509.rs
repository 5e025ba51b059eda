//! What is read of a certificate (RFC 5280 §4.1) that webpki does not read: its key and its dates.
//!
//! webpki takes version 3 only, and no critical extension that it does not know. Who trusts anybody, or has named this very
//! certificate, needs neither: the server still has to prove that it has the key, and the dates still count.

use std::time::Duration;

use pkcs8::der::asn1::{AnyRef, BitStringRef, GeneralizedTime, UintRef, UtcTime};
use pkcs8::der::{Decode, Reader, Result, SliceReader, Tag, Tagged};
use rustls::pki_types::UnixTime;

/// rsaEncryption, 1.2.840.113549.1.1.1, as an OBJECT IDENTIFIER in DER.
const RSA: [u8; 11] = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

/// A certificate's key and dates.
pub(super) struct Certificate<'a> {
    /// The whole SubjectPublicKeyInfo.
    pub(super) key_info: &'a [u8],
    /// What stands in the SEQUENCE of its algorithm.
    pub(super) algorithm: &'a [u8],
    /// The key itself.
    pub(super) key: &'a [u8],
    not_before: Duration,
    not_after: Duration,
}

impl<'a> Certificate<'a> {
    /// Reads a certificate of any version; of its extensions nothing.
    pub(super) fn parse(der: &'a [u8]) -> Result<Self> {
        let mut reader = SliceReader::new(der)?;
        let certificate = AnyRef::decode(&mut reader)?;
        let mut outer = fields(certificate)?;
        let mut fields_of = fields(AnyRef::decode(&mut outer)?)?;
        // Version 1 does not say its version.
        if fields_of.peek_byte() == Some(0xa0) {
            fields_of.tlv_bytes()?;
        }
        for _ in ["serialNumber", "signature", "issuer"] {
            fields_of.tlv_bytes()?;
        }
        let mut validity = fields(AnyRef::decode(&mut fields_of)?)?;
        let (not_before, not_after) = (time(&mut validity)?, time(&mut validity)?);
        fields_of.tlv_bytes()?; // subject
        let key_info = fields_of.tlv_bytes()?;
        let mut inner = fields(AnyRef::from_der(key_info)?)?;
        let algorithm = sequence(AnyRef::decode(&mut inner)?)?;
        let key = BitStringRef::decode(&mut inner)?;
        let key = key.as_bytes().ok_or_else(|| Tag::BitString.value_error())?;
        Ok(Certificate { key_info, algorithm, key, not_before, not_after })
    }

    /// Whether it is not valid yet, or not any more.
    pub(super) fn is_early(&self, now: UnixTime) -> bool {
        now.as_secs() < self.not_before.as_secs()
    }

    /// Whether it is not valid any more.
    pub(super) fn is_late(&self, now: UnixTime) -> bool {
        now.as_secs() > self.not_after.as_secs()
    }

    /// How many bits its key has, if it is one of RSA.
    pub(super) fn rsa_bits(&self) -> Option<usize> {
        if !self.algorithm.starts_with(&RSA) {
            return None;
        }
        let mut key = fields(AnyRef::from_der(self.key).ok()?).ok()?;
        let modulus = UintRef::decode(&mut key).ok()?;
        let first = modulus.as_bytes().first()?;
        Some(8 * modulus.as_bytes().len() - usize::try_from(first.leading_zeros()).ok()?)
    }
}

fn sequence(any: AnyRef<'_>) -> Result<&[u8]> {
    any.tag().assert_eq(Tag::Sequence)?;
    Ok(any.value())
}

fn fields(any: AnyRef<'_>) -> Result<SliceReader<'_>> {
    SliceReader::new(sequence(any)?)
}

fn time(reader: &mut SliceReader<'_>) -> Result<Duration> {
    let any = AnyRef::decode(reader)?;
    if any.tag() == Tag::UtcTime {
        Ok(any.decode_as::<UtcTime>()?.to_unix_duration())
    } else {
        Ok(any.decode_as::<GeneralizedTime>()?.to_unix_duration())
    }
}
